//! The kernels that build.rs has compiled, and how they are launched.
use std::sync::{Arc, PoisonError};

use cudarc::driver::{CudaFunction, CudaModule, DeviceRepr, LaunchConfig, PushKernelArg};
use cudarc::nvrtc::Ptx;

use super::Gpu;
use crate::error::{Error, Result};

/// One file of `kernels/`, compiled for one compute capability.
struct Image {
    /// Its stem.
    name: &'static str,
    /// Major times 10 plus minor; later ones run it too, through the driver's compiler.
    capability: u32,
    ptx: &'static [u8],
}

const IMAGES: &[Image] = include!(concat!(env!("OUT_DIR"), "/images.rs"));

/// A kernel, loaded.
#[derive(Clone)]
pub struct Kernel {
    name: &'static str,
    function: CudaFunction,
}

/// Blocks along x, y, z, and threads of each block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Launch {
    /// Blocks.
    pub grid: [u32; 3],
    /// Threads of a block.
    pub threads: u32,
}

/// Whether the build has compiled the kernels.
pub fn are_built() -> bool {
    !IMAGES.is_empty()
}

pub(super) fn check_build() -> Result<()> {
    match are_built() {
        true => Ok(()),
        false => Err(Error::invalid(
            "this build has no CUDA kernels: there was no CUDA compiler (scripts/get-nvcc gets one; then build again)",
        )),
    }
}

impl Gpu {
    /// The kernel `name` of the file `kernels/FILE.cu`.
    ///
    /// # Errors
    /// Where this build or the file has no such kernel, and where the driver does not take it.
    pub fn kernel(&self, file: &'static str, name: &'static str) -> Result<Kernel> {
        let module = self.module(file)?;
        let function = module
            .load_function(name)
            .map_err(|error| self.failed(&format!("loading kernel {name} of {file}.cu"), error))?;
        Ok(Kernel { name, function })
    }

    fn module(&self, file: &'static str) -> Result<Arc<CudaModule>> {
        let mut modules = self.modules.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(module) = modules.get(file) {
            return Ok(module.clone());
        }
        let images = IMAGES.iter().filter(|image| image.name == file && image.capability <= self.capability);
        let image = images
            .max_by_key(|image| image.capability)
            .ok_or_else(|| Error::invalid(format!("this build has no kernels {file}.cu for {self:?}")))?;
        // The driver takes PTX up to a zero byte.
        let ptx = Ptx::from_binary([image.ptx, b"\0"].concat());
        let module = self
            .context
            .load_module(ptx)
            .map_err(|error| self.failed(&format!("loading the kernels {file}.cu"), error))?;
        modules.insert(file, module.clone());
        Ok(module)
    }

    /// Launches a kernel behind all that was launched before.
    ///
    /// # Errors
    /// Where the driver refuses, with kernel and shape; a fault inside the kernel may be told by a later call.
    ///
    /// # Safety
    /// The kernel's one parameter has the layout of `arguments`, its pointers are null or device memory of this GPU that is
    /// large enough, and that memory stays until the work is done.
    pub unsafe fn launch<A: DeviceRepr>(&self, kernel: &Kernel, launch: Launch, arguments: &A) -> Result<()> {
        let Launch { grid: [x, y, z], threads } = launch;
        let shape = LaunchConfig { grid_dim: (x, y, z), block_dim: (threads, 1, 1), shared_mem_bytes: 0 };
        let mut call = self.stream.launch_builder(&kernel.function);
        call.arg(arguments);
        // SAFETY: the caller's promise.
        unsafe { call.launch(shape) }.map_err(|error| {
            let step = format!("kernel {} in {x}x{y}x{z} blocks of {threads} threads", kernel.name);
            self.failed(&step, error)
        })?;
        Ok(())
    }
}
