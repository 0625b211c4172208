//! Accesses of a warp to global memory, with their checks: bounds, alignment, written before read, and races
//! between the blocks of one launch.
//!
//! Per 4 bytes two stamps are kept: launch (20 bits), block (40 bits), and which of the 4 bytes (4 bits): the last
//! writer, and the readers: the last one, or `MANY` with the bytes that two different blocks have read. A conflict is told
//! when the other block's stamp is of this launch and covers a common byte. Stamps are updated without a lock: two blocks at the
//! same instant may miss each other, none is accused wrongly. Atomic and volatile accesses are left out: kernels
//! use them to communicate between blocks.

use super::device::{Allocation, Snapshot};
use crate::check::{Fault, Kind, Step};
use crate::exec::lanes::{LANES, lanes_of};
use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering::Relaxed};

const BYTE_BITS: u64 = 0xf;
const BLOCK_SHIFT: u32 = 4;
const LAUNCH_SHIFT: u32 = 44;
const MANY: u64 = ((1 << 40) - 1) << BLOCK_SHIFT;

/// Who accesses: the stamp of this block in this launch, without byte bits.
#[derive(Clone, Copy)]
pub struct Stamp(u64);

impl Stamp {
    pub fn new(launch: u64, block: u64) -> Stamp {
        Stamp((launch & 0xf_ffff) << LAUNCH_SHIFT | block << BLOCK_SHIFT)
    }

    fn launch(self) -> u64 {
        self.0 >> LAUNCH_SHIFT
    }

    fn same_launch(self, other: u64) -> bool {
        other >> LAUNCH_SHIFT == self.launch()
    }

    /// Whether the other stamp is of this launch, of another block, and shares a byte.
    fn conflicts(self, other: u64, bytes: u64) -> bool {
        self.same_launch(other) && other & !BYTE_BITS != self.0 && other & bytes != 0
    }
}

/// What an access is, apart from its addresses.
#[derive(Clone, Copy)]
pub struct Access {
    /// Bytes a lane: the width of the elements times their number.
    pub bytes: usize,
    /// Whether races are looked for.
    pub plain: bool,
}

/// Lanes whose addresses lie in one allocation.
pub struct Run<'a> {
    pub allocation: &'a Allocation,
    pub mask: u32,
}

/// Splits a warp's addresses by allocation; nearly always there is one.
pub fn runs<'a>(
    memory: &'a Snapshot,
    hint: &mut u32,
    addresses: &[u64; LANES],
    mask: u32,
    bytes: usize,
) -> Result<Run<'a>, Box<Fault>> {
    let first = mask.trailing_zeros() as usize;
    let unaligned = lanes_where(addresses, mask, |a| a & (bytes as u64 - 1) != 0);
    if unaligned != 0 {
        let lane = unaligned.trailing_zeros() as usize;
        let detail = format!("address {:#x} is no multiple of {bytes}", addresses[lane]);
        return Err(Fault::new(Kind::Misaligned, lane, detail));
    }
    let Some(found) = memory.before(addresses[first], hint) else {
        return Err(outside(memory, None, addresses[first], first, bytes));
    };
    let (base, limit) = (found.base, found.bytes as u64);
    let inside = lanes_where(addresses, mask, |a| {
        let offset = a.wrapping_sub(base);
        offset < limit && limit - offset >= bytes as u64
    });
    if inside & (1 << first) == 0 {
        return Err(outside(memory, Some(found), addresses[first], first, bytes));
    }
    Ok(Run { allocation: found, mask: inside })
}

#[inline(always)]
fn lanes_where(addresses: &[u64; LANES], mask: u32, test: impl Fn(u64) -> bool) -> u32 {
    let mut bits = 0;
    for (lane, &address) in addresses.iter().enumerate() {
        bits |= u32::from(test(address)) << lane;
    }
    bits & mask
}

fn outside(
    memory: &Snapshot,
    near: Option<&Allocation>,
    address: u64,
    lane: usize,
    bytes: usize,
) -> Box<Fault> {
    if memory.was_freed(address) {
        let detail = format!("{bytes} bytes at {address:#x}, in memory that was released");
        return Fault::new(Kind::UseAfterFree, lane, detail);
    }
    if let Some(device) = memory.device_of(address) {
        let detail = format!("{bytes} bytes at {address:#x}, in memory of device {device}");
        return Fault::new(Kind::OutOfBounds, lane, detail);
    }
    let place = near.map_or("no allocation lies before".to_owned(), |a| {
        let (offset, size) = (address - a.base, a.bytes);
        format!("offset {offset} from the start of an allocation of {size} bytes")
    });
    Fault::new(Kind::OutOfBounds, lane, format!("{bytes} bytes at {address:#x}: {place}"))
}

