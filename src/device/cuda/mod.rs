//! NVIDIA GPUs: the driver, which is loaded when it is asked for, and a stream on which all kernels run in order. What comes in
//! beside them and what goes out have streams of their own.
//!
//! | part | what it has |
//! |---|---|
//! | [`kernels`] | the kernels that the build has compiled, and how they are launched |
//! | [`memory`] | device memory, kept for the next one who needs as much |
//! | `pinned` | the host's side of copies |
//! | [`transfer`] | copies from and to the host beside the kernels |
//! | [`volume`] | one value for each voxel |
//! | [`roof`] | what the GPU can do at most |
//! | [`convolution`] | what all convolutions are launched with |
//! | [`packing`] | weights in the order in which the kernels read them |
//! | [`training`] | the parts of a training step |
pub mod convolution;
pub mod kernels;
pub mod memory;
pub mod packing;
mod pinned;
pub mod roof;
pub mod training;
pub mod transfer;
pub mod volume;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use cudarc::driver::{CudaContext, CudaModule, CudaSlice, CudaStream, DriverError, sys};

use crate::device::Precision;
use crate::error::{Error, Result};
use crate::volume::Shape;

/// `Shape` of kernels/common/grid.cuh.
pub(crate) type Extent = [i32; 3];

/// An extent or a place as the kernels have it.
pub(crate) fn extent(shape: Shape) -> Extent {
    shape.map(|extent| extent as i32)
}

/// The least compute capability that there are kernels for.
const LEAST_CAPABILITY: u32 = 75;
/// The least compute capability whose tensor cores take bf16.
const LEAST_CAPABILITY_OF_BF16: u32 = 80;
/// The least driver: that of CUDA 11.4, as in `cuDriverGetVersion`.
const LEAST_DRIVER: i32 = 11040;

/// A GPU, ready to compute.
pub struct Gpu {
    number: usize,
    name: String,
    /// Major times 10 plus minor.
    capability: u32,
    context: Arc<CudaContext>,
    /// The stream of all kernels, and of the copies for which they wait at once.
    compute: Arc<CudaStream>,
    /// The stream of what is sent.
    up: Arc<CudaStream>,
    /// The stream of what is fetched.
    down: Arc<CudaStream>,
    modules: Mutex<HashMap<&'static str, Arc<CudaModule>>>,
    buffers: Mutex<memory::Pool<CudaSlice<u8>>>,
    passages: Mutex<memory::Pool<transfer::Passage>>,
    pinned: Mutex<memory::Pool<pinned::Pinned>>,
}

impl Gpu {
    /// How many GPUs there are.
    ///
    /// # Errors
    /// Without kernels in this build, without a driver, or with one that is too old.
    pub fn count() -> Result<usize> {
        kernels::check_build()?;
        check_driver()?;
        let count = CudaContext::device_count().map_err(|e| failed("asking the driver for GPUs", e))?;
        Ok(count.max(0) as usize)
    }

    /// Makes the GPU of this number ready.
    ///
    /// # Errors
    /// As [`count`](Self::count), where there is no such GPU, and where it is too old for the kernels.
    pub fn open(number: usize) -> Result<Arc<Self>> {
        let count = Self::count()?;
        if number >= count {
            return Err(Error::invalid(match count {
                0 => "the driver finds no GPU".to_owned(),
                1 => "the only GPU is cuda:0".to_owned(),
                _ => format!("the GPUs are cuda:0 to cuda:{}", count - 1),
            }));
        }
        let step = |what: &str| format!("{what} on cuda:{number}");
        let context = CudaContext::new(number).map_err(|e| failed(&step("starting"), e))?;
        // SAFETY: `transfer` orders the streams.
        unsafe { context.disable_event_tracking() };
        let name = context.name().map_err(|e| failed(&step("asking for the name"), e))?;
        let (major, minor) =
            context.compute_capability().map_err(|e| failed(&step("asking for the capability"), e))?;
        let capability = (10 * major + minor) as u32;
        if capability < LEAST_CAPABILITY {
            return Err(Error::invalid(format!(
                "cuda:{number} ({name}) has compute capability {major}.{minor}, and the kernels need 7.5 (RTX 20 series) or more"
            )));
        }
        let stream = || context.new_stream().map_err(|e| failed(&step("making a stream"), e));
        Ok(Arc::new(Gpu {
            number,
            name,
            capability,
            compute: stream()?,
            up: stream()?,
            down: stream()?,
            context,
            modules: Mutex::default(),
            buffers: Mutex::default(),
            passages: Mutex::default(),
            pinned: Mutex::default(),
        }))
    }

