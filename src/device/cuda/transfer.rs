//! Copies between the host and a GPU.
//!
//! | copies | stream |
//! |---|---|
//! | `send` | of its own: a block's voxels come in while the kernels of the block before run |
//! | `fetch` | of its own: a block's classes go out while the kernels of the next one run |
//! | `upload` | the kernels': for arrays that come once |
//! | `download` | as `fetch`, and the call waits |
//!
//! The host's side is page-locked, from and to which a GPU copies while the CPU does something else: arrays pass
//! through a few pieces of it, part by part, and all cores fill or empty one part while the GPU copies another. What is
//! let go waits in a pool for its next use.
//!
//! cudarc records no event for its own page-locked slices where it does not track events, as here: each piece has its own.
use std::collections::VecDeque;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use bytemuck::Pod;
use cudarc::driver::{CudaEvent, CudaSlice, CudaStream, DevicePtr, DriverError};

use super::Gpu;
use super::memory::{Buffer, Piece, locked};
use super::pinned::{Fill, PART, Pinned, in_shares, log};
use crate::error::Result;

/// Parts that are on their way at a time: one that the GPU copies, one that the CPU fills or empties.
const UNDER_WAY: usize = 2;

/// Device memory for what is sent.
pub(super) struct Passage {
    memory: CudaSlice<u8>,
    /// Behind the last copy to it.
    sent: CudaEvent,
    /// Behind the last kernel that reads it.
    read: CudaEvent,
}

impl Piece for Passage {
    fn bytes(&self) -> usize {
        self.memory.len()
    }
}

impl Drop for Passage {
    /// Its memory goes back to the driver.
    fn drop(&mut self) {
        log(self.sent.synchronize());
        log(self.read.synchronize());
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
    parts: Parts,
    source: Buffer,
}

/// Bytes of a buffer on their way from a GPU.
struct Parts {
    gpu: Arc<Gpu>,
    /// Those that are not under way yet.
    rest: Range<usize>,
    /// Bytes of each part but the last one.
    part: usize,
    under_way: VecDeque<(Pinned, usize)>,
}

impl Gpu {
    /// Copies bytes, which `fill` gives, to the GPU, for all that is launched from now on. Does not wait for the
    /// kernels.
    ///
    /// # Errors
    /// Where host or GPU have no memory for them, or the driver refuses the copy.
    pub fn send(self: &Arc<Self>, bytes: usize, fill: &Fill) -> Result<Sent> {
        let found = locked(&self.passages).take(bytes);
        let mut passage = found.map_or_else(|| self.new_passage(bytes), Ok)?;
        let failed = |error| self.failed(&format!("sending {bytes} bytes"), error);
        self.up.wait(&passage.read).map_err(failed)?;
        self.copy_in(bytes, fill, &mut passage.memory, &self.up)?;
        passage.sent.record(&self.up).and_then(|()| self.compute.wait(&passage.sent)).map_err(failed)?;
        Ok(Sent { gpu: self.clone(), bytes, passage: Some(passage) })
    }

    /// Its device memory belongs to the stream that writes it.
    fn new_passage(&self, bytes: usize) -> Result<Passage> {
        let memory = self.allocate(&self.up, bytes)?;
        let event = || self.context.new_event(None).map_err(|error| self.failed("making an event", error));
        Ok(Passage { memory, sent: event()?, read: event()? })
    }

    /// Copies bytes, which `fill` gives, to `target` when the stream comes to it.
    fn copy_in(
        &self,
        bytes: usize,
        fill: &Fill,
        target: &mut CudaSlice<u8>,
        stream: &Arc<CudaStream>,
    ) -> Result<()> {
        let mut under_way = VecDeque::new();
        for start in (0..bytes).step_by(PART) {
            let part = start..bytes.min(start + PART);
            let free = if under_way.len() < UNDER_WAY { None } else { under_way.pop_front() };
            let mut pinned = free.map_or_else(|| self.pinned(part.len()), Ok)?;
            pinned
                .send(part, fill, target, stream)
                .map_err(|error| self.failed(&format!("sending {bytes} bytes"), error))?;
            under_way.push_back(pinned);
        }
        under_way.into_iter().for_each(|pinned| locked(&self.pinned).give(pinned));
        Ok(())
    }

