//! Single and double precision arithmetic (PTX ISA, section 9.7.3): IEEE 754, fused multiply-add with one rounding.
//! Directed roundings of singles go through a double rounded to odd (see `numeric`).

use super::integer::{exec1, exec2, exec3};
use super::lanes::{Cell, LANES, Slot};
use super::site::Site;
use super::{Decoded, Exec, Result};
use crate::count::{Class, Pipe};
use crate::numeric::{Round, add_odd, flush, fma_odd, narrow_f32, saturate};
use crate::parse::ast::Type;

pub fn decode(site: &mut Site) -> Option<Result<Decoded>> {
    let ty = site.instruction.opcode.split('.').skip(1).filter_map(Type::parse).next()?;
    let double = match ty {
        Type::F32 => false,
        Type::F64 => true,
        _ => return None,
    };
    let (class, pipe) = if double { (Class::F64, Pipe::F64) } else { (Class::F32, Pipe::F32) };
    let exec = match site.name {
        "add" | "sub" | "mul" | "min" | "max" if double => binary_f64(site),
        "add" | "sub" | "mul" => binary_f32(site),
        "min" | "max" => extremum_f32(site),
        "neg" | "abs" => unary(site, double),
        "copysign" => copy_sign(site),
        "testp" => test_property(site),
        "fma" | "mad" => {
            let exec = if double { fma_f64(site) } else { fma_f32(site) };
            return Some(exec.map(|exec| Decoded::run(class, exec).with_multiply_adds(pipe, 1)));
        }
        _ => return None,
    };
    Some(exec.map(|exec| Decoded::run(class, exec)))
}

/// Modifiers of single precision arithmetic.
#[derive(Clone, Copy)]
pub struct Modes {
    pub round: Round,
    pub ftz: bool,
    pub sat: bool,
}

impl Modes {
    pub fn take(site: &mut Site) -> Modes {
        let round = site.mods.take_round().unwrap_or(Round::Nearest);
        Modes { round, ftz: site.mods.take("ftz"), sat: site.mods.take("sat") }
    }

    pub fn is_plain(self) -> bool {
        self.round == Round::Nearest && !self.ftz && !self.sat
    }

    pub fn before(self, x: f32) -> f32 {
        if self.ftz { flush(x) } else { x }
    }

    pub fn after(self, x: f32) -> f32 {
        let x = if self.ftz { flush(x) } else { x };
        if self.sat { saturate(x) } else { x }
    }
}

fn binary_f32(site: &mut Site) -> Result<Exec> {
    let modes = Modes::take(site);
    let ty = site.mods.take_type()?;
    let d = site.dst(0, ty)?;
    let s: [Slot; 2] = site.sources(1, ty)?;
    if modes.is_plain() {
        return Ok(match site.name {
            "add" => exec2(d, s, |a: f32, b: f32| a + b),
            "sub" => exec2(d, s, |a: f32, b: f32| a - b),
            _ => exec2(d, s, |a: f32, b: f32| a * b),
        });
    }
    // The exact result, or the nearest odd double.
    let exact: fn(f64, f64) -> f64 = match site.name {
        "add" => add_odd,
        "sub" => |a, b| add_odd(a, -b),
        _ => |a, b| a * b,
    };
    Ok(exec2(d, s, move |a: f32, b: f32| {
        let exact = exact(f64::from(modes.before(a)), f64::from(modes.before(b)));
        modes.after(narrow_f32(exact, modes.round))
    }))
}

/// `min`, `max`: the other operand if one is NaN, or NaN with `.NaN`; -0 is less than +0.
pub fn least(a: f32, b: f32, nan: bool) -> f32 {
    match (a.is_nan(), b.is_nan()) {
        (true, true) => f32::from_bits(0x7fff_ffff),
        (true, _) | (_, true) if nan => f32::from_bits(0x7fff_ffff),
        (true, false) => b,
        (false, true) => a,
        _ if a == b => f32::from_bits(a.to_bits() | b.to_bits()),
        _ => a.min(b),
    }
}

pub fn greatest(a: f32, b: f32, nan: bool) -> f32 {
    let value = least(-a, -b, nan);
    if value.is_nan() { value } else { -value }
}

fn extremum_f32(site: &mut Site) -> Result<Exec> {
    let modes = Modes::take(site);
    let nan = site.mods.take("NaN");
    let ty = site.mods.take_type()?;
    let d = site.dst(0, ty)?;
    let s: [Slot; 2] = site.sources(1, ty)?;
    let pick: fn(f32, f32, bool) -> f32 = if site.name == "min" { least } else { greatest };
    Ok(exec2(d, s, move |a: f32, b: f32| pick(modes.before(a), modes.before(b), nan)))
}

fn nearest_only(site: &mut Site) -> Result<()> {
    match site.mods.take_round() {
        None | Some(Round::Nearest) => Ok(()),
        Some(round) => Err(format!("rounding {round:?} of doubles")),
    }
}

