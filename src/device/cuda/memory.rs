//! Device memory. What is let go waits in a pool for the next one who needs as much, so that block after block of a volume
//! runs without an allocation. All kernels are on one stream: memory may be let go and taken again while a kernel that was
//! launched before still uses it.
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cudarc::driver::{CudaSlice, CudaStream, DevicePtr, DriverError, sys};

use super::Gpu;
use crate::error::Result;

/// Memory that the driver gave.
pub(super) trait Piece {
    /// Its size.
    fn bytes(&self) -> usize;
}

impl Piece for CudaSlice<u8> {
    fn bytes(&self) -> usize {
        self.len()
    }
}

/// Memory that waits for its next use.
pub(super) struct Pool<P> {
    free: Vec<P>,
    /// How often the driver was asked.
    allocations: u64,
}

impl<P> Default for Pool<P> {
    fn default() -> Self {
        Pool { free: Vec::new(), allocations: 0 }
    }
}

impl<P: Piece> Pool<P> {
    /// The smallest piece that is large enough, unless most of it would lie idle, of equal ones the one that has waited
    /// longest; where there is none, the driver is asked.
    pub(super) fn take(&mut self, bytes: usize) -> Option<P> {
        let bytes = bytes.max(1);
        let fits = |size: usize| bytes <= size && size <= 2 * bytes;
        let pieces = self.free.iter().enumerate().filter(|(_, piece)| fits(piece.bytes()));
        let found = pieces.min_by_key(|(_, piece)| piece.bytes()).map(|(i, _)| i);
        self.allocations += u64::from(found.is_none());
        found.map(|i| self.free.remove(i))
    }

    /// Bytes of all that waits.
    fn bytes(&self) -> usize {
        self.free.iter().map(Piece::bytes).sum()
    }

    /// Keeps a piece for its next use.
    pub(super) fn give(&mut self, piece: P) {
        self.free.push(piece);
    }
}

/// A pool, or what else of a GPU has a lock.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Bytes, as a message has them.
pub(super) fn amount(bytes: usize) -> String {
    match bytes {
        0..100_000 => format!("{bytes} bytes"),
        _ => format!("{:.1} MB", bytes as f64 / 1e6),
    }
}

/// `len` values on a GPU, not initialised.
pub struct Buffer {
    gpu: Arc<Gpu>,
    /// `None` while it is dropped.
    memory: Option<CudaSlice<u8>>,
}

impl Gpu {
    /// Memory of at least `bytes` bytes.
    ///
    /// # Errors
    /// Where the GPU has not so much left.
    pub fn buffer(self: &Arc<Self>, bytes: usize) -> Result<Buffer> {
        let found = locked(&self.buffers).take(bytes);
        let memory = found.map_or_else(|| self.allocate(&self.compute, bytes), Ok)?;
        Ok(Buffer { gpu: self.clone(), memory: Some(memory) })
    }

    /// Memory of the driver's, which gets back what waits in the pools where it does not suffice otherwise. Other streams than
    /// the one that it is for use it behind that one's work.
    pub(super) fn allocate(&self, stream: &Arc<CudaStream>, bytes: usize) -> Result<CudaSlice<u8>> {
        // SAFETY: kernels and copies write all of a buffer before they read it; the emulated driver checks that.
        let take = || unsafe { stream.alloc(bytes.max(1)) };
        let memory = match take() {
            Err(DriverError(sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY)) => {
                self.empty_pools().and_then(|()| take())
            }
            result => result,
        };
        memory.map_err(|error| self.failed(&format!("taking {} of memory", amount(bytes)), error))
    }

    /// Gives back to the driver what waits in the pools: pieces that were for a larger block are a waste for smaller ones.
    ///
    /// # Errors
    /// Where something that was launched before failed.
    pub fn give_back(&self) -> Result<()> {
        self.empty_pools().map_err(|error| self.failed("giving memory back", error))
    }

    fn empty_pools(&self) -> Result<(), DriverError> {
        locked(&self.buffers).free.clear();
        locked(&self.passages).free.clear();
        self.compute.synchronize()?;
        self.up.synchronize()
    }

    /// Device memory of `bytes` bytes, all zero.
    ///
    /// # Errors
    /// Where the GPU has no memory for it or the driver refuses to clear it.
    pub fn zeros(self: &Arc<Self>, bytes: usize) -> Result<Buffer> {
        let mut buffer = self.buffer(bytes)?;
        if let Some(memory) = &mut buffer.memory {
            self.compute
                .memset_zeros(memory)
                .map_err(|error| self.failed(&format!("clearing {bytes} bytes"), error))?;
        }
        Ok(buffer)
    }

    /// Bytes of device memory that can be had, those that wait in the pool included.
    ///
    /// # Errors
    /// Where the driver does not say.
    pub fn free_memory(&self) -> Result<u64> {
        let (free, _) = self.context.mem_get_info().map_err(|e| self.failed("asking for free memory", e))?;
        Ok((free + locked(&self.buffers).bytes() + locked(&self.passages).bytes()) as u64)
    }

    /// How often the driver was asked for memory of the device or page-locked memory of the host.
    pub fn allocations(&self) -> u64 {
        locked(&self.buffers).allocations
            + locked(&self.passages).allocations
            + locked(&self.pinned).allocations
    }
}

impl Buffer {
    /// Where it lies on the device.
    pub fn address(&self) -> u64 {
        self.memory.as_ref().map_or(0, |memory| memory.device_ptr(&self.gpu.compute).0)
    }

    pub(super) fn gpu(&self) -> &Arc<Gpu> {
        &self.gpu
    }

    pub(super) fn memory(&self) -> Option<&CudaSlice<u8>> {
        self.memory.as_ref()
    }

    pub(super) fn memory_mut(&mut self) -> Option<&mut CudaSlice<u8>> {
        self.memory.as_mut()
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if let Some(memory) = self.memory.take() {
            locked(&self.gpu.buffers).give(memory);
        }
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{} bytes on {}", self.memory.as_ref().map_or(0, CudaSlice::len), self.gpu)
    }
}
