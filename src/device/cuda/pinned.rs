//! Page-locked memory of the host, from and to which a GPU copies while the CPU does something else. What is let go waits in a
//! pool for its next use, as device memory does.
//!
//! cudarc records no event for its own page-locked slices where it does not track events, as here: each piece has its own, which
//! tells when the last copy is done.
use std::fmt;
use std::sync::{Arc, PoisonError};

use bytemuck::Pod;
use cudarc::driver::{CudaEvent, DriverError, PinnedHostSlice, sys};

use super::Gpu;
use super::memory::{Buffer, Piece};
use crate::error::Result;

/// Memory with the event behind its last copy.
pub(super) struct Pinned {
    memory: PinnedHostSlice<u8>,
    copied: CudaEvent,
}

impl Piece for Pinned {
    fn bytes(&self) -> usize {
        self.memory.len()
    }
}

/// Bytes of the host that the GPU may be reading or writing.
pub struct HostBuffer {
    gpu: Arc<Gpu>,
    bytes: usize,
    /// `None` while it is dropped.
    pinned: Option<Pinned>,
}

impl Gpu {
    /// Page-locked memory of `bytes` bytes, which no copy uses.
    fn host_buffer(self: &Arc<Self>, bytes: usize) -> Result<HostBuffer> {
        let mut pool = self.host_pool.lock().unwrap_or_else(PoisonError::into_inner);
        let least = bytes.max(1);
        let pinned = pool.take(least).map_or_else(|| self.pin(least), Ok).map_err(|error| {
            self.failed(&format!("taking {:.1} MB of page-locked memory", bytes as f64 / 1e6), error)
        })?;
        Ok(HostBuffer { gpu: self.clone(), bytes, pinned: Some(pinned) })
    }

    fn pin(&self, bytes: usize) -> Result<Pinned, DriverError> {
        // Whoever waits sleeps: the cores are for reading the next block.
        let copied = self.context.new_event(Some(sys::CUevent_flags::CU_EVENT_BLOCKING_SYNC))?;
        // SAFETY: all bytes that are read are copied there before, by the host or by the GPU.
        let memory = unsafe { self.context.alloc_pinned_with_flags(bytes, 0)? };
        Ok(Pinned { memory, copied })
    }

    /// Page-locked memory that holds `values`.
    ///
    /// # Errors
    /// Where the host has no memory for it.
    pub fn stage<T: Pod>(self: &Arc<Self>, values: &[T]) -> Result<HostBuffer> {
        let bytes: &[u8] = bytemuck::cast_slice(values);
        let mut staged = self.host_buffer(bytes.len())?;
        if let Some(pinned) = &mut staged.pinned {
            let target = pinned.memory.as_mut_slice().map_err(|e| self.failed("waiting for a copy", e))?;
            target[..bytes.len()].copy_from_slice(bytes);
        }
        Ok(staged)
    }

    /// Device memory that will hold what is staged, for all that is launched from now on. Does not wait.
    ///
    /// # Errors
    /// Where the GPU has no memory for it or the driver refuses the copy.
    pub fn send(self: &Arc<Self>, staged: &HostBuffer) -> Result<Buffer> {
        let mut buffer = self.buffer(staged.bytes)?;
        if let (Some(Pinned { memory, copied }), Some(target)) = (&staged.pinned, buffer.memory_mut()) {
            let mut copy = || {
                let source = &memory.as_slice()?[..staged.bytes];
                self.stream.memcpy_htod(source, &mut target.slice_mut(..staged.bytes))?;
                copied.record(&self.stream)
            };
            copy().map_err(|error| self.failed(&format!("sending {} bytes", staged.bytes), error))?;
        }
        Ok(buffer)
    }

    /// The first `bytes` bytes of `buffer` as all that was launched before leaves them. Does not wait.
    ///
    /// # Errors
    /// Where the host has no memory for it or the driver refuses the copy.
    pub fn fetch(self: &Arc<Self>, buffer: &Buffer, bytes: usize) -> Result<HostBuffer> {
        let mut fetched = self.host_buffer(bytes)?;
        if let (Some(Pinned { memory, copied }), Some(source)) = (&mut fetched.pinned, buffer.memory()) {
            let mut copy = || {
                let target = &mut memory.as_mut_slice()?[..bytes];
                self.stream.memcpy_dtoh(&source.slice(..bytes), target)?;
                copied.record(&self.stream)
            };
            copy().map_err(|error| self.failed(&format!("fetching {bytes} bytes"), error))?;
        }
        Ok(fetched)
    }
}

impl HostBuffer {
    /// The values, when the last copy is done.
    ///
    /// # Errors
    /// Where the copy or a kernel before it failed.
    pub fn values<T: Pod>(&self) -> Result<&[T]> {
        let Some(Pinned { memory, copied }) = &self.pinned else { return Ok(&[]) };
        let bytes = copied.synchronize().and_then(|()| memory.as_slice());
        let bytes = bytes.map_err(|error| self.gpu.failed("waiting for the kernels", error))?;
        Ok(bytemuck::cast_slice(&bytes[..self.bytes]))
    }
}

impl Drop for HostBuffer {
    /// Waits for the last copy, so that nothing in the pool is in use.
    fn drop(&mut self) {
        if let Some(pinned) = self.pinned.take() {
            if let Err(error) = pinned.copied.synchronize() {
                tracing::trace!("waiting for a copy: {error}");
            }
            self.gpu.host_pool.lock().unwrap_or_else(PoisonError::into_inner).give(pinned);
        }
    }
}

impl fmt::Debug for HostBuffer {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{} bytes of the host for {}", self.bytes, self.gpu)
    }
}
