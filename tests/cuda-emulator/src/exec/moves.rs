//! Moves: `mov` with packing and unpacking, `selp`, `slct`, address conversions, clocks
//! (PTX ISA, sections 9.7.6 and 9.7.9).

use super::lanes::{Cell, FULL, LANES, Slot, each, lanes_of};
use super::site::Site;
use super::{Decoded, Exec, Result};
use crate::count::Class;
use crate::memory::{LOCAL_WINDOW, SHARED_WINDOW, WINDOW};
use crate::parse::ast::{Operand, Space, Type};

pub fn decode(site: &mut Site) -> Option<Result<Decoded>> {
    let decoded = match site.name {
        "mov" => mov(site),
        "selp" => select(site),
        "slct" => select_by_sign(site),
        "cvta" => convert_address(site),
        "isspacep" => is_space(site),
        _ => return None,
    };
    Some(decoded)
}

fn moved(exec: Exec) -> Result<Decoded> {
    Ok(Decoded::run(Class::Move, exec))
}

fn mov(site: &mut Site) -> Result<Decoded> {
    let ty = site.mods.take_type()?;
    if ty == Type::Pred {
        return mov_predicate(site);
    }
    if let Operand::Special(name) = site.operand(1)?
        && let Some(exec) = clock(site, name, ty)?
    {
        return moved(exec);
    }
    match (site.operand(0)?, site.operand(1)?) {
        (Operand::Vector(parts), _) => unpack(site, parts, ty),
        (_, Operand::Vector(parts)) => pack(site, parts, ty),
        _ if ty.bytes() == 8 => moved(copy::<u64>(site.dst(0, ty)?, site.src(1, ty)?)),
        _ => moved(copy::<u32>(site.dst(0, ty)?, site.src(1, ty)?)),
    }
}

fn copy<C: Cell>(d: Slot, a: Slot) -> Exec {
    Box::new(move |env, mask| {
        let values = *env.warp.registers.get::<C>(a);
        env.warp.registers.set(d, &values, mask);
        Ok(())
    })
}

fn mov_predicate(site: &mut Site) -> Result<Decoded> {
    let d = site.predicate_at(0)?.index;
    if let Operand::Integer(value) = site.operand(1)? {
        let bits = if *value != 0 { FULL } else { 0 };
        return moved(Box::new(move |env, mask| {
            env.warp.registers.set_predicate(d, bits, mask);
            Ok(())
        }));
    }
    let a = site.predicate_at(1)?;
    moved(Box::new(move |env, mask| {
        let bits = env.warp.registers.predicates[a.index] ^ a.flip;
        env.warp.registers.set_predicate(d, bits, mask);
        Ok(())
    }))
}

/// `%clock` counts the instructions that this thread of the host has run, `%globaltimer` is in nanoseconds.
fn clock(site: &mut Site, name: &str, ty: Type) -> Result<Option<Exec>> {
    if !matches!(name, "%clock" | "%clock64" | "%globaltimer") {
        return Ok(None);
    }
    let d = site.dst(0, ty)?;
    let (wide, timer) = (ty.bytes() == 8, name == "%globaltimer");
    Ok(Some(Box::new(move |env, mask| {
        let now = if timer {
            let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            since.map_or(0, |time| time.as_nanos() as u64)
        } else {
            env.counts.warp_instructions.iter().sum()
        };
        if wide {
            env.warp.registers.set(d, &[now; LANES], mask);
        } else {
            env.warp.registers.set(d, &[now as u32; LANES], mask);
        }
        Ok(())
    })))
}

/// The type of one part of a value that is packed from several.
fn part_type(ty: Type, parts: usize) -> Result<Type> {
    match ty.bytes() / parts.max(1) {
        4 => Ok(Type::B32),
        2 => Ok(Type::B16),
        _ => Err(format!("{parts} parts of {ty:?}")),
    }
}

/// `mov.b64 {lo, hi}, a`: the first part takes the lowest bits.
fn unpack(site: &mut Site, parts: &[Operand], ty: Type) -> Result<Decoded> {
    let part = part_type(ty, parts.len())?;
    let width = 8 * part.bytes() as u32;
    let targets = parts.iter().map(|p| site.register(p, part)).collect::<Result<Vec<_>>>()?;
    let a = site.src(1, ty)?;
    let wide = ty.bytes() == 8;
    moved(Box::new(move |env, mask| {
        let values =
            widened(env.warp.registers.get::<u32>(a), wide.then(|| env.warp.registers.get::<u64>(a)));
        for (number, d) in targets.iter().enumerate() {
            let shift = number as u32 * width;
            let part: [u32; LANES] =
                std::array::from_fn(|lane| (values[lane] >> shift) as u32 & (FULL >> (32 - width)));
            env.warp.registers.set(*d, &part, mask);
        }
        Ok(())
    }))
}

fn widened(narrow: &[u32; LANES], wide: Option<&[u64; LANES]>) -> [u64; LANES] {
    wide.copied().unwrap_or_else(|| each(narrow, u64::from))
}

