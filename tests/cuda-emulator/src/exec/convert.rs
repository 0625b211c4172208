//! Conversions that end or start in an integer (PTX ISA, section 9.7.9.21): integers wrap or, with `.sat`, clamp;
//! floats to integers always clamp, and NaN becomes 0. Those between floats are in `convert_float`.

use super::convert_float;
use super::integer::exec1;
use super::site::Site;
use super::{Decoded, Exec, Result};
use crate::count::Class;
use crate::numeric::{Round, add_odd, flush, narrow_f32};
use crate::parse::ast::Type;

pub fn decode(site: &mut Site) -> Option<Result<Decoded>> {
    (site.name == "cvt").then(|| convert(site).map(|exec| Decoded::run(Class::Convert, exec)))
}

/// A conversion's modifiers.
#[derive(Clone, Copy)]
pub struct Modes {
    pub round: Option<Round>,
    /// `.rni` and its kin: to an integral value.
    pub integral: Option<Round>,
    pub ftz: bool,
    pub sat: bool,
    pub relu: bool,
}

fn take_modes(site: &mut Site) -> Modes {
    let integral = site.mods.take_any(&["rni", "rzi", "rmi", "rpi"]).map(|name| match name {
        "rni" => Round::Nearest,
        "rzi" => Round::Zero,
        "rmi" => Round::Down,
        _ => Round::Up,
    });
    Modes {
        round: site.mods.take_round(),
        integral,
        ftz: site.mods.take("ftz"),
        sat: site.mods.take("sat") || site.mods.take("satfinite"),
        relu: site.mods.take("relu"),
    }
}

fn is_float(ty: Type) -> bool {
    matches!(ty, Type::F16 | Type::Bf16 | Type::F32 | Type::F64 | Type::F16x2 | Type::Bf16x2 | Type::Tf32)
}

fn convert(site: &mut Site) -> Result<Exec> {
    let modes = take_modes(site);
    let (to, from) = (site.mods.take_type()?, site.mods.take_type()?);
    match (is_float(to), is_float(from)) {
        (true, true) => convert_float::between_floats(site, to, from, modes),
        (true, false) => integer_to_float(site, to, from, modes),
        (false, true) => float_to_integer(site, to, from, modes),
        (false, false) => between_integers(site, to, from, modes.sat),
    }
}

/// Runs a block with `$t` bound to the Rust type of an integer of any width.
macro_rules! with_any_integer {
    ($ty:expr, $t:ident => $body:expr) => {
        match $ty {
            Type::U8 | Type::B8 => {
                type $t = u8;
                $body
            }
            Type::S8 => {
                type $t = i8;
                $body
            }
            Type::U16 | Type::B16 => {
                type $t = u16;
                $body
            }
            Type::S16 => {
                type $t = i16;
                $body
            }
            Type::U32 | Type::B32 => {
                type $t = u32;
                $body
            }
            Type::S32 => {
                type $t = i32;
                $body
            }
            Type::U64 | Type::B64 => {
                type $t = u64;
                $body
            }
            Type::S64 => {
                type $t = i64;
                $body
            }
            other => return Err(format!("conversion of {other:?}")),
        }
    };
}

fn between_integers(site: &mut Site, to: Type, from: Type, sat: bool) -> Result<Exec> {
    let (d, a) = (site.dst(0, to)?, site.src(1, from)?);
    with_any_integer!(to, T => with_any_integer!(from, F => Ok(if sat {
        exec1(d, a, |a: F| i128::from(a).clamp(i128::from(T::MIN), i128::from(T::MAX)) as T)
    } else {
        exec1(d, a, |a: F| a as T)
    })))
}

fn integer_to_float(site: &mut Site, to: Type, from: Type, modes: Modes) -> Result<Exec> {
    let (d, a) = (site.dst(0, to)?, site.src(1, from)?);
    let round = modes.round.unwrap_or(Round::Nearest);
    if modes.sat || modes.integral.is_some() {
        return Err("modifiers of an integer to float conversion".to_owned());
    }
    with_any_integer!(from, F => match (to, round) {
        (Type::F32, Round::Nearest) => Ok(exec1(d, a, |a: F| a as f32)),
        (Type::F64, Round::Nearest) => Ok(exec1(d, a, |a: F| a as f64)),
        (Type::F32, _) => Ok(exec1(d, a, move |a: F| narrow_f32(odd_f64(i128::from(a)), round))),
        (Type::F16 | Type::Bf16, _) => {
            let half = super::half::Half::of(to).ok_or("not a half")?;
            Ok(exec1(d, a, move |a: F| half.narrow(odd_f64(i128::from(a)), round)))
        }
        _ => Err(format!("conversion from {from:?} to {to:?} with rounding {round:?}")),
    })
}

/// An integer of up to 64 bits as a double, rounded to odd.
fn odd_f64(value: i128) -> f64 {
    let high = (value >> 32) << 32;
    add_odd(high as f64, (value - high) as f64)
}

/// To an integral value.
pub fn round_integral(x: f64, round: Round) -> f64 {
    match round {
        Round::Nearest => x.round_ties_even(),
        Round::Away => x.round(),
        Round::Zero => x.trunc(),
        Round::Down => x.floor(),
        Round::Up => x.ceil(),
    }
}

fn float_to_integer(site: &mut Site, to: Type, from: Type, modes: Modes) -> Result<Exec> {
    let (d, a) = (site.dst(0, to)?, site.src(1, from)?);
    let round = modes.integral.ok_or("a float to integer conversion without rounding")?;
    with_any_integer!(to, T => match from {
        Type::F64 => Ok(exec1(d, a, move |a: f64| round_integral(a, round) as T)),
        Type::F32 => Ok(exec1(d, a, move |a: f32| {
            let a = if modes.ftz { flush(a) } else { a };
            round_integral(f64::from(a), round) as T
        })),
        Type::F16 | Type::Bf16 => {
            let half = super::half::Half::of(from).ok_or("not a half")?;
            Ok(exec1(d, a, move |a: u16| round_integral(f64::from(half.widen(a)), round) as T))
        }
        other => Err(format!("conversion from {other:?} to {to:?}")),
    })
}
