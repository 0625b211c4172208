//! Integer arithmetic (PTX ISA, section 9.7.1).

use super::lanes::{Lane, Slot};
use super::site::Site;
use super::{Decoded, Exec, Result};
use crate::count::Class;
use crate::parse::ast::Type;

/// Runs a block with `$t` bound to the Rust type of an integer type of 16 bits or more.
macro_rules! with_integer {
    ($ty:expr, $t:ident => $body:expr) => {
        match $ty {
            Type::B16 | Type::U16 => {
                type $t = u16;
                $body
            }
            Type::S16 => {
                type $t = i16;
                $body
            }
            Type::B32 | Type::U32 => {
                type $t = u32;
                $body
            }
            Type::S32 => {
                type $t = i32;
                $body
            }
            Type::B64 | Type::U64 => {
                type $t = u64;
                $body
            }
            Type::S64 => {
                type $t = i64;
                $body
            }
            other => return Err(format!("integer arithmetic on {other:?}")),
        }
    };
}
pub(super) use with_integer;

pub fn decode(site: &mut Site) -> Option<Result<Decoded>> {
    // Names shared with floating point: the type decides.
    let float = site.instruction.opcode.split('.').skip(1).filter_map(Type::parse).next();
    let float = float.is_some_and(|ty| {
        matches!(ty, Type::F16 | Type::F16x2 | Type::Bf16 | Type::Bf16x2 | Type::F32 | Type::F64)
    });
    if float {
        return None;
    }
    let exec = match site.name {
        "add" | "sub" | "div" | "rem" | "min" | "max" => binary(site),
        "mul" => multiply(site),
        "mad" => multiply_add(site),
        "neg" | "abs" => unary(site),
        "sad" => difference(site),
        "dp4a" => dot4(site),
        _ => return None,
    };
    Some(exec.map(|exec| Decoded::run(Class::Integer, exec)))
}

/// A closure of two sources of one type.
pub fn exec2<A: Lane, B: Lane, R: Lane>(
    d: Slot,
    sources: [Slot; 2],
    f: impl Fn(A, B) -> R + Copy + Send + Sync + 'static,
) -> Exec {
    Box::new(move |env, mask| {
        env.warp.registers.map2(d, sources, mask, f);
        Ok(())
    })
}

pub fn exec1<A: Lane, R: Lane>(d: Slot, a: Slot, f: impl Fn(A) -> R + Copy + Send + Sync + 'static) -> Exec {
    Box::new(move |env, mask| {
        env.warp.registers.map1(d, a, mask, f);
        Ok(())
    })
}

pub fn exec3<A: Lane, B: Lane, C: Lane, R: Lane>(
    d: Slot,
    sources: [Slot; 3],
    f: impl Fn(A, B, C) -> R + Copy + Send + Sync + 'static,
) -> Exec {
    Box::new(move |env, mask| {
        env.warp.registers.map3(d, sources, mask, f);
        Ok(())
    })
}

fn binary(site: &mut Site) -> Result<Exec> {
    let saturating = site.mods.take("sat");
    let ty = site.mods.take_type()?;
    let d = site.dst(0, ty)?;
    let s: [Slot; 2] = site.sources(1, ty)?;
    if saturating {
        return saturated(site.name, ty, d, s);
    }
    let name = site.name;
    with_integer!(ty, T => Ok(match name {
        "add" => exec2(d, s, |a: T, b: T| a.wrapping_add(b)),
        "sub" => exec2(d, s, |a: T, b: T| a.wrapping_sub(b)),
        // Division by zero gives an unspecified value: all bits set, as the hardware's sequence does.
        "div" => exec2(d, s, |a: T, b: T| if b == 0 { !0 } else { a.wrapping_div(b) }),
        "rem" => exec2(d, s, |a: T, b: T| if b == 0 { a } else { a.wrapping_rem(b) }),
        "min" => exec2(d, s, |a: T, b: T| a.min(b)),
        _ => exec2(d, s, |a: T, b: T| a.max(b)),
    }))
}

