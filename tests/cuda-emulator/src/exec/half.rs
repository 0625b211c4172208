//! Half precision and bfloat16, single and in pairs (PTX ISA, section 9.7.4): every result is the exact one, rounded
//! to nearest even once.

use super::float::{greatest, least};
use super::integer::exec3;
use super::lanes::Slot;
use super::site::Site;
use super::{Decoded, Exec, Result};
use crate::count::{Class, Pipe};
use crate::numeric::{BF16, F16, Format, Round, add_odd, bf16_to_f32, fma_odd, half_to_f32, narrow};
use crate::parse::ast::Type;

/// One of the two formats of 16 bits.
#[derive(Clone, Copy)]
pub struct Half {
    format: Format,
}

impl Half {
    pub fn of(ty: Type) -> Option<Half> {
        match ty {
            Type::F16 | Type::F16x2 => Some(Half { format: F16 }),
            Type::Bf16 | Type::Bf16x2 => Some(Half { format: BF16 }),
            _ => None,
        }
    }

    #[inline(always)]
    pub fn widen(self, bits: u16) -> f32 {
        if self.format == F16 { half_to_f32(bits) } else { bf16_to_f32(bits) }
    }

    pub fn narrow(self, x: f64, round: Round) -> u16 {
        narrow(x, self.format, round) as u16
    }
}

/// What happens to a result.
#[derive(Clone, Copy, PartialEq)]
enum Clamp {
    None,
    Saturate,
    Relu,
}

type Operation = fn(f64, f64, f64) -> f64;

pub fn decode(site: &mut Site) -> Option<Result<Decoded>> {
    let ty = site.instruction.opcode.split('.').skip(1).filter_map(Type::parse).next()?;
    let half = Half::of(ty)?;
    let (operation, sources): (Operation, usize) = match site.name {
        "add" => (|a, b, _| add_odd(a, b), 2),
        "sub" => (|a, b, _| add_odd(a, -b), 2),
        "mul" => (|a, b, _| a * b, 2),
        "fma" => (fma_odd, 3),
        "min" if site.mods.take("NaN") => (|a, b, _| f64::from(least(a as f32, b as f32, true)), 2),
        "max" if site.mods.take("NaN") => (|a, b, _| f64::from(greatest(a as f32, b as f32, true)), 2),
        "min" => (|a, b, _| f64::from(least(a as f32, b as f32, false)), 2),
        "max" => (|a, b, _| f64::from(greatest(a as f32, b as f32, false)), 2),
        "neg" => (|a, _, _| -a, 1),
        "abs" => (|a, _, _| a.abs(), 1),
        "ex2" if site.mods.take("approx") => (|a, _, _| a.exp2(), 1),
        "tanh" if site.mods.take("approx") => (|a, _, _| a.tanh(), 1),
        _ => return None,
    };
    let pair = matches!(ty, Type::F16x2 | Type::Bf16x2);
    let exec = arithmetic(site, half, operation, sources);
    let multiply_adds = if pair { 2 } else { 1 };
    Some(exec.map(|exec| {
        let decoded = Decoded::run(Class::Half, exec);
        if sources == 3 { decoded.with_multiply_adds(Pipe::Half, multiply_adds) } else { decoded }
    }))
}

fn arithmetic(site: &mut Site, half: Half, operation: Operation, sources: usize) -> Result<Exec> {
    site.mods.take("rn");
    let ftz = site.mods.take("ftz");
    let clamp = match site.mods.take_any(&["sat", "relu"]) {
        None => Clamp::None,
        Some("sat") => Clamp::Saturate,
        Some(_) => Clamp::Relu,
    };
    let ty = site.mods.take_type()?;
    let d = site.dst(0, ty)?;
    let first = site.src(1, ty)?;
    let mut s: [Slot; 3] = [first; 3];
    for (at, slot) in s.iter_mut().enumerate().take(sources) {
        *slot = site.src(1 + at, ty)?;
    }
    if ftz && half.format == F16 && site.name != "ex2" {
        return Err("flush to zero of halves".to_owned());
    }
    let one = move |a: u32, b: u32, c: u32| {
        let [a, b, c] = [a, b, c].map(|bits| f64::from(half.widen(bits as u16)));
        u32::from(half.narrow(clamped(operation(a, b, c), clamp), Round::Nearest))
    };
    if matches!(ty, Type::F16x2 | Type::Bf16x2) {
        return Ok(exec3(d, s, move |a: u32, b: u32, c: u32| {
            one(a, b, c) | one(a >> 16, b >> 16, c >> 16) << 16
        }));
    }
    Ok(exec3(d, s, one))
}

fn clamped(x: f64, clamp: Clamp) -> f64 {
    match clamp {
        Clamp::None => x,
        Clamp::Saturate if x > 0.0 => x.min(1.0),
        Clamp::Saturate => 0.0,
        Clamp::Relu if x < 0.0 => 0.0,
        Clamp::Relu => x,
    }
}