    /// Whether the driver only pretends, as that of `tests/cuda-emulator` does.
    pub fn is_emulated(&self) -> bool {
        self.name.starts_with("CUDA emulator")
    }

    /// Finds out whether the GPU computes in this precision.
    ///
    /// # Errors
    /// Where it does not.
    pub fn check_precision(&self, precision: Precision) -> Result<()> {
        if precision == Precision::Bf16 && self.capability < LEAST_CAPABILITY_OF_BF16 {
            return Err(Error::invalid(format!(
                "{self} has compute capability {}.{}, and bf16 needs 8.0 (RTX 30 series) or more: use another --precision",
                self.capability / 10,
                self.capability % 10
            )));
        }
        Ok(())
    }

    /// A property of the device, as the driver counts it.
    ///
    /// # Errors
    /// Where the driver does not say.
    pub fn attribute(&self, attribute: sys::CUdevice_attribute) -> Result<i32> {
        self.context
            .attribute(attribute)
            .map_err(|error| self.failed(&format!("asking for {attribute:?}"), error))
    }

    /// Waits for all that was launched.
    ///
    /// # Errors
    /// Where one of it failed.
    pub fn wait(&self) -> Result<()> {
        self.compute.synchronize().map_err(|error| self.failed("waiting for the kernels", error))
    }

    fn failed(&self, step: &str, error: DriverError) -> Error {
        failed(&format!("{step} on {self}"), error)
    }
}

impl fmt::Display for Gpu {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "cuda:{} ({})", self.number, self.name)
    }
}

impl fmt::Debug for Gpu {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{self}, compute capability {}", self.capability)
    }
}

fn check_driver() -> Result<()> {
    // SAFETY: loads the library and lets it go again.
    if !unsafe { sys::is_culib_present() } {
        return Err(Error::invalid("there is no NVIDIA driver (no libcuda.so is found)"));
    }
    let mut version = 0;
    // SAFETY: the library is there, and every release has this function.
    unsafe { sys::cuDriverGetVersion(&mut version) }
        .result()
        .map_err(|e| failed("asking for the driver", e))?;
    if version < LEAST_DRIVER {
        let release = |version: i32| format!("{}.{}", version / 1000, version % 1000 / 10);
        return Err(Error::invalid(format!(
            "the NVIDIA driver is one for CUDA {}, and the program needs one for {} or later: update the driver",
            release(version),
            release(LEAST_DRIVER)
        )));
    }
    Ok(())
}

/// What the driver said, what was being done, and what to do about it.
fn failed(step: &str, error: DriverError) -> Error {
    use sys::CUresult::*;
    let name = format!("{:?}", error.0);
    let said = error.error_string().map_or_else(|_| name.clone(), |text| text.to_string_lossy().into_owned());
    let advice = match error.0 {
        CUDA_ERROR_OUT_OF_MEMORY => {
            "free memory on the GPU (nvidia-smi tells who has it), or use --device cpu"
        }
        CUDA_ERROR_NO_DEVICE => "is a GPU visible (nvidia-smi, CUDA_VISIBLE_DEVICES)?",
        CUDA_ERROR_SYSTEM_DRIVER_MISMATCH | CUDA_ERROR_NOT_INITIALIZED => "restart, or reinstall the driver",
        CUDA_ERROR_NO_BINARY_FOR_GPU
        | CUDA_ERROR_INVALID_IMAGE
        | CUDA_ERROR_INVALID_PTX
        | CUDA_ERROR_UNSUPPORTED_PTX_VERSION => "the driver does not take the kernels: update it",
        _ => "--device cpu does without the GPU; CUDA_LAUNCH_BLOCKING=1 tells which kernel is at fault",
    };
    let message = format!("{step}: {said} ({name}); {advice}");
    match error.0 {
        CUDA_ERROR_OUT_OF_MEMORY => Error::DeviceMemory(message),
        _ => Error::Invalid(message),
    }
}
