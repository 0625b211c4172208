//! Copies between the host and a GPU.
//!
//! | copies | stream |
//! |---|---|
//! | `send` | of its own: a block's voxels come in while the kernels of the block before run |
//! | `fetch` | of its own: a block's classes go out while the kernels of the next one run |
//! | `upload` | the kernels': for arrays that come once |
//! | `download` | as `fetch`, and the call waits |
//!
//! The host's side is page-locked, from and to which a GPU copies while the CPU does something else: large arrays pass through
//! it part by part. What is let go waits in a pool for its next use.
//!
//! cudarc records no event for its own page-locked slices where it does not track events, as here: each piece has its own.
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use bytemuck::Pod;
use cudarc::driver::{CudaEvent, CudaSlice, CudaStream, DevicePtr, DriverError, PinnedHostSlice, sys};
use rayon::prelude::*;

use super::Gpu;
use super::memory::{Buffer, Piece, amount, locked};
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

impl Pinned {
    /// Copies bytes to `target`, from its byte `start` on, when the last copy is done and the stream comes to it.
    fn send(
        &mut self,
        bytes: &[u8],
        target: &mut CudaSlice<u8>,
        start: usize,
        stream: &Arc<CudaStream>,
    ) -> Result<(), DriverError> {
        self.copied.synchronize()?;
        let staged = &mut self.memory.as_mut_slice()?[..bytes.len()];
        copy(bytes, staged);
        stream.memcpy_htod(staged, &mut target.slice_mut(start..start + bytes.len()))?;
        self.copied.record(stream)
    }
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
        let read = self.context.new_event(None).map_err(|error| self.failed("making an event", error))?;
        Ok(Passage { host: self.pin(bytes)?, device, read })
    }

    fn copy_in(&self, bytes: &[u8], passage: &mut Passage) -> Result<(), DriverError> {
        let Passage { host, device, read } = passage;
        self.up.wait(read)?;
        host.send(bytes, device, 0, &self.up)?;
        self.compute.wait(&host.copied)
    }

    /// Copies the first `bytes` bytes of `buffer`, as all that was launched before leaves them, to the host. Does not wait.
    ///
    /// # Errors
    /// Where the host has no memory for it or the driver refuses the copy.
    ///
    /// # Panics
    /// Where the buffer is smaller.
    pub fn fetch(buffer: Buffer, bytes: usize) -> Result<Fetched> {
        let mut fetched = Self::fetch_part(&buffer, 0..bytes)?;
        fetched.source = Some(buffer);
        Ok(fetched)
    }

    fn fetch_part(buffer: &Buffer, bytes: Range<usize>) -> Result<Fetched> {
        let gpu = buffer.gpu();
        let mut pinned = gpu.pinned(bytes.len())?;
        gpu.copy_out(buffer, bytes.clone(), &mut pinned)
            .map_err(|error| gpu.failed(&format!("fetching {} bytes", bytes.len()), error))?;
        Ok(Fetched { gpu: gpu.clone(), bytes: bytes.len(), pinned: Some(pinned), source: None })
    }

    fn copy_out(&self, buffer: &Buffer, bytes: Range<usize>, pinned: &mut Pinned) -> Result<(), DriverError> {
        let Pinned { memory, copied } = pinned;
        let Some(source) = buffer.memory() else { return Ok(()) };
        // Its place on the kernels' stream first, then that of the copy.
        copied.record(&self.compute)?;
        self.down.wait(copied)?;
        let target = &mut memory.as_mut_slice()?[..bytes.len()];
        self.down.memcpy_dtoh(&source.slice(bytes), target)?;
        copied.record(&self.down)
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
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(values);
        let mut ahead: Option<(Fetched, &mut [u8])> = None;
        let mut start = first * size_of::<T>();
        for part in bytes.chunks_mut(PART) {
            let end = start + part.len();
            let before = ahead.replace((Self::fetch_part(buffer, start..end)?, part));
            before.map_or(Ok(()), |(fetched, part)| fetched.copy_to(part))?;
            start = end;
        }
        ahead.map_or_else(|| self.wait(), |(fetched, part)| fetched.copy_to(part))
    }

    /// Device memory that holds `values`.
    ///
    /// # Errors
    /// Where the GPU has no memory for it or the copy fails.
    pub fn upload<T: Pod>(self: &Arc<Self>, values: &[T]) -> Result<Buffer> {
        let bytes: &[u8] = bytemuck::cast_slice(values);
        let mut buffer = self.buffer(bytes.len())?;
        let mut before = None;
        for (i, part) in bytes.chunks(PART).enumerate() {
            let mut pinned = self.pinned(part.len())?;
            let target = buffer.memory_mut();
            target
                .map_or(Ok(()), |target| pinned.send(part, target, i * PART, &self.compute))
                .map_err(|error| self.failed(&format!("sending {} bytes", part.len()), error))?;
            // Only now, so that the next part does not wait for this one's memory.
            before.replace(pinned).into_iter().for_each(|pinned| locked(&self.pinned).give(pinned));
        }
        before.into_iter().for_each(|pinned| locked(&self.pinned).give(pinned));
        Ok(buffer)
    }

    /// Page-locked memory of at least `bytes` bytes, from which the last copy may still be on its way.
    fn pinned(&self, bytes: usize) -> Result<Pinned> {
        // Small arrays share a few pieces: to lock pages takes longer than to copy them.
        let bytes = if bytes < PART { bytes.max(PART >> 8).next_power_of_two() } else { bytes };
        let found = locked(&self.pinned).take(bytes);
        found.map_or_else(|| self.pin(bytes), Ok)
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
        pin().map_err(|error| self.failed(&format!("taking {} of page-locked memory", amount(bytes)), error))
    }
}

/// Bytes of a large array that are on their way at a time.
const PART: usize = 16 << 20;

/// Large arrays on all cores: one does not keep up with the bus.
fn copy(from: &[u8], to: &mut [u8]) {
    const SHARE: usize = 1 << 20;
    if from.len() <= SHARE {
        return to.copy_from_slice(from);
    }
    let parts = to.par_chunks_mut(SHARE).zip(from.par_chunks(SHARE));
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

    fn copy_to(&self, target: &mut [u8]) -> Result<()> {
        copy(self.values()?, target);
        Ok(())
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
