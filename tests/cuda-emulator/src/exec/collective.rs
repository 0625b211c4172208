//! What the lanes of a warp do together: shuffles, votes, reductions (PTX ISA, sections 9.7.9.6, 9.7.13.9 to 9.7.13.12).

use super::lanes::{FULL, LANES, Slot, lanes_of};
use super::site::Site;
use super::{Decoded, Members, Result};
use crate::check::{Fault, Kind};
use crate::count::Class;
use crate::parse::ast::{Operand, Type};

pub fn decode(site: &mut Site) -> Option<Result<Decoded>> {
    match site.name {
        "shfl" => Some(shuffle(site)),
        "vote" => Some(vote(site)),
        "redux" => Some(reduce(site)),
        "activemask" => Some(active_mask(site)),
        _ => None,
    }
}

fn need_sync(site: &mut Site) -> Result<()> {
    if site.mods.take("sync") { Ok(()) } else { Err(format!("{} without .sync", site.name)) }
}

/// The lane that `lane` reads from, and whether that is within its segment.
fn source(mode: &str, lane: u32, b: u32, c: u32) -> (u32, bool) {
    let (clamp, segment) = (c & 31, c >> 8 & 31);
    let most = (lane & segment) | (clamp & !segment);
    let least = lane & segment;
    let b = b & 31;
    let (from, inside) = match mode {
        "up" => (lane as i32 - b as i32, lane as i32 - b as i32 >= most as i32),
        "down" => ((lane + b) as i32, lane + b <= most),
        "bfly" => ((lane ^ b) as i32, lane ^ b <= most),
        _ => ((least | (b & !segment)) as i32, least | (b & !segment) <= most),
    };
    if inside { (from as u32, true) } else { (lane, false) }
}

/// `shfl.sync.mode.b32 d|p, a, b, c, members`.
fn shuffle(site: &mut Site) -> Result<Decoded> {
    need_sync(site)?;
    let mode = site.mods.take_any(&["up", "down", "bfly", "idx"]).ok_or("unknown mode of shfl")?;
    site.mods.take_type()?;
    let (target, inside) = match site.operand(0)? {
        Operand::Pair(d, p) => (&**d, Some(site.predicate(p)?.index)),
        single => (single, None),
    };
    let d = site.register(target, Type::B32)?;
    let [a, b, c, members]: [Slot; 4] = site.sources(1, Type::B32)?;
    let exec = Box::new(move |env: &mut super::Env, mask: u32| {
        let registers = &mut env.warp.registers;
        let [values, b, c] = [a, b, c].map(|slot| *registers.get::<u32>(slot));
        let (mut out, mut found) = ([0; LANES], 0);
        for lane in lanes_of(mask) {
            let (from, within) = source(mode, lane as u32, b[lane], c[lane]);
            if mask >> from & 1 == 0 {
                let detail = format!("reads lane {from}, which does not take part");
                return Err(Fault::new(Kind::Divergence, lane, detail));
            }
            out[lane] = values[from as usize];
            found |= u32::from(within) << lane;
        }
        registers.set(d, &out, mask);
        if let Some(index) = inside {
            registers.set_predicate(index, found, mask);
        }
        Ok(())
    });
    Ok(Decoded::sync(Class::Collective, Members::Mask(members), exec))
}

/// `vote.sync.mode d, p, members`.
fn vote(site: &mut Site) -> Result<Decoded> {
    need_sync(site)?;
    let mode = site.mods.take_any(&["all", "any", "uni", "ballot"]).ok_or("unknown mode of vote")?;
    let ty = site.mods.take_type()?;
    let ballot = if mode == "ballot" { Some(site.dst(0, ty)?) } else { None };
    let d = if mode == "ballot" { 0 } else { site.predicate_at(0)?.index };
    let p = site.predicate_at(1)?;
    let members = site.src(2, Type::B32)?;
    let exec = Box::new(move |env: &mut super::Env, mask: u32| {
        let registers = &mut env.warp.registers;
        let group = registers.get::<u32>(members)[mask.trailing_zeros() as usize] & mask;
        let bits = (registers.predicates[p.index] ^ p.flip) & group;
        if let Some(d) = ballot {
            registers.set(d, &[bits; LANES], mask);
            return Ok(());
        }
        let holds = match mode {
            "all" => bits == group,
            "any" => bits != 0,
            _ => bits == group || bits == 0,
        };
        registers.set_predicate(d, if holds { FULL } else { 0 }, mask);
        Ok(())
    });
    Ok(Decoded::sync(Class::Collective, Members::Mask(members), exec))
}

/// `redux.sync.op.type d, a, members`.
fn reduce(site: &mut Site) -> Result<Decoded> {
    need_sync(site)?;
    let op = site.mods.take_any(&["add", "min", "max", "and", "or", "xor"]).ok_or("unknown reduction")?;
    let ty = site.mods.take_type()?;
    let (d, a, members) = (site.dst(0, ty)?, site.src(1, ty)?, site.src(2, Type::B32)?);
    let combine: fn(u32, u32) -> u32 = match (op, ty) {
        ("add", Type::U32 | Type::S32) => u32::wrapping_add,
        ("min", Type::U32) => |a, b| a.min(b),
        ("max", Type::U32) => |a, b| a.max(b),
        ("min", Type::S32) => |a, b| (a as i32).min(b as i32) as u32,
        ("max", Type::S32) => |a, b| (a as i32).max(b as i32) as u32,
        ("and", Type::B32) => |a, b| a & b,
        ("or", Type::B32) => |a, b| a | b,
        ("xor", Type::B32) => |a, b| a ^ b,
        (op, ty) => return Err(format!("reduction '{op}' of {ty:?}")),
    };
    let exec = Box::new(move |env: &mut super::Env, mask: u32| {
        let registers = &mut env.warp.registers;
        let values = registers.get::<u32>(a);
        let group = registers.get::<u32>(members)[mask.trailing_zeros() as usize] & mask;
        let result = lanes_of(group).map(|lane| values[lane]).reduce(combine).unwrap_or(0);
        registers.set(d, &[result; LANES], mask);
        Ok(())
    });
    Ok(Decoded::sync(Class::Collective, Members::Mask(members), exec))
}

fn active_mask(site: &mut Site) -> Result<Decoded> {
    site.mods.take_type()?;
    let d = site.dst(0, Type::B32)?;
    Ok(Decoded::run(
        Class::Collective,
        Box::new(move |env, mask| {
            env.warp.registers.set(d, &[mask; LANES], mask);
            Ok(())
        }),
    ))
}
