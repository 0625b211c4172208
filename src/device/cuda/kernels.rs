//! The kernels that build.rs has compiled, and how they are launched.
use std::sync::Arc;

use cudarc::driver::{CudaFunction, CudaModule, DeviceRepr, LaunchConfig, PushKernelArg};
use cudarc::nvrtc::Ptx;

use super::Gpu;
use super::memory::locked;
use crate::error::{Error, Result};

/// One file of `kernels/`, compiled for one compute capability.
struct Image {
    /// Its stem.
    name: &'static str,
    /// Major times 10 plus minor.
    capability: u32,
    form: Form,
    bytes: &'static [u8],
}

/// What a driver is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Text for the driver's own compiler, which serves all later GPUs.
    Ptx,
    /// Instructions, for this minor version of the capability and the later ones with the same major version.
    MachineCode,
}

impl Form {
    /// Whether a GPU of the compute capability `gpu` runs what was compiled for `image` (major times 10 plus minor).
    pub fn serves(self, image: u32, gpu: u32) -> bool {
        image <= gpu && (self == Form::Ptx || image / 10 == gpu / 10)
    }
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

impl Launch {
    /// As many blocks of `threads` threads as give each of `items` one thread.
    pub(crate) fn over(items: usize, threads: u32) -> Self {
        Launch { grid: [items.div_ceil(threads as usize) as u32, 1, 1], threads }
    }
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

    /// Finds out whether the driver takes the kernels.
    ///
    /// # Errors
    /// Where it does not.
    pub fn check_kernels(&self) -> Result<()> {
        IMAGES.first().map_or(Ok(()), |image| self.module(image.name).map(drop))
    }

    fn module(&self, file: &'static str) -> Result<Arc<CudaModule>> {
        let mut modules = locked(&self.modules);
        if let Some(module) = modules.get(file) {
            return Ok(module.clone());
        }
        let images = |form: Form| {
            let serve = move |image: &&Image| {
                image.name == file && image.form == form && form.serves(image.capability, self.capability)
            };
            IMAGES.iter().filter(serve).max_by_key(|image| image.capability)
        };
        let ptx = images(Form::Ptx)
            .ok_or_else(|| Error::invalid(format!("this build has no kernels {file}.cu for {self:?}")))?;
        // Whatever a driver has against machine code that is newer than itself, it may still compile the PTX.
        let machine_code = images(Form::MachineCode).and_then(|image| {
            let refused = |error| tracing::trace!("PTX in place of machine code: {error}");
            self.load(file, image.bytes).map_err(refused).ok()
        });
        let module = machine_code.map_or_else(|| self.load(file, ptx.bytes), Ok)?;
        modules.insert(file, module.clone());
        Ok(module)
    }

    /// Loads `image`, PTX or machine code of `kernels/FILE.cu`.
    ///
    /// # Errors
    /// Where the driver does not take it.
    pub fn load(&self, file: &str, image: &[u8]) -> Result<Arc<CudaModule>> {
        // The driver takes PTX up to a zero byte.
        let image = Ptx::from_binary([image, b"\0"].concat());
        let loaded = self.context.load_module(image);
        loaded.map_err(|error| self.failed(&format!("loading the kernels {file}.cu"), error))
    }

    /// [`launch`](Self::launch) of a kernel by its names, `[FILE, kernel]` for one of `kernels/FILE.cu`.
    ///
    /// # Errors
    /// Those of [`kernel`](Self::kernel) and [`launch`](Self::launch).
    ///
    /// # Safety
    /// That of [`launch`](Self::launch).
    pub(crate) unsafe fn launch_named<A: DeviceRepr>(
        &self,
        [file, kernel]: [&'static str; 2],
        launch: Launch,
        arguments: &A,
    ) -> Result<()> {
        let kernel = self.kernel(file, kernel)?;
        // SAFETY: the caller's promise.
        unsafe { self.launch(&kernel, launch, arguments) }
    }

    /// Launches a kernel behind all that was launched before; none where there is no block.
    ///
    /// # Errors
    /// Where the driver refuses, with kernel and shape; a fault inside the kernel may be told by a later call.
    ///
    /// # Safety
    /// The kernel's one parameter has the layout of `arguments`, its pointers are null or device memory of this GPU that is
    /// large enough, and that memory stays until the work is done.
    pub unsafe fn launch<A: DeviceRepr>(&self, kernel: &Kernel, launch: Launch, arguments: &A) -> Result<()> {
        let Launch { grid: [x, y, z], threads } = launch;
        if launch.grid.contains(&0) {
            return Ok(());
        }
        let shape = LaunchConfig { grid_dim: (x, y, z), block_dim: (threads, 1, 1), shared_mem_bytes: 0 };
        let mut call = self.compute.launch_builder(&kernel.function);
        call.arg(arguments);
        // SAFETY: the caller's promise.
        unsafe { call.launch(shape) }.map_err(|error| {
            let step = format!("kernel {} in {x}x{y}x{z} blocks of {threads} threads", kernel.name);
            self.failed(&step, error)
        })?;
        Ok(())
    }
}
