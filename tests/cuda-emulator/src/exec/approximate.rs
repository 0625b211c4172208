//! Division, roots and transcendental functions (PTX ISA, sections 9.7.3.7 to 9.7.3.23).
//!
//! `.rn` results are those of IEEE 754. Approximations are computed in double precision and rounded once, so they are
//! within half a unit in the last place of a single: tighter than every bound of the manual (1 ulp for rcp, 2 ulp
//! for div, ex2 and rsqrt, 2^-22 absolute for lg2, 2^-20.5 for sin and cos, 2^-11 relative for tanh).

use super::float::Modes;
use super::integer::{exec1, exec2};
use super::lanes::Slot;
use super::site::Site;
use super::{Decoded, Exec, Result};
use crate::count::Class;
use crate::numeric::Round;
use crate::parse::ast::Type;

pub fn decode(site: &mut Site) -> Option<Result<Decoded>> {
    let exec = match site.name {
        "div" => divide(site),
        "rcp" | "sqrt" | "rsqrt" | "ex2" | "lg2" | "sin" | "cos" | "tanh" => function(site),
        _ => return None,
    };
    Some(exec.map(|exec| Decoded::run(Class::Special, exec)))
}

/// `.approx` and `.full` are allowed to be exact; directed roundings are not supported.
fn take_precision(site: &mut Site) -> Result<Modes> {
    let approximate = site.mods.take_any(&["approx", "full"]);
    let modes = Modes::take(site);
    match modes.round {
        Round::Nearest => Ok(modes),
        round => Err(format!("rounding {round:?}{} of {}", approximate.unwrap_or_default(), site.name)),
    }
}

fn divide(site: &mut Site) -> Result<Exec> {
    let modes = take_precision(site)?;
    let ty = site.mods.take_type()?;
    let d = site.dst(0, ty)?;
    let s: [Slot; 2] = site.sources(1, ty)?;
    match ty {
        Type::F64 => Ok(exec2(d, s, |a: f64, b: f64| a / b)),
        Type::F32 if modes.is_plain() => Ok(exec2(d, s, |a: f32, b: f32| a / b)),
        Type::F32 => Ok(exec2(d, s, move |a: f32, b: f32| modes.after(modes.before(a) / modes.before(b)))),
        other => Err(format!("division of {other:?}")),
    }
}

fn function(site: &mut Site) -> Result<Exec> {
    let modes = take_precision(site)?;
    let ty = site.mods.take_type()?;
    let (d, a) = (site.dst(0, ty)?, site.src(1, ty)?);
    let f: fn(f64) -> f64 = match site.name {
        "rcp" => |x| 1.0 / x,
        "sqrt" => f64::sqrt,
        "rsqrt" => |x| 1.0 / x.sqrt(),
        "ex2" => f64::exp2,
        "lg2" => f64::log2,
        "sin" => f64::sin,
        "cos" => f64::cos,
        _ => f64::tanh,
    };
    match ty {
        Type::F64 if matches!(site.name, "rcp" | "sqrt" | "rsqrt") => Ok(exec1(d, a, f)),
        Type::F32 if site.name == "sqrt" && modes.is_plain() => Ok(exec1(d, a, f32::sqrt)),
        Type::F32 => Ok(exec1(d, a, move |a: f32| modes.after(f(f64::from(modes.before(a))) as f32))),
        other => Err(format!("{} of {other:?}", site.name)),
    }
}