/// Checks lanes that are about to read, and notes that they did.
pub fn before_read(run: &Run, addresses: &[u64; LANES], access: Access, stamp: Stamp) -> Step {
    for lane in lanes_of(run.mask) {
        let offset = (addresses[lane] - run.allocation.base) as usize;
        if !is_written(run.allocation, offset, access.bytes) {
            let detail = format!("{} bytes at offset {offset} of their allocation", access.bytes);
            return Err(Fault::new(Kind::Uninitialised, lane, detail));
        }
        if access.plain {
            note_read(run.allocation, offset, access.bytes, stamp, lane)?;
        }
    }
    Ok(())
}

/// Checks lanes that are about to write, and notes that they did.
pub fn before_write(run: &Run, addresses: &[u64; LANES], access: Access, stamp: Stamp) -> Step {
    for lane in lanes_of(run.mask) {
        let offset = (addresses[lane] - run.allocation.base) as usize;
        set_written(run.allocation, offset, access.bytes);
        if access.plain {
            note_write(run.allocation, offset, access.bytes, stamp, lane)?;
        }
    }
    Ok(())
}

/// The words that an access covers, each with the bits of its bytes.
#[inline(always)]
fn words(offset: usize, bytes: usize) -> impl Iterator<Item = (usize, u64)> {
    let bits = if bytes < 4 { ((1 << bytes) - 1) << (offset & 3) } else { BYTE_BITS };
    (offset / 4..offset / 4 + bytes.div_ceil(4)).map(move |word| (word, bits))
}

#[inline(always)]
fn note_read(memory: &Allocation, offset: usize, bytes: usize, stamp: Stamp, lane: usize) -> Step {
    for (word, bits) in words(offset, bytes) {
        let writer = memory.writer(word).load(Relaxed);
        if stamp.conflicts(writer, bits) {
            return Err(race("reads what", writer, offset, lane));
        }
        let readers = memory.reader(word);
        let seen = readers.load(Relaxed);
        let common = seen & bits;
        let merged = if !stamp.same_launch(seen) {
            stamp.0 | bits
        } else if seen & !BYTE_BITS == stamp.0 {
            seen | bits
        } else if seen & MANY == MANY {
            seen
        } else if common != 0 {
            stamp.launch() << LAUNCH_SHIFT | MANY | common
        } else {
            stamp.0 | bits
        };
        if merged != seen {
            readers.store(merged, Relaxed);
        }
    }
    Ok(())
}

#[inline(always)]
fn note_write(memory: &Allocation, offset: usize, bytes: usize, stamp: Stamp, lane: usize) -> Step {
    for (word, bits) in words(offset, bytes) {
        let writer = memory.writer(word);
        let seen = writer.load(Relaxed);
        if stamp.conflicts(seen, bits) {
            return Err(race("writes what", seen, offset, lane));
        }
        let readers = memory.reader(word).load(Relaxed);
        if stamp.conflicts(readers, bits) {
            return Err(race("writes what was read by", readers, offset, lane));
        }
        let own = seen & !BYTE_BITS == stamp.0;
        writer.store(if own { seen | bits } else { stamp.0 | bits }, Relaxed);
    }
    Ok(())
}

fn race(does: &str, other: u64, offset: usize, lane: usize) -> Box<Fault> {
    let block = (other & MANY) >> BLOCK_SHIFT;
    let who = if other & MANY == MANY { "several blocks".into() } else { format!("block number {block}") };
    let verb = if does.ends_with("by") { "" } else { " wrote" };
    let detail = format!("{does} {who}{verb} in this launch, at offset {offset} of the allocation");
    Fault::new(Kind::GlobalRace, lane, detail)
}

#[inline(always)]
fn is_written(memory: &Allocation, offset: usize, bytes: usize) -> bool {
    // SAFETY: `runs` checked that the bytes lie in the allocation and are aligned to their number (at most 16).
    unsafe {
        let flags = memory.written().add(offset);
        match bytes {
            1 => (*flags.cast::<AtomicU8>()).load(Relaxed) == 1,
            2 => (*flags.cast::<AtomicU16>()).load(Relaxed) == 0x0101,
            4 => (*flags.cast::<AtomicU32>()).load(Relaxed) == 0x0101_0101,
            _ => (0..bytes / 8)
                .all(|i| (*flags.cast::<AtomicU64>().add(i)).load(Relaxed) == 0x0101_0101_0101_0101),
        }
    }
}

#[inline(always)]
fn set_written(memory: &Allocation, offset: usize, bytes: usize) {
    // SAFETY: as in `is_written`.
    unsafe {
        let flags = memory.written().add(offset);
        match bytes {
            1 => (*flags.cast::<AtomicU8>()).store(1, Relaxed),
            2 => (*flags.cast::<AtomicU16>()).store(0x0101, Relaxed),
            4 => (*flags.cast::<AtomicU32>()).store(0x0101_0101, Relaxed),
            _ => (0..bytes / 8)
                .for_each(|i| (*flags.cast::<AtomicU64>().add(i)).store(0x0101_0101_0101_0101, Relaxed)),
        }
    }
}
