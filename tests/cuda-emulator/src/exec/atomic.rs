//! Atomics: `atom` and `red` (PTX ISA, sections 9.7.13.5 and 9.7.13.7). Lanes of a warp take their turns in order;
//! between blocks each operation is one compare-and-swap loop. Memory orders are all as strong as they need to be.

use super::lanes::{LANES, Slot, each, lanes_of};
use super::memory::{Address, by_space, take_space};
use super::site::Site;
use super::{Decoded, Env, Result};
use crate::check::{Fault, Kind, Step};
use crate::count::Class;
use crate::memory::global::{self, Access};
use crate::parse::ast::{Space, Type};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst};

/// New value from the old one, the operand, and for `cas` the value to store.
type Update = fn(u64, u64, u64) -> u64;

pub fn decode(site: &mut Site) -> Option<Result<Decoded>> {
    match site.name {
        "atom" => Some(atomic(site, true)),
        "red" => Some(atomic(site, false)),
        _ => None,
    }
}

fn atomic(site: &mut Site, returns: bool) -> Result<Decoded> {
    if site.mods.take("async") {
        return Err("red.async is not supported".to_owned());
    }
    site.mods.take_any(&["relaxed", "acquire", "release", "acq_rel"]);
    site.mods.take_any(&["cta", "gpu", "sys"]);
    let space = take_space(site);
    let op = site.mods.take_next().ok_or("atomic without an operation")?;
    let ty = site.mods.take_type()?;
    let update = update(op, ty)?;
    let first = usize::from(returns);
    let d = if returns { Some(site.dst(0, ty)?) } else { None };
    let address = Address::decode(site, first)?;
    let b = site.src(first + 1, ty)?;
    let c = if op == "cas" { site.src(first + 2, ty)? } else { b };
    let bytes = ty.bytes();
    Ok(Decoded::run(
        Class::Atomic,
        Box::new(move |env, mask| {
            let addresses = address.lanes(env);
            let (b, c) = (operand(env, b, bytes), operand(env, c, bytes));
            let mut old = [0; LANES];
            by_space(space, &addresses, mask, |space, addresses, mask| match space {
                Space::Shared => in_shared(env, addresses, mask, bytes, (&b, &c), update, &mut old),
                Space::Global => in_global(env, addresses, mask, bytes, (&b, &c), update, &mut old),
                other => {
                    let detail = format!("atomic access to {other:?} memory");
                    Err(Fault::new(Kind::OutOfBounds, mask.trailing_zeros() as usize, detail))
                }
            })?;
            match d {
                Some(d) if bytes == 8 => env.warp.registers.set(d, &old, mask),
                Some(d) => env.warp.registers.set(d, &each(&old, |value| value as u32), mask),
                None => {}
            }
            Ok(())
        }),
    ))
}

fn operand(env: &Env, slot: Slot, bytes: usize) -> [u64; LANES] {
    if bytes == 8 {
        *env.warp.registers.get(slot)
    } else {
        each(env.warp.registers.get::<u32>(slot), u64::from)
    }
}

fn update(op: &str, ty: Type) -> Result<Update> {
    Ok(match (op, ty) {
        ("add", Type::U32 | Type::S32) => |a, b, _| u64::from((a as u32).wrapping_add(b as u32)),
        ("add", Type::U64 | Type::S64) => |a, b, _| a.wrapping_add(b),
        ("add", Type::F32) => {
            |a, b, _| u64::from((f32::from_bits(a as u32) + f32::from_bits(b as u32)).to_bits())
        }
        ("add", Type::F64) => |a, b, _| (f64::from_bits(a) + f64::from_bits(b)).to_bits(),
        ("min", Type::U32 | Type::U64) => |a, b, _| a.min(b),
        ("max", Type::U32 | Type::U64) => |a, b, _| a.max(b),
        ("min", Type::S32) => |a, b, _| u64::from((a as i32).min(b as i32) as u32),
        ("max", Type::S32) => |a, b, _| u64::from((a as i32).max(b as i32) as u32),
        ("min", Type::S64) => |a, b, _| (a as i64).min(b as i64) as u64,
        ("max", Type::S64) => |a, b, _| (a as i64).max(b as i64) as u64,
        ("exch", Type::B32 | Type::B64) => |_, b, _| b,
        ("cas", Type::B32 | Type::B64) => |a, b, c| if a == b { c } else { a },
        ("and", Type::B32 | Type::B64) => |a, b, _| a & b,
        ("or", Type::B32 | Type::B64) => |a, b, _| a | b,
        ("xor", Type::B32 | Type::B64) => |a, b, _| a ^ b,
        ("inc", Type::U32) => |a, b, _| if a >= b { 0 } else { a + 1 },
        ("dec", Type::U32) => |a, b, _| if a == 0 || a > b { b } else { a - 1 },
        (op, ty) => return Err(format!("atomic '{op}' of {ty:?}")),
    })
}

type Operands<'a> = (&'a [u64; LANES], &'a [u64; LANES]);

fn in_shared(
    env: &mut Env,
    addresses: &[u64; LANES],
    mask: u32,
    bytes: usize,
    (b, c): Operands,
    update: Update,
    old: &mut [u64; LANES],
) -> Step {
    env.counts.shared_access(addresses, mask, bytes);
    for lane in lanes_of(mask) {
        let at = env.shared.range(addresses[lane], bytes, lane)?;
        env.shared.before_atomic(at, bytes, env.warp.index, lane)?;
        let data = &mut env.shared.bytes_mut()[at..at + bytes];
        let mut value = [0; 8];
        value[..bytes].copy_from_slice(data);
        old[lane] = u64::from_le_bytes(value);
        data.copy_from_slice(&update(old[lane], b[lane], c[lane]).to_le_bytes()[..bytes]);
    }
    Ok(())
}

fn in_global(
    env: &mut Env,
    addresses: &[u64; LANES],
    mut mask: u32,
    bytes: usize,
    (b, c): Operands,
    update: Update,
    old: &mut [u64; LANES],
) -> Step {
    env.counts.global_access(addresses, mask, bytes);
    while mask != 0 {
        let run = global::runs(&env.launch.memory, &mut env.hints[env.pc], addresses, mask, bytes)?;
        global::before_read(&run, addresses, Access { bytes, plain: false }, env.stamp)?;
        for lane in lanes_of(run.mask) {
            let offset = (addresses[lane] - run.allocation.base) as usize;
            let new = |old| update(old, b[lane], c[lane]);
            // SAFETY: `runs` checked bounds and alignment.
            old[lane] = unsafe { exchange(run.allocation.data().add(offset), bytes, new) };
        }
        mask &= !run.mask;
    }
    Ok(())
}

/// # Safety
/// `at` points to `bytes` (4 or 8) bytes, aligned to their number.
unsafe fn exchange(at: *mut u8, bytes: usize, new: impl Fn(u64) -> u64) -> u64 {
    // SAFETY: the caller's promise. The closures always give a value, so no update fails.
    unsafe {
        if bytes == 8 {
            let cell = &*at.cast::<AtomicU64>();
            return cell.fetch_update(SeqCst, SeqCst, |old| Some(new(old))).unwrap_or_else(|old| old);
        }
        let cell = &*at.cast::<AtomicU32>();
        let update = |old: u32| Some(new(u64::from(old)) as u32);
        u64::from(cell.fetch_update(SeqCst, SeqCst, update).unwrap_or_else(|old| old))
    }
}