fn saturated(name: &str, ty: Type, d: Slot, s: [Slot; 2]) -> Result<Exec> {
    match (name, ty) {
        ("add", Type::S32) => Ok(exec2(d, s, |a: i32, b: i32| a.saturating_add(b))),
        ("sub", Type::S32) => Ok(exec2(d, s, |a: i32, b: i32| a.saturating_sub(b))),
        _ => Err(format!("{name}.sat of {ty:?}")),
    }
}

fn unary(site: &mut Site) -> Result<Exec> {
    let ty = site.mods.take_type()?;
    let (d, a) = (site.dst(0, ty)?, site.src(1, ty)?);
    match (site.name, ty) {
        ("neg", Type::S16) => Ok(exec1(d, a, |a: i16| a.wrapping_neg())),
        ("neg", Type::S32) => Ok(exec1(d, a, |a: i32| a.wrapping_neg())),
        ("neg", Type::S64) => Ok(exec1(d, a, |a: i64| a.wrapping_neg())),
        ("abs", Type::S16) => Ok(exec1(d, a, |a: i16| a.wrapping_abs())),
        ("abs", Type::S32) => Ok(exec1(d, a, |a: i32| a.wrapping_abs())),
        ("abs", Type::S64) => Ok(exec1(d, a, |a: i64| a.wrapping_abs())),
        (name, ty) => Err(format!("{name} of {ty:?}")),
    }
}

/// The double-width type of a product.
fn doubled(ty: Type) -> Result<Type> {
    match ty {
        Type::U16 => Ok(Type::U32),
        Type::S16 => Ok(Type::S32),
        Type::U32 => Ok(Type::U64),
        Type::S32 => Ok(Type::S64),
        other => Err(format!("wide product of {other:?}")),
    }
}

fn multiply(site: &mut Site) -> Result<Exec> {
    let part = site.mods.take_any(&["lo", "hi", "wide"]).ok_or("mul without .lo, .hi or .wide")?;
    let ty = site.mods.take_type()?;
    let s: [Slot; 2] = site.sources(1, ty)?;
    if part == "wide" {
        let d = site.dst(0, doubled(ty)?)?;
        return match ty {
            Type::U16 => Ok(exec2(d, s, |a: u16, b: u16| u32::from(a) * u32::from(b))),
            Type::S16 => Ok(exec2(d, s, |a: i16, b: i16| i32::from(a) * i32::from(b))),
            Type::U32 => Ok(exec2(d, s, |a: u32, b: u32| u64::from(a) * u64::from(b))),
            _ => Ok(exec2(d, s, |a: i32, b: i32| i64::from(a) * i64::from(b))),
        };
    }
    let d = site.dst(0, ty)?;
    if part == "hi" {
        return high(ty, d, s);
    }
    with_integer!(ty, T => Ok(exec2(d, s, |a: T, b: T| a.wrapping_mul(b))))
}

fn high(ty: Type, d: Slot, s: [Slot; 2]) -> Result<Exec> {
    match ty {
        Type::U16 => Ok(exec2(d, s, |a: u16, b: u16| ((u32::from(a) * u32::from(b)) >> 16) as u16)),
        Type::S16 => Ok(exec2(d, s, |a: i16, b: i16| ((i32::from(a) * i32::from(b)) >> 16) as i16)),
        Type::U32 => Ok(exec2(d, s, high_u32)),
        Type::S32 => Ok(exec2(d, s, high_s32)),
        Type::U64 => Ok(exec2(d, s, |a: u64, b: u64| ((u128::from(a) * u128::from(b)) >> 64) as u64)),
        Type::S64 => Ok(exec2(d, s, |a: i64, b: i64| ((i128::from(a) * i128::from(b)) >> 64) as i64)),
        other => Err(format!("high product of {other:?}")),
    }
}

