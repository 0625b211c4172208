//! Page-locked memory of the host, which a GPU copies to and from while the CPU does something else. All cores fill and
//! empty it: one does not keep up with the bus.
use std::ops::Range;
use std::sync::Arc;

use cudarc::driver::{CudaEvent, CudaSlice, CudaStream, DriverError, PinnedHostSlice, sys};
use rayon::prelude::*;

use super::Gpu;
use super::memory::{Piece, amount, locked};
use crate::error::Result;

/// Bytes of a part of an array, unless what comes as a whole has more. To lock more pages costs more than it saves.
pub(super) const PART: usize = 8 << 20;

/// Page-locked memory with the event behind its last copy.
pub(super) struct Pinned {
    pub(super) memory: PinnedHostSlice<u8>,
    pub(super) copied: CudaEvent,
}

/// Gives bytes of what is sent: those from the byte of a number on, for all of a slice. Several threads ask at once.
pub type Fill<'a> = dyn Fn(usize, &mut [u8]) + Sync + 'a;

impl Pinned {
    /// Takes `bytes` of what is sent when the last copy is done, and copies them to their place in `target` when the
    /// stream comes to it.
    pub(super) fn send(
        &mut self,
        bytes: Range<usize>,
        fill: &Fill,
        target: &mut CudaSlice<u8>,
        stream: &Arc<CudaStream>,
    ) -> Result<(), DriverError> {
        self.copied.synchronize()?;
        let staged = &mut self.memory.as_mut_slice()?[..bytes.len()];
        in_shares(staged, |first, share| fill(bytes.start + first, share));
        stream.memcpy_htod(staged, &mut target.slice_mut(bytes))?;
        self.copied.record(stream)
    }
}

impl Piece for Pinned {
    fn bytes(&self) -> usize {
        self.memory.len()
    }
}

impl Drop for Pinned {
    /// Its memory goes back to the driver.
    fn drop(&mut self) {
        log(self.copied.synchronize());
    }
}

/// Whoever waits for the GPU next is told the error.
pub(super) fn log(result: Result<(), DriverError>) {
    if let Err(error) = result {
        tracing::trace!("letting memory go: {error}");
    }
}

impl Gpu {
    /// Page-locked memory of at least `bytes` bytes, from which the last copy may still be on its way.
    pub(super) fn pinned(&self, bytes: usize) -> Result<Pinned> {
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

/// Has `work` done on all of `bytes`, on all cores where there are many: one does not keep up with the bus. It gets the
/// number of a share's first byte, and the share.
pub(super) fn in_shares(bytes: &mut [u8], work: impl Fn(usize, &mut [u8]) + Sync) {
    const SHARE: usize = 256 << 10;
    match bytes.len() {
        0..=SHARE => work(0, bytes),
        _ => bytes.par_chunks_mut(SHARE).enumerate().for_each(|(i, share)| work(i * SHARE, share)),
    }
}
