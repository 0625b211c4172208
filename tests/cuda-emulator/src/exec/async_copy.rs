//! Asynchronous copies from global to shared memory (PTX ISA, section 9.7.9.25). The bytes move at once, but nobody
//! may touch them before the thread that copies has waited, and no other warp before a barrier after that.

use super::lanes::{LANES, Slot, lanes_of};
use super::memory::Address;
use super::schedule::PendingCopy;
use super::site::Site;
use super::{Decoded, Env, Result};
use crate::check::{Fault, Kind, Step};
use crate::count::Class;
use crate::memory::global::{self, Access};
use crate::parse::ast::{Operand, Type};

pub fn decode(site: &mut Site) -> Option<Result<Decoded>> {
    if site.name != "cp" {
        return None;
    }
    if !site.mods.take("async") {
        return Some(Err("cp without .async".to_owned()));
    }
    let decoded = match site.mods.take_any(&["commit_group", "wait_group", "wait_all"]) {
        Some("commit_group") => Ok(commit()),
        Some("wait_group") => wait_group(site),
        Some(_) => Ok(Decoded::run(Class::AsyncCopy, Box::new(|env, mask| wait(env, mask, u32::MAX)))),
        None => copy(site),
    };
    Some(decoded)
}

fn commit() -> Decoded {
    Decoded::run(
        Class::AsyncCopy,
        Box::new(|env, mask| {
            lanes_of(mask).for_each(|lane| env.warp.committed[lane] += 1);
            Ok(())
        }),
    )
}

/// `cp.async.wait_group N`: all groups but the last N.
fn wait_group(site: &mut Site) -> Result<Decoded> {
    let Operand::Integer(keep) = site.operand(0)? else {
        return Err("wait_group needs an immediate".to_owned());
    };
    let keep = *keep as u32;
    Ok(Decoded::run(Class::AsyncCopy, Box::new(move |env, mask| wait(env, mask, keep))))
}

/// Ends the copies of the lanes; `keep` as `u32::MAX` waits for uncommitted ones as well.
fn wait(env: &mut Env, mask: u32, keep: u32) -> Step {
    let warp = &mut *env.warp;
    let (committed, shared, index) = (&warp.committed, &mut *env.shared, warp.index);
    warp.pending.retain(|copy| {
        let done = keep == u32::MAX || copy.group.saturating_add(keep) < committed[copy.lane];
        let ends = mask >> copy.lane & 1 == 1 && done;
        if ends {
            shared.copy_ends(copy.at, copy.bytes, index);
        }
        !ends
    });
    Ok(())
}

/// `cp.async.ca.shared.global [dst], [src], size{, src-size}`: bytes beyond src-size are zero.
fn copy(site: &mut Site) -> Result<Decoded> {
    let cache = site.mods.take_any(&["ca", "cg"]).ok_or("cp.async without .ca or .cg")?;
    if site.mods.take_any(&["shared", "shared::cta"]).is_none() || !site.mods.take("global") {
        return Err("cp.async other than from global to shared memory".to_owned());
    }
    site.mods.take_any(&["L2::64B", "L2::128B", "L2::256B"]);
    let (to, from) = (Address::decode(site, 0)?, Address::decode(site, 1)?);
    let bytes = match site.operand(2)? {
        Operand::Integer(16) => 16,
        Operand::Integer(4) if cache == "ca" => 4,
        Operand::Integer(8) if cache == "ca" => 8,
        other => return Err(format!("cp.async.{cache} of {other:?} bytes")),
    };
    let size = if site.operands() > 3 { Some(site.src(3, Type::U32)?) } else { None };
    Ok(Decoded::run(
        Class::AsyncCopy,
        Box::new(move |env, mask| {
            let (to, from) = (to.lanes(env), from.lanes(env));
            let kept = source_sizes(env, size, bytes);
            begin(env, &to, mask, bytes)?;
            let lanes = |test: fn(usize, usize) -> bool| {
                let found = lanes_of(mask).filter(|lane| test(kept[*lane], bytes));
                found.fold(0, |bits, lane| bits | 1 << lane)
            };
            let (reading, whole) = (lanes(|kept, _| kept > 0), lanes(|kept, bytes| kept == bytes));
            if reading != 0 {
                env.counts.global_access(&from, reading, bytes);
            }
            fetch(env, &to, &from, whole, bytes)?;
            lanes_of(mask & !whole)
                .try_for_each(|lane| fetch_part(env, to[lane], &from, lane, [kept[lane], bytes]))
        }),
    ))
}

fn source_sizes(env: &Env, size: Option<Slot>, bytes: usize) -> [usize; LANES] {
    match size {
        None => [bytes; LANES],
        Some(slot) => env.warp.registers.get::<u32>(slot).map(|size| (size as usize).min(bytes)),
    }
}

/// Notes that copies are on their way.
fn begin(env: &mut Env, to: &[u64; LANES], mask: u32, bytes: usize) -> Step {
    env.counts.shared_access(to, mask, bytes);
    for lane in lanes_of(mask) {
        let at = env.shared.range(to[lane], bytes, lane)?;
        env.shared.copy_begins(at, bytes, env.warp.index, lane)?;
        let group = env.warp.committed[lane];
        env.warp.pending.push(PendingCopy { lane, group, at, bytes });
    }
    Ok(())
}

/// Copies whole lanes.
fn fetch(env: &mut Env, to: &[u64; LANES], from: &[u64; LANES], mut mask: u32, bytes: usize) -> Step {
    while mask != 0 {
        let run = global::runs(&env.launch.memory, &mut env.hints[env.pc], from, mask, bytes)?;
        global::before_read(&run, from, Access { bytes, plain: true }, env.stamp)?;
        for lane in lanes_of(run.mask) {
            let (target, offset) = (to[lane] as usize, (from[lane] - run.allocation.base) as usize);
            // SAFETY: `runs` checked the access against the allocation.
            let source = unsafe { std::slice::from_raw_parts(run.allocation.data().add(offset), bytes) };
            env.shared.bytes_mut()[target..target + bytes].copy_from_slice(source);
        }
        mask &= !run.mask;
    }
    Ok(())
}

/// Copies the first bytes of one lane and zeroes the others. The address is aligned to the full size, of which only the part
/// that is kept must exist.
fn fetch_part(env: &mut Env, to: u64, from: &[u64; LANES], lane: usize, [kept, bytes]: [usize; 2]) -> Step {
    let target = to as usize;
    if kept > 0 && !from[lane].is_multiple_of(bytes as u64) {
        let detail = format!("address {:#x} is no multiple of {bytes}", from[lane]);
        return Err(Fault::new(Kind::Misaligned, lane, detail));
    }
    env.shared.bytes_mut()[target..target + bytes].fill(0);
    for at in 0..kept {
        let mut moved = *from;
        moved[lane] += at as u64;
        let run = global::runs(&env.launch.memory, &mut env.hints[env.pc], &moved, 1 << lane, 1)?;
        global::before_read(&run, &moved, Access { bytes: 1, plain: true }, env.stamp)?;
        let offset = (moved[lane] - run.allocation.base) as usize;
        // SAFETY: `runs` checked the byte against the allocation.
        env.shared.bytes_mut()[target + at] = unsafe { *run.allocation.data().add(offset) };
    }
    Ok(())
}
