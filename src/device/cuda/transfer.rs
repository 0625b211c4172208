//! Copies beside the kernels: what is sent runs on one stream, what is fetched on another, and events order both with the
//! kernels' stream. So a block's voxels come in and its classes go out while the kernels of other blocks run.
//!
//! The host's side of a copy is page-locked, from and to which a GPU copies while the CPU does something else. What is let go
//! waits in a pool for its next use.
//!
//! cudarc records no event for its own page-locked slices where it does not track events, as here: each piece has its own.
use std::fmt;
use std::sync::Arc;

use bytemuck::Pod;
use cudarc::driver::{CudaEvent, CudaSlice, DevicePtr, DriverError, PinnedHostSlice, sys};
use rayon::prelude::*;

use super::Gpu;
use super::memory::{Buffer, Piece, locked};
use crate::error::Result;

/// Page-locked memory with the event behind its last copy.
pub(super) struct Pinned {
    memory: PinnedHostSlice<u8>,
    copied: CudaEvent,
}

/// Page-locked memory with the device memory to which it is copied.
pub(super) struct Passage {
    host: Pinned,
    device: CudaSlice<u8>,
    /// Behind the last kernel that reads the device memory.
    read: CudaEvent,
}

impl Piece for Pinned {
    fn bytes(&self) -> usize {
        self.memory.len()
    }
}

impl Piece for Passage {
    fn bytes(&self) -> usize {
        self.device.len()
    }
}

impl Drop for Pinned {
    /// Its memory goes back to the driver.
    fn drop(&mut self) {
        log(self.copied.synchronize());
    }
}

impl Drop for Passage {
    /// Its memory goes back to the driver.
    fn drop(&mut self) {
        log(self.read.synchronize());
    }
}

/// Whoever waits for the GPU next is told the error.
fn log(result: Result<(), DriverError>) {
    if let Err(error) = result {
        tracing::trace!("letting memory go: {error}");
    }
}

/// Values on their way to a GPU, for all kernels that are launched while they are here.
pub struct Sent {
    gpu: Arc<Gpu>,
    bytes: usize,
    /// `None` while it is dropped.
    passage: Option<Passage>,
}

/// Values on their way from a GPU.
pub struct Fetched {
    gpu: Arc<Gpu>,
    bytes: usize,
    /// `None` while it is dropped.
    pinned: Option<Pinned>,
    /// Where they come from.
    source: Option<Buffer>,
}

impl Gpu {
    /// Copies values to the GPU, for all that is launched from now on. Does not wait for the kernels.
    ///
    /// # Errors
    /// Where host or GPU have no memory for them, or the driver refuses the copy.
    pub fn send<T: Pod>(self: &Arc<Self>, values: &[T]) -> Result<Sent> {
        let bytes: &[u8] = bytemuck::cast_slice(values);
        let found = locked(&self.passages).take(bytes.len());
        let mut passage = found.map_or_else(|| self.new_passage(bytes.len()), Ok)?;
        let sent = self.copy_in(bytes, &mut passage);
        sent.map_err(|error| self.failed(&format!("sending {} bytes", bytes.len()), error))?;
        Ok(Sent { gpu: self.clone(), bytes: bytes.len(), passage: Some(passage) })
    }

    /// Its device memory belongs to the stream that writes it.
    fn new_passage(&self, bytes: usize) -> Result<Passage> {
        let device = self.allocate(&self.up, bytes)?;
        let event = || self.context.new_event(None);
        let read = event().map_err(|error| self.failed("making an event", error))?;
        Ok(Passage { host: self.pin(bytes)?, device, read })
    }

    fn copy_in(&self, bytes: &[u8], passage: &mut Passage) -> Result<(), DriverError> {
        let Passage { host: Pinned { memory, copied }, device, read } = passage;
        copied.synchronize()?;
        let staged = &mut memory.as_mut_slice()?[..bytes.len()];
        copy(bytes, staged);
        self.up.wait(read)?;
        self.up.memcpy_htod(staged, &mut device.slice_mut(..bytes.len()))?;
        copied.record(&self.up)?;
        self.compute.wait(copied)
    }

    /// Copies the first `bytes` bytes of `buffer`, as all that was launched before leaves them, to the host. Does not wait.
    ///
    /// # Errors
    /// Where the host has no memory for it or the driver refuses the copy.
    pub fn fetch(self: &Arc<Self>, buffer: Buffer, bytes: usize) -> Result<Fetched> {
        let found = locked(&self.pinned).take(bytes);
        let mut pinned = found.map_or_else(|| self.pin(bytes), Ok)?;
        self.copy_out(&buffer, bytes, &mut pinned)
            .map_err(|error| self.failed(&format!("fetching {bytes} bytes"), error))?;
        Ok(Fetched { gpu: self.clone(), bytes, pinned: Some(pinned), source: Some(buffer) })
    }

    fn copy_out(&self, buffer: &Buffer, bytes: usize, pinned: &mut Pinned) -> Result<(), DriverError> {
        let Pinned { memory, copied } = pinned;
        let Some(source) = buffer.memory() else { return Ok(()) };
        // Its place on the kernels' stream first, then that of the copy.
        copied.record(&self.compute)?;
        self.down.wait(copied)?;
        self.down.memcpy_dtoh(&source.slice(..bytes), &mut memory.as_mut_slice()?[..bytes])?;
        copied.record(&self.down)
    }

    fn pin(&self, bytes: usize) -> Result<Pinned> {
        let bytes = bytes.max(1);
        let pin = || -> Result<_, DriverError> {
            // Whoever waits sleeps: the cores are for reading the next block.
            let copied = self.context.new_event(Some(sys::CUevent_flags::CU_EVENT_BLOCKING_SYNC))?;
            // SAFETY: all bytes that are read are copied there before, by the host or by the GPU.
            let memory = unsafe { self.context.alloc_pinned_with_flags(bytes, 0)? };
            Ok(Pinned { memory, copied })
        };
        pin().map_err(|error| {
            self.failed(&format!("taking {:.1} MB of page-locked memory", bytes as f64 / 1e6), error)
        })
    }
}

/// On all cores: one does not keep up with the bus.
fn copy(from: &[u8], to: &mut [u8]) {
    const PART: usize = 1 << 20;
    let parts = to.par_chunks_mut(PART).zip(from.par_chunks(PART));
    parts.for_each(|(to, from)| to.copy_from_slice(from));
}

impl Sent {
    /// Where the values lie on the device.
    pub fn address(&self) -> u64 {
        self.passage.as_ref().map_or(0, |passage| passage.device.device_ptr(&self.gpu.compute).0)
    }
}

impl Drop for Sent {
    /// What is launched from now on does not read the values.
    fn drop(&mut self) {
        if let Some(passage) = self.passage.take() {
            log(passage.read.record(&self.gpu.compute));
            locked(&self.gpu.passages).give(passage);
        }
    }
}

impl Fetched {
    /// The values, when they are here.
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

impl Drop for Fetched {
    /// Kernels that are launched from now on may use the device memory again, behind the copy.
    fn drop(&mut self) {
        if let Some(pinned) = self.pinned.take() {
            log(self.gpu.compute.wait(&pinned.copied));
            self.source = None;
            locked(&self.gpu.pinned).give(pinned);
        }
    }
}

impl fmt::Debug for Sent {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{} bytes for {}", self.bytes, self.gpu)
    }
}

impl fmt::Debug for Fetched {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{} bytes from {}", self.bytes, self.gpu)
    }
}