fn high_u32(a: u32, b: u32) -> u32 {
    ((u64::from(a) * u64::from(b)) >> 32) as u32
}

fn high_s32(a: i32, b: i32) -> i32 {
    ((i64::from(a) * i64::from(b)) >> 32) as i32
}

fn multiply_add(site: &mut Site) -> Result<Exec> {
    let part = site.mods.take_any(&["lo", "hi", "wide"]).ok_or("mad without .lo, .hi or .wide")?;
    let ty = site.mods.take_type()?;
    let [a, b]: [Slot; 2] = site.sources(1, ty)?;
    if part == "wide" {
        let sum = doubled(ty)?;
        let (d, c) = (site.dst(0, sum)?, site.src(3, sum)?);
        let s = [a, b, c];
        return match ty {
            Type::U16 => {
                Ok(exec3(d, s, |a: u16, b: u16, c: u32| (u32::from(a) * u32::from(b)).wrapping_add(c)))
            }
            Type::S16 => {
                Ok(exec3(d, s, |a: i16, b: i16, c: i32| (i32::from(a) * i32::from(b)).wrapping_add(c)))
            }
            Type::U32 => {
                Ok(exec3(d, s, |a: u32, b: u32, c: u64| (u64::from(a) * u64::from(b)).wrapping_add(c)))
            }
            _ => Ok(exec3(d, s, |a: i32, b: i32, c: i64| (i64::from(a) * i64::from(b)).wrapping_add(c))),
        };
    }
    let (d, c) = (site.dst(0, ty)?, site.src(3, ty)?);
    let s = [a, b, c];
    match (part, ty) {
        ("hi", Type::U32) => Ok(exec3(d, s, |a: u32, b: u32, c: u32| high_u32(a, b).wrapping_add(c))),
        ("hi", Type::S32) => Ok(exec3(d, s, |a: i32, b: i32, c: i32| high_s32(a, b).wrapping_add(c))),
        ("hi", other) => Err(format!("mad.hi of {other:?}")),
        _ => with_integer!(ty, T => Ok(exec3(d, s, |a: T, b: T, c: T| a.wrapping_mul(b).wrapping_add(c)))),
    }
}

/// `sad d, a, b, c`: |a - b| + c.
fn difference(site: &mut Site) -> Result<Exec> {
    let ty = site.mods.take_type()?;
    let d = site.dst(0, ty)?;
    let s: [Slot; 3] = site.sources(1, ty)?;
    match ty {
        Type::U32 => Ok(exec3(d, s, |a: u32, b: u32, c: u32| a.abs_diff(b).wrapping_add(c))),
        Type::S32 => Ok(exec3(d, s, |a: i32, b: i32, c: u32| a.abs_diff(b).wrapping_add(c))),
        other => Err(format!("sad of {other:?}")),
    }
}

/// `dp4a.atype.btype d, a, b, c`: four products of bytes, added to c.
fn dot4(site: &mut Site) -> Result<Exec> {
    let (a_type, b_type) = (site.mods.take_type()?, site.mods.take_type()?);
    let valid = |ty: Type| matches!(ty, Type::U32 | Type::S32);
    if !valid(a_type) || !valid(b_type) {
        return Err(format!("dp4a of {a_type:?} and {b_type:?}"));
    }
    let d = site.dst(0, Type::B32)?;
    let s: [Slot; 3] = site.sources(1, Type::B32)?;
    let (a_signed, b_signed) = (a_type.is_signed(), b_type.is_signed());
    Ok(exec3(d, s, move |a: u32, b: u32, c: u32| {
        let byte = |bits: u8, signed: bool| if signed { i32::from(bits as i8) } else { i32::from(bits) };
        let (a, b) = (a.to_le_bytes(), b.to_le_bytes());
        let dot: i32 = (0..4).map(|i| byte(a[i], a_signed) * byte(b[i], b_signed)).sum();
        c.wrapping_add(dot as u32)
    }))
}