    /// Copies the first `bytes` bytes of `buffer`, as all that was launched before leaves them, to the host, whole
    /// multiples of `unit` bytes at a time. Does not wait.
    ///
    /// # Errors
    /// Where the host has no memory for it or the driver refuses the copy.
    ///
    /// # Panics
    /// Where the buffer is smaller.
    pub fn fetch(buffer: Buffer, bytes: usize, unit: usize) -> Result<Fetched> {
        let unit = unit.max(1);
        let parts = Parts::start(&buffer, 0..bytes, (PART / unit).max(1) * unit)?;
        Ok(Fetched { parts, source: buffer })
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
        let target: &mut [u8] = bytemuck::cast_slice_mut(values);
        if target.is_empty() {
            return self.wait();
        }
        let start = first * size_of::<T>();
        let mut parts = Parts::start(buffer, start..start + target.len(), PART)?;
        for target in target.chunks_mut(PART) {
            parts.next(buffer, &mut |part: &[u8]| {
                in_shares(target, |first, share| share.copy_from_slice(&part[first..first + share.len()]));
            })?;
        }
        Ok(())
    }

    /// Device memory that holds `values`.
    ///
    /// # Errors
    /// Where the GPU has no memory for it or the copy fails.
    pub fn upload<T: Pod>(self: &Arc<Self>, values: &[T]) -> Result<Buffer> {
        let bytes: &[u8] = bytemuck::cast_slice(values);
        let mut buffer = self.buffer(bytes.len())?;
        let fill = |first: usize, share: &mut [u8]| {
            share.copy_from_slice(&bytes[first..first + share.len()]);
        };
        if let Some(target) = buffer.memory_mut() {
            self.copy_in(bytes.len(), &fill, target, &self.compute)?;
        }
        Ok(buffer)
    }
}

impl Sent {
    /// Where the values lie on the device.
    pub fn address(&self) -> u64 {
        self.passage.as_ref().map_or(0, |passage| passage.memory.device_ptr(&self.gpu.compute).0)
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

impl Parts {
    /// The first parts of some bytes of `buffer`, as all that was launched before leaves them.
    fn start(buffer: &Buffer, bytes: Range<usize>, part: usize) -> Result<Self> {
        let gpu = buffer.gpu().clone();
        gpu.down.join(&gpu.compute).map_err(|error| gpu.failed("waiting for the kernels", error))?;
        let mut parts = Parts { gpu, rest: bytes, part, under_way: VecDeque::new() };
        (0..UNDER_WAY).try_for_each(|_| parts.ask(buffer))?;
        Ok(parts)
    }

    /// Has the next part copied, if there is one.
    fn ask(&mut self, buffer: &Buffer) -> Result<()> {
        let end = self.rest.end.min(self.rest.start + self.part);
        let part = self.rest.start..end;
        let (false, Some(source)) = (part.is_empty(), buffer.memory()) else { return Ok(()) };
        let mut pinned = self.gpu.pinned(part.len())?;
        self.copy_out(source, part.clone(), &mut pinned)
            .map_err(|error| self.gpu.failed(&format!("fetching {} bytes", part.len()), error))?;
        self.under_way.push_back((pinned, part.len()));
        self.rest.start = end;
        Ok(())
    }

    fn copy_out(
        &self,
        source: &CudaSlice<u8>,
        part: Range<usize>,
        pinned: &mut Pinned,
    ) -> Result<(), DriverError> {
        let Pinned { memory, copied } = pinned;
        // What was sent from the same memory may still be on its way.
        self.gpu.down.wait(copied)?;
        let target = &mut memory.as_mut_slice()?[..part.len()];
        self.gpu.down.memcpy_dtoh(&source.slice(part), target)?;
        copied.record(&self.gpu.down)
    }

    /// Waits for the next part, which `take` gets; says whether there was one.
    fn next<T: Pod>(&mut self, buffer: &Buffer, take: &mut dyn FnMut(&[T])) -> Result<bool> {
        let Some((pinned, bytes)) = self.under_way.pop_front() else { return Ok(false) };
        let Pinned { memory, copied } = &pinned;
        let here = copied.synchronize().and_then(|()| memory.as_slice());
        let here = here.map_err(|error| self.gpu.failed("waiting for the kernels", error))?;
        take(bytemuck::cast_slice(&here[..bytes]));
        locked(&self.gpu.pinned).give(pinned);
        self.ask(buffer)?;
        Ok(true)
    }
}

impl Drop for Parts {
    /// Kernels that are launched from now on may use the device memory again, behind the copies.
    fn drop(&mut self) {
        for (pinned, _) in self.under_way.drain(..) {
            log(self.gpu.compute.wait(&pinned.copied));
            locked(&self.gpu.pinned).give(pinned);
        }
    }
}

impl Fetched {
    /// The values, when they are here, part by part.
    ///
    /// # Errors
    /// Where the copy or a kernel before it failed.
    pub fn for_each<T: Pod>(mut self, take: &mut dyn FnMut(&[T])) -> Result<()> {
        while self.parts.next(&self.source, take)? {}
        Ok(())
    }
}

impl fmt::Debug for Sent {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{} bytes for {}", self.bytes, self.gpu)
    }
}

impl fmt::Debug for Fetched {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{} bytes from {}", self.parts.rest.end, self.parts.gpu)
    }
}
