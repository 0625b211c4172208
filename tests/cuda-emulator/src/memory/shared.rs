//! Shared memory of one block, with its checks: bounds, alignment, written before read, races between warps, and
//! asynchronous copies that nobody waited for.
//!
//! Order between warps is kept as vector clocks (FastTrack: Flanagan and Freund, 2009): a barrier joins the clocks
//! of those that meet there. Per byte there is one stamp (clock and warp) of the last write and one of the reads,
//! where several warps that read since the last write count as `MANY`. Accesses within one warp count as ordered.

use crate::check::{Fault, Kind, Step};

const WARP_BITS: u32 = 8;
const WARP_MASK: u32 = 0xff;
const MANY: u32 = 0xff;
/// Written by atomic accesses, of whichever warps.
const ATOMIC: u32 = 0xfe;
/// Clock of bytes that an asynchronous copy is on its way to.
const IN_FLIGHT: u32 = u32::MAX >> WARP_BITS;
pub const MAX_WARPS: usize = 32;

/// Bytes aligned as the widest access needs them.
#[derive(Clone, Copy)]
#[repr(C, align(16))]
struct Chunk([u8; 16]);

pub struct Shared {
    chunks: Vec<Chunk>,
    size: usize,
    writes: Vec<u32>,
    reads: Vec<u32>,
    /// `clocks[a][b]`: up to which clock of warp b warp a has seen everything.
    clocks: [[u32; MAX_WARPS]; MAX_WARPS],
    warps: usize,
}

/// Whether all stamps are the given one.
#[inline(always)]
fn uniform(stamps: &[u32], stamp: u32) -> bool {
    // The commonest width, without a loop.
    if let [a, b, c, d] = *stamps {
        return (a ^ stamp) | (b ^ stamp) | (c ^ stamp) | (d ^ stamp) == 0;
    }
    let mut differ = 0;
    for other in stamps {
        differ |= other ^ stamp;
    }
    differ == 0
}

impl Shared {
    pub fn new(size: usize, warps: usize) -> Shared {
        let chunks = vec![Chunk([0; 16]); size.div_ceil(16)];
        let clocks = [[0; MAX_WARPS]; MAX_WARPS];
        let mut shared = Shared { chunks, size, writes: vec![0; size], reads: vec![0; size], clocks, warps };
        shared.reset();
        shared
    }

    /// As a new block finds it.
    pub fn reset(&mut self) {
        self.writes.fill(0);
        self.reads.fill(0);
        self.clocks = [[0; MAX_WARPS]; MAX_WARPS];
        for warp in 0..MAX_WARPS {
            self.clocks[warp][warp] = 1;
        }
    }