fn binary_f64(site: &mut Site) -> Result<Exec> {
    nearest_only(site)?;
    let ty = site.mods.take_type()?;
    let d = site.dst(0, ty)?;
    let s: [Slot; 2] = site.sources(1, ty)?;
    Ok(match site.name {
        "add" => exec2(d, s, |a: f64, b: f64| a + b),
        "sub" => exec2(d, s, |a: f64, b: f64| a - b),
        "mul" => exec2(d, s, |a: f64, b: f64| a * b),
        "min" => exec2(d, s, |a: f64, b: f64| a.min(b)),
        _ => exec2(d, s, |a: f64, b: f64| a.max(b)),
    })
}

fn unary(site: &mut Site, double: bool) -> Result<Exec> {
    let modes = Modes::take(site);
    let ty = site.mods.take_type()?;
    let (d, a) = (site.dst(0, ty)?, site.src(1, ty)?);
    Ok(match (site.name, double) {
        ("neg", true) => exec1(d, a, |a: f64| -a),
        ("abs", true) => exec1(d, a, |a: f64| a.abs()),
        ("neg", false) => exec1(d, a, move |a: f32| -modes.before(a)),
        _ => exec1(d, a, move |a: f32| modes.before(a).abs()),
    })
}

/// `copysign d, a, b`: the sign of a, the magnitude of b.
fn copy_sign(site: &mut Site) -> Result<Exec> {
    let ty = site.mods.take_type()?;
    let d = site.dst(0, ty)?;
    let s: [Slot; 2] = site.sources(1, ty)?;
    Ok(if ty == Type::F64 {
        exec2(d, s, |a: f64, b: f64| b.copysign(a))
    } else {
        exec2(d, s, |a: f32, b: f32| b.copysign(a))
    })
}

fn test_property(site: &mut Site) -> Result<Exec> {
    let names = ["finite", "infinite", "number", "notanumber", "normal", "subnormal"];
    let what = site.mods.take_any(&names).ok_or("unknown property")?;
    let ty = site.mods.take_type()?;
    if ty != Type::F32 {
        return Err(format!("testp of {ty:?}"));
    }
    let (d, a) = (site.predicate_at(0)?.index, site.src(1, ty)?);
    let test: fn(f32) -> bool = match what {
        "finite" => f32::is_finite,
        "infinite" => f32::is_infinite,
        "number" => |a| !a.is_nan(),
        "notanumber" => f32::is_nan,
        "normal" => f32::is_normal,
        _ => f32::is_subnormal,
    };
    Ok(Box::new(move |env, mask| {
        let bits = env.warp.registers.test2([a, a], |a: f32, _| test(a));
        env.warp.registers.set_predicate(d, bits, mask);
        Ok(())
    }))
}

fn fma_f32(site: &mut Site) -> Result<Exec> {
    let modes = Modes::take(site);
    let ty = site.mods.take_type()?;
    let d = site.dst(0, ty)?;
    let s: [Slot; 3] = site.sources(1, ty)?;
    if modes.round != Round::Nearest {
        return Ok(exec3(d, s, move |a: f32, b: f32, c: f32| {
            let [a, b, c] = [a, b, c].map(|x| f64::from(modes.before(x)));
            modes.after(narrow_f32(fma_odd(a, b, c), modes.round))
        }));
    }
    if !modes.is_plain() {
        return Ok(exec3(d, s, move |a: f32, b: f32, c: f32| {
            modes.after(modes.before(a).mul_add(modes.before(b), modes.before(c)))
        }));
    }
    if !has_fma() {
        return Ok(exec3(d, s, |a: f32, b: f32, c: f32| a.mul_add(b, c)));
    }
    Ok(Box::new(move |env, mask| {
        let lanes = |slot| u32::lanes(&env.warp.registers, slot);
        let (a, b, c) = (lanes(s[0]), lanes(s[1]), lanes(s[2]));
        // SAFETY: the processor has the instructions, as `has_fma` found.
        let out = unsafe { fma_lanes(a, b, c) };
        env.warp.registers.set(d, &out, mask);
        Ok(())
    }))
}

#[cfg(target_arch = "x86_64")]
fn has_fma() -> bool {
    is_x86_feature_detected!("fma") && is_x86_feature_detected!("avx2")
}

#[cfg(not(target_arch = "x86_64"))]
fn has_fma() -> bool {
    false
}

/// The loop of `fma.rn.f32` with the processor's own instruction.
///
/// # Safety
/// On x86-64 the processor must have AVX2 and FMA.
#[cfg_attr(target_arch = "x86_64", target_feature(enable = "avx2,fma"))]
unsafe fn fma_lanes(a: &[u32; LANES], b: &[u32; LANES], c: &[u32; LANES]) -> [u32; LANES] {
    let mut out = [0; LANES];
    for lane in 0..LANES {
        let (a, b, c) = (f32::from_bits(a[lane]), f32::from_bits(b[lane]), f32::from_bits(c[lane]));
        out[lane] = a.mul_add(b, c).to_bits();
    }
    out
}

fn fma_f64(site: &mut Site) -> Result<Exec> {
    nearest_only(site)?;
    let ty = site.mods.take_type()?;
    let d = site.dst(0, ty)?;
    let s: [Slot; 3] = site.sources(1, ty)?;
    Ok(exec3(d, s, |a: f64, b: f64, c: f64| a.mul_add(b, c)))
}
