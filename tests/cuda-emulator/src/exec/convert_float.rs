//! Conversions between floats (PTX ISA, section 9.7.9.21): halves, bfloat16, tf32, singles, doubles, and pairs.

use super::convert::{Modes, round_integral};
use super::half::Half;
use super::integer::{exec1, exec2};
use super::lanes::Slot;
use super::site::Site;
use super::{Exec, Result};
use crate::numeric::{Round, flush, narrow_f32, narrow_tf32, saturate};
use crate::parse::ast::Type;

pub fn between_floats(site: &mut Site, to: Type, from: Type, modes: Modes) -> Result<Exec> {
    let d = site.dst(0, to)?;
    let round = modes.round.unwrap_or(Round::Nearest);
    match (to, from) {
        (Type::F16x2 | Type::Bf16x2, Type::F32) => pair(site, d, to, modes),
        (Type::Tf32, Type::F32) => {
            let a = site.src(1, from)?;
            Ok(exec1(d, a, move |a: f32| narrow_tf32(a, round)))
        }
        (Type::F32, Type::F32) => {
            let a = site.src(1, from)?;
            Ok(exec1(d, a, move |a: f32| to_single(f64::from(ftz(a, modes)), modes)))
        }
        (Type::F32, Type::F64) => {
            let a = site.src(1, from)?;
            Ok(exec1(d, a, move |a: f64| to_single(a, modes)))
        }
        (Type::F64, Type::F32) => {
            let a = site.src(1, from)?;
            Ok(exec1(d, a, move |a: f32| f64::from(ftz(a, modes))))
        }
        (Type::F64, Type::F64) => {
            let (a, integral) = (site.src(1, from)?, modes.integral.ok_or("f64 to f64 without rounding")?);
            Ok(exec1(d, a, move |a: f64| round_integral(a, integral)))
        }
        _ => with_half(site, d, to, from, modes),
    }
}

fn ftz(x: f32, modes: Modes) -> f32 {
    if modes.ftz { flush(x) } else { x }
}

fn to_single(x: f64, modes: Modes) -> f32 {
    let x = modes.integral.map_or(x, |round| round_integral(x, round));
    let single = ftz(narrow_f32(x, modes.round.unwrap_or(Round::Nearest)), modes);
    let single = if modes.relu && single < 0.0 { 0.0 } else { single };
    if modes.sat { saturate(single) } else { single }
}

fn clamp(x: f64, modes: Modes) -> f64 {
    let x = modes.integral.map_or(x, |round| round_integral(x, round));
    if modes.sat {
        return if x > 0.0 { x.min(1.0) } else { 0.0 };
    }
    if modes.relu && x < 0.0 { 0.0 } else { x }
}

/// From or to one half.
fn with_half(site: &mut Site, d: Slot, to: Type, from: Type, modes: Modes) -> Result<Exec> {
    let a = site.src(1, from)?;
    let round = modes.round.unwrap_or(Round::Nearest);
    match (Half::of(to), Half::of(from), to, from) {
        (None, Some(half), Type::F32, _) => {
            Ok(exec1(d, a, move |a: u16| if modes.sat { saturate(half.widen(a)) } else { half.widen(a) }))
        }
        (None, Some(half), Type::F64, _) => Ok(exec1(d, a, move |a: u16| f64::from(half.widen(a)))),
        (Some(half), None, _, Type::F32) => {
            Ok(exec1(d, a, move |a: f32| half.narrow(clamp(f64::from(ftz(a, modes)), modes), round)))
        }
        (Some(half), None, _, Type::F64) => {
            Ok(exec1(d, a, move |a: f64| half.narrow(clamp(a, modes), round)))
        }
        (Some(target), Some(source), _, _) => {
            Ok(exec1(d, a, move |a: u16| target.narrow(clamp(f64::from(source.widen(a)), modes), round)))
        }
        _ => Err(format!("conversion from {from:?} to {to:?}")),
    }
}

/// `cvt.rn.f16x2.f32 d, a, b`: a goes to the upper half.
fn pair(site: &mut Site, d: Slot, to: Type, modes: Modes) -> Result<Exec> {
    let s: [Slot; 2] = site.sources(1, Type::F32)?;
    let half = Half::of(to).ok_or("not a pair of halves")?;
    let round = modes.round.unwrap_or(Round::Nearest);
    Ok(exec2(d, s, move |high: f32, low: f32| {
        let part = |x: f32| u32::from(half.narrow(clamp(f64::from(x), modes), round));
        part(high) << 16 | part(low)
    }))
}