    pub fn bytes(&self) -> &[u8] {
        // SAFETY: the chunks are plain bytes.
        unsafe { std::slice::from_raw_parts(self.chunks.as_ptr().cast(), self.size) }
    }

    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.chunks.as_mut_ptr().cast(), self.size) }
    }

    /// The warps that arrived (`from`) are seen by those that leave (`to`) a barrier.
    pub fn meet(&mut self, from: u32, to: u32) {
        let mut joined = [0; MAX_WARPS];
        for warp in (0..self.warps).filter(|warp| from >> warp & 1 == 1) {
            for (known, seen) in joined.iter_mut().zip(&self.clocks[warp]) {
                *known = (*known).max(*seen);
            }
        }
        let now = joined.iter().max().copied().unwrap_or(0) + 1;
        for warp in (0..self.warps).filter(|warp| (from | to) >> warp & 1 == 1) {
            if to >> warp & 1 == 1 {
                for (known, seen) in self.clocks[warp].iter_mut().zip(&joined) {
                    *known = (*known).max(*seen);
                }
            }
            self.clocks[warp][warp] = now;
        }
    }

    /// The range as indices, if it is aligned and lies within.
    #[inline(always)]
    pub fn range(&self, address: u64, bytes: usize, lane: usize) -> Result<usize, Box<Fault>> {
        if address & (bytes as u64 - 1) != 0 {
            let detail = format!("shared address {address:#x} is no multiple of {bytes}");
            return Err(Fault::new(Kind::Misaligned, lane, detail));
        }
        if address + bytes as u64 > self.size as u64 {
            let detail = format!("{bytes} bytes at {address:#x} of {} bytes of shared memory", self.size);
            return Err(Fault::new(Kind::OutOfBounds, lane, detail));
        }
        Ok(address as usize)
    }

    #[inline(always)]
    fn stamp(&self, warp: usize) -> u32 {
        self.clocks[warp][warp] << WARP_BITS | warp as u32
    }

    #[inline(always)]
    fn is_ordered(&self, stamp: u32, warp: usize) -> bool {
        let (clock, by) = (stamp >> WARP_BITS, stamp & WARP_MASK);
        if by == MANY || by == ATOMIC {
            return self.clocks[warp][..self.warps].iter().all(|seen| *seen >= clock);
        }
        by as usize == warp || self.clocks[warp][by as usize & (MAX_WARPS - 1)] >= clock
    }

    /// Checks a read and notes it.
    #[inline(always)]
    pub fn before_read(&mut self, at: usize, bytes: usize, warp: usize, lane: usize) -> Step {
        let writes = &self.writes[at..at + bytes];
        let first = writes[0];
        if uniform(writes, first) {
            // Written by this warp, and not by a copy that is still going on: nothing to look up.
            if first & WARP_MASK != warp as u32 || first == 0 || first >> WARP_BITS == IN_FLIGHT {
                self.check_written(first, at, warp, lane)?;
            }
        } else {
            for byte in at..at + bytes {
                self.check_written(self.writes[byte], byte, warp, lane)?;
            }
        }
        let (reads, own) = (&self.reads[at..at + bytes], self.stamp(warp));
        if !uniform(reads, own) && !uniform(reads, own | MANY) {
            self.note_read(at, bytes, warp);
        }
        Ok(())
    }

    fn check_written(&self, write: u32, byte: usize, warp: usize, lane: usize) -> Step {
        if write == 0 {
            let detail = format!("byte {byte} of shared memory");
            return Err(Fault::new(Kind::Uninitialised, lane, detail));
        }
        if write >> WARP_BITS == IN_FLIGHT {
            let detail = format!("byte {byte} of shared memory is still being copied");
            return Err(Fault::new(Kind::UnwaitedCopy, lane, detail));
        }
        if !self.is_ordered(write, warp) {
            return Err(self.race("reads what", write, byte, lane));
        }
        Ok(())
    }

    fn note_read(&mut self, at: usize, bytes: usize, warp: usize) {
        let first = self.reads[at];
        if uniform(&self.reads[at..at + bytes], first) {
            let stamp = self.joined_readers(first, warp);
            self.reads[at..at + bytes].fill(stamp);
            return;
        }
        for byte in at..at + bytes {
            self.reads[byte] = self.joined_readers(self.reads[byte], warp);
        }
    }

    /// The stamp of readers, this warp added.
    fn joined_readers(&self, seen: u32, warp: usize) -> u32 {
        let own = self.stamp(warp);
        match seen == 0 || self.is_ordered(seen, warp) {
            true => own,
            false => (own >> WARP_BITS).max(seen >> WARP_BITS) << WARP_BITS | MANY,
        }
    }

    /// Checks a write and notes it.
    #[inline(always)]
    pub fn before_write(&mut self, at: usize, bytes: usize, warp: usize, lane: usize) -> Step {
        let own = self.stamp(warp);
        let (first, read) = (self.writes[at], self.reads[at]);
        if uniform(&self.writes[at..at + bytes], first) && uniform(&self.reads[at..at + bytes], read) {
            self.check_overwrite(first, read, at, warp, lane)?;
        } else {
            for byte in at..at + bytes {
                self.check_overwrite(self.writes[byte], self.reads[byte], byte, warp, lane)?;
            }
        }
        self.writes[at..at + bytes].fill(own);
        self.reads[at..at + bytes].fill(0);
        Ok(())
    }

    #[inline(always)]
    fn check_overwrite(&self, write: u32, read: u32, byte: usize, warp: usize, lane: usize) -> Step {
        if write >> WARP_BITS == IN_FLIGHT {
            let detail = format!("byte {byte} of shared memory is written while still being copied to");
            return Err(Fault::new(Kind::UnwaitedCopy, lane, detail));
        }
        if write != 0 && !self.is_ordered(write, warp) {
            return Err(self.race("writes what", write, byte, lane));
        }
        if read != 0 && !self.is_ordered(read, warp) {
            return Err(self.race("writes what was read by", read, byte, lane));
        }
        Ok(())
    }

    fn race(&self, does: &str, other: u32, byte: usize, lane: usize) -> Box<Fault> {
        let by = other & WARP_MASK;
        let who = if by == MANY || by == ATOMIC { "several warps".to_owned() } else { format!("warp {by}") };
        let verb = if does.ends_with("by") { "" } else { " wrote" };
        let detail = format!("{does} {who}{verb} without a barrier between, byte {byte}");
        Fault::new(Kind::SharedRace, lane, detail)
    }

    /// Atomic accesses of different warps need no order among each other, but what they touch must be written.
    /// They count as writes by `ATOMIC`, which conflicts with nothing but an unordered plain access.
    pub fn before_atomic(&mut self, at: usize, bytes: usize, warp: usize, lane: usize) -> Step {
        for byte in at..at + bytes {
            let write = self.writes[byte];
            if write & WARP_MASK != ATOMIC {
                self.check_written(write, byte, warp, lane)?;
            }
            let clock = (self.stamp(warp) >> WARP_BITS).max(write >> WARP_BITS);
            self.writes[byte] = clock << WARP_BITS | ATOMIC;
        }
        Ok(())
    }

    /// An asynchronous copy by this warp is on its way to these bytes.
    pub fn copy_begins(&mut self, at: usize, bytes: usize, warp: usize, lane: usize) -> Step {
        self.before_write(at, bytes, warp, lane)?;
        self.writes[at..at + bytes].fill(IN_FLIGHT << WARP_BITS | warp as u32);
        Ok(())
    }

    /// The copy was waited for: from now it counts as written by the warp that waited.
    pub fn copy_ends(&mut self, at: usize, bytes: usize, warp: usize) {
        let own = self.stamp(warp);
        self.writes[at..at + bytes].fill(own);
    }
}
