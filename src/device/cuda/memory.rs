//! Device memory. What is let go waits in a pool for the next one who needs as much, so that block after block of a volume
//! runs without an allocation. All work is on one stream: memory may be let go and taken again while a kernel that was
//! launched before still uses it.
use std::fmt;
use std::sync::{Arc, PoisonError};

use bytemuck::Pod;
use cudarc::driver::{CudaSlice, DevicePtr, DriverError, sys};

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
    /// The smallest piece that is large enough, unless most of it would lie idle; where there is none, the driver is asked.
    pub(super) fn take(&mut self, bytes: usize) -> Option<P> {
        let fits = |size: usize| bytes <= size && size <= 2 * bytes;
        let pieces = self.free.iter().enumerate().filter(|(_, piece)| fits(piece.bytes()));
        let found = pieces.min_by_key(|(_, piece)| piece.bytes()).map(|(i, _)| i);
        self.allocations += u64::from(found.is_none());
        found.map(|i| self.free.swap_remove(i))
    }

    /// Keeps a piece for its next use.
    pub(super) fn give(&mut self, piece: P) {
        self.free.push(piece);
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
        let mut pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        let memory = match pool.take(bytes.max(1)) {
            Some(memory) => memory,
            None => self.allocate(&mut pool, bytes.max(1)).map_err(|error| {
                self.failed(&format!("taking {:.1} MB of memory", bytes as f64 / 1e6), error)
            })?,
        };
        Ok(Buffer { gpu: self.clone(), memory: Some(memory) })
    }

    /// Gives the pool back to the driver where the memory does not suffice otherwise.
    fn allocate(&self, pool: &mut Pool<CudaSlice<u8>>, bytes: usize) -> Result<CudaSlice<u8>, DriverError> {
        // SAFETY: kernels write all of a buffer before they read it; the emulated driver checks that.
        match unsafe { self.stream.alloc(bytes) } {
            Err(DriverError(sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY)) if !pool.free.is_empty() => {
                pool.free.clear();
                self.stream.synchronize()?;
                // SAFETY: as above.
                unsafe { self.stream.alloc(bytes) }
            }
            result => result,
        }
    }

    /// Device memory that holds `values`.
    ///
    /// # Errors
    /// Where the GPU has no memory for it or the copy fails.
    pub fn upload<T: Pod>(self: &Arc<Self>, values: &[T]) -> Result<Buffer> {
        let bytes: &[u8] = bytemuck::cast_slice(values);
        let mut buffer = self.buffer(bytes.len())?;
        if let Some(memory) = &mut buffer.memory {
            self.stream
                .memcpy_htod(bytes, &mut memory.slice_mut(..bytes.len()))
                .map_err(|error| self.failed(&format!("sending {} bytes", bytes.len()), error))?;
        }
        Ok(buffer)
    }

    /// Device memory of `bytes` bytes, all zero.
    ///
    /// # Errors
    /// Where the GPU has no memory for it or the driver refuses to clear it.
    pub fn zeros(self: &Arc<Self>, bytes: usize) -> Result<Buffer> {
        let mut buffer = self.buffer(bytes)?;
        if let Some(memory) = &mut buffer.memory {
            self.stream
                .memset_zeros(memory)
                .map_err(|error| self.failed(&format!("clearing {bytes} bytes"), error))?;
        }
        Ok(buffer)
    }

    /// Waits for the GPU and copies the first values of `buffer` to `values`.
    ///
    /// # Errors
    /// Where the copy or anything launched before failed.
    ///
    /// # Panics
    /// Where the buffer is smaller than `values`.
    pub fn download<T: Pod>(&self, buffer: &Buffer, values: &mut [T]) -> Result<()> {
        self.download_from(buffer, 0, values)
    }

    /// As [`download`](Self::download), from the value of number `first` on.
    ///
    /// # Errors
    /// As [`download`](Self::download).
    ///
    /// # Panics
    /// Where the buffer ends before.
    pub fn download_from<T: Pod>(&self, buffer: &Buffer, first: usize, values: &mut [T]) -> Result<()> {
        let start = first * size_of::<T>();
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(values);
        if let Some(memory) = &buffer.memory {
            let length = bytes.len();
            self.stream
                .memcpy_dtoh(&memory.slice(start..start + length), bytes)
                .map_err(|error| self.failed(&format!("fetching {length} bytes"), error))?;
        }
        self.wait()
    }

    /// Bytes of device memory that can be had, those that wait in the pool included.
    ///
    /// # Errors
    /// Where the driver does not say.
    pub fn free_memory(&self) -> Result<u64> {
        let (free, _) = self.context.mem_get_info().map_err(|e| self.failed("asking for free memory", e))?;
        let pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        Ok((free + pool.free.iter().map(CudaSlice::len).sum::<usize>()) as u64)
    }

    /// How often the driver was asked for memory of the device or page-locked memory of the host.
    pub fn allocations(&self) -> u64 {
        let on_device = self.pool.lock().unwrap_or_else(PoisonError::into_inner).allocations;
        on_device + self.host_pool.lock().unwrap_or_else(PoisonError::into_inner).allocations
    }
}

impl Buffer {
    /// Where it lies on the device.
    pub fn address(&self) -> u64 {
        self.memory.as_ref().map_or(0, |memory| memory.device_ptr(&self.gpu.stream).0)
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
            self.gpu.pool.lock().unwrap_or_else(PoisonError::into_inner).give(memory);
        }
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{} bytes on {}", self.memory.as_ref().map_or(0, CudaSlice::len), self.gpu)
    }
}