/// `mov.b64 d, {lo, hi}`.
fn pack(site: &mut Site, parts: &[Operand], ty: Type) -> Result<Decoded> {
    let part = part_type(ty, parts.len())?;
    let width = 8 * part.bytes() as u32;
    let sources = parts.iter().map(|p| site.source(p, part)).collect::<Result<Vec<_>>>()?;
    let d = site.dst(0, ty)?;
    let wide = ty.bytes() == 8;
    moved(Box::new(move |env, mask| {
        let mut packed = [0u64; LANES];
        for (number, a) in sources.iter().enumerate() {
            let values = env.warp.registers.get::<u32>(*a);
            for lane in 0..LANES {
                let value = values[lane] & (FULL >> (32 - width));
                packed[lane] |= u64::from(value) << (number as u32 * width);
            }
        }
        if wide {
            env.warp.registers.set(d, &packed, mask);
        } else {
            env.warp.registers.set(d, &each(&packed, |value| value as u32), mask);
        }
        Ok(())
    }))
}

fn select(site: &mut Site) -> Result<Decoded> {
    let ty = site.mods.take_type()?;
    let d = site.dst(0, ty)?;
    let [a, b] = site.sources(1, ty)?;
    let p = site.predicate_at(3)?;
    let chosen = if ty.bytes() == 8 {
        choose::<u64>(d, a, b, p.index, p.flip)
    } else {
        choose::<u32>(d, a, b, p.index, p.flip)
    };
    moved(chosen)
}

fn choose<C: Cell>(d: Slot, a: Slot, b: Slot, index: usize, flip: u32) -> Exec {
    Box::new(move |env, mask| {
        let registers = &mut env.warp.registers;
        let bits = registers.predicates[index] ^ flip;
        let (a, b) = (registers.get::<C>(a), registers.get::<C>(b));
        let mut out = [C::default(); LANES];
        for lane in 0..LANES {
            out[lane] = if bits & (1 << lane) != 0 { a[lane] } else { b[lane] };
        }
        registers.set(d, &out, mask);
        Ok(())
    })
}

/// `slct.b32.s32 d, a, b, c`: a where c is not negative.
fn select_by_sign(site: &mut Site) -> Result<Decoded> {
    let ftz = site.mods.take("ftz");
    let (ty, by) = (site.mods.take_type()?, site.mods.take_type()?);
    if ty.bytes() != 4 || ftz || !matches!(by, Type::S32 | Type::F32) {
        return Err(format!("slct of {ty:?} by {by:?}"));
    }
    let d = site.dst(0, ty)?;
    let [a, b] = site.sources(1, ty)?;
    let c = site.src(3, by)?;
    let float = by == Type::F32;
    moved(Box::new(move |env, mask| {
        env.warp.registers.map3(d, [a, b, c], mask, |a: u32, b: u32, c: u32| {
            let first = if float { f32::from_bits(c) >= 0.0 } else { c as i32 >= 0 };
            if first { a } else { b }
        });
        Ok(())
    }))
}

fn space_start(site: &mut Site) -> Result<u64> {
    match site.mods.take_any(&["global", "const", "shared", "shared::cta", "local"]) {
        Some("global" | "const") => Ok(0),
        Some("local") => Ok(LOCAL_WINDOW),
        Some(_) => Ok(SHARED_WINDOW),
        None => Err("unknown state space".to_owned()),
    }
}

/// `cvta.space` to generic, `cvta.to.space` back. The operand may be a variable's name.
fn convert_address(site: &mut Site) -> Result<Decoded> {
    let back = site.mods.take("to");
    let start = space_start(site)?;
    let ty = site.mods.take_type()?;
    if ty.bytes() != 8 {
        return Err("addresses of 32 bits".to_owned());
    }
    let (d, a) = (site.dst(0, ty)?, site.src(1, ty)?);
    let step = if back { start.wrapping_neg() } else { start };
    moved(Box::new(move |env, mask| {
        env.warp.registers.map1(d, a, mask, |a: u64| a.wrapping_add(step));
        Ok(())
    }))
}

fn is_space(site: &mut Site) -> Result<Decoded> {
    let start = space_start(site)?;
    let d = site.predicate_at(0)?.index;
    let a = site.src(1, Type::U64)?;
    moved(Box::new(move |env, mask| {
        let registers = &mut env.warp.registers;
        let inside = |address: u64| match start {
            0 => space_of(address) == Space::Global,
            _ => (start..start + WINDOW).contains(&address),
        };
        let addresses = registers.get::<u64>(a);
        let bits =
            lanes_of(mask).filter(|lane| inside(addresses[*lane])).fold(0, |bits, lane| bits | 1 << lane);
        registers.set_predicate(d, bits, mask);
        Ok(())
    }))
}

/// The state space of a generic address.
pub fn space_of(address: u64) -> Space {
    match address {
        SHARED_WINDOW..LOCAL_WINDOW => Space::Shared,
        LOCAL_WINDOW.. => Space::Local,
        _ => Space::Global,
    }
}
