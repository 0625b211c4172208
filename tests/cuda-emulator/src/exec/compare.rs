//! Comparisons: `setp` and `set` (PTX ISA, sections 9.7.5 and 9.7.6).
//! Ordered comparisons are false if an operand is NaN; `ltu` and its kin are then true.

use super::half::Half;
use super::integer::with_integer;
use super::lanes::{LANES, Lane, Slot};
use super::site::{Predicate, Site};
use super::{Decoded, Env, Result};
use crate::count::Class;
use crate::numeric::flush;
use crate::parse::ast::{Operand, Type};

const OPERATIONS: [&str; 18] = [
    "eq", "ne", "lt", "le", "gt", "ge", "lo", "ls", "hi", "hs", "equ", "neu", "ltu", "leu", "gtu", "geu",
    "num", "nan",
];

/// One bit a lane.
type Test = Box<dyn Fn(&Env<'_>) -> u32 + Send + Sync>;

pub fn decode(site: &mut Site) -> Option<Result<Decoded>> {
    match site.name {
        "setp" => Some(set_predicate(site)),
        "set" => Some(set_value(site)),
        _ => None,
    }
}

fn set_predicate(site: &mut Site) -> Result<Decoded> {
    let op = take_operation(site)?;
    let combine = site.mods.take_any(&["and", "or", "xor"]);
    let ftz = site.mods.take("ftz");
    let ty = site.mods.take_type()?;
    let s: [Slot; 2] = site.sources(1, ty)?;
    let third = combine.map(|_| site.predicate_at(3)).transpose()?;
    let (first, second) = match site.operand(0)? {
        Operand::Pair(first, second) => (site.predicate(first)?, Some(site.predicate(second)?)),
        single => (site.predicate(single)?, None),
    };
    if matches!(ty, Type::F16x2 | Type::Bf16x2) {
        return pair_predicates(ty, op, s, first, second);
    }
    let test = test(op, ty, s, ftz)?;
    Ok(Decoded::run(
        Class::Compare,
        Box::new(move |env, mask| {
            let bits = test(env);
            let registers = &mut env.warp.registers;
            let with = third.map(|p| registers.predicates[p.index] ^ p.flip);
            let apply = |bits: u32| match (combine, with) {
                (Some("and"), Some(with)) => bits & with,
                (Some("or"), Some(with)) => bits | with,
                (Some(_), Some(with)) => bits ^ with,
                _ => bits,
            };
            registers.set_predicate(first.index, apply(bits), mask);
            if let Some(second) = second {
                registers.set_predicate(second.index, apply(!bits), mask);
            }
            Ok(())
        }),
    ))
}

fn take_operation(site: &mut Site) -> Result<&'static str> {
    site.mods.take_any(&OPERATIONS).ok_or("unknown comparison".to_owned())
}

/// `setp.op.f16x2 p|q`: p for the lower halves, q for the upper.
fn pair_predicates(
    ty: Type,
    op: &'static str,
    s: [Slot; 2],
    first: Predicate,
    second: Option<Predicate>,
) -> Result<Decoded> {
    let half = Half::of(ty).ok_or("not a pair of halves")?;
    let second = second.ok_or("a comparison of pairs with one destination")?;
    let compare = float_comparison(op)?;
    Ok(Decoded::run(
        Class::Compare,
        Box::new(move |env, mask| {
            let part = |shift: u32| {
                let value = move |bits: u32| f64::from(half.widen((bits >> shift) as u16));
                env.warp.registers.test2(s, |a: u32, b: u32| compare(value(a), value(b)))
            };
            let (low, high) = (part(0), part(16));
            env.warp.registers.set_predicate(first.index, low, mask);
            env.warp.registers.set_predicate(second.index, high, mask);
            Ok(())
        }),
    ))
}

/// `set.op.dtype.stype d, a, b`: all ones or 1.0 where true.
fn set_value(site: &mut Site) -> Result<Decoded> {
    let op = take_operation(site)?;
    let ftz = site.mods.take("ftz");
    let (to, ty) = (site.mods.take_type()?, site.mods.take_type()?);
    let d = site.dst(0, to)?;
    let s: [Slot; 2] = site.sources(1, ty)?;
    if matches!((to, ty), (Type::F16x2, Type::F16x2) | (Type::Bf16x2, Type::Bf16x2)) {
        return set_pair(op, ty, d, s);
    }
    let value = match to {
        Type::U32 | Type::S32 => u32::MAX,
        Type::F32 => 1f32.to_bits(),
        Type::F16 => 0x3c00,
        Type::Bf16 => 0x3f80,
        other => return Err(format!("set to {other:?}")),
    };
    let test = test(op, ty, s, ftz)?;
    Ok(Decoded::run(
        Class::Compare,
        Box::new(move |env, mask| {
            let bits = test(env);
            let out: [u32; LANES] = std::array::from_fn(|lane| if bits >> lane & 1 == 1 { value } else { 0 });
            env.warp.registers.set(d, &out, mask);
            Ok(())
        }),
    ))
}

fn set_pair(op: &'static str, ty: Type, d: Slot, s: [Slot; 2]) -> Result<Decoded> {
    let half = Half::of(ty).ok_or("not a pair of halves")?;
    let compare = float_comparison(op)?;
    let one = u32::from(half.narrow(1.0, crate::numeric::Round::Nearest));
    let exec = super::integer::exec2(d, s, move |a: u32, b: u32| {
        let value = |bits: u32, shift: u32| f64::from(half.widen((bits >> shift) as u16));
        let part = |shift| if compare(value(a, shift), value(b, shift)) { one << shift } else { 0 };
        part(0) | part(16)
    });
    Ok(Decoded::run(Class::Compare, exec))
}

fn test(op: &'static str, ty: Type, s: [Slot; 2], ftz: bool) -> Result<Test> {
    if let Some(half) = Half::of(ty) {
        let compare = float_comparison(op)?;
        return Ok(Box::new(move |env| {
            let value = |bits: u16| f64::from(half.widen(bits));
            env.warp.registers.test2(s, |a: u16, b: u16| compare(value(a), value(b)))
        }));
    }
    match ty {
        Type::F32 if ftz => {
            let compare = float_comparison(op)?;
            Ok(Box::new(move |env| {
                let value = |x: f32| f64::from(flush(x));
                env.warp.registers.test2(s, |a: f32, b: f32| compare(value(a), value(b)))
            }))
        }
        Type::F32 => float_test::<f32>(op, s),
        Type::F64 => float_test::<f64>(op, s),
        _ => integer_test(op, ty, s),
    }
}

fn lanes_test<T: Lane>(s: [Slot; 2], f: impl Fn(T, T) -> bool + Copy + Send + Sync + 'static) -> Test {
    Box::new(move |env| env.warp.registers.test2(s, f))
}

fn integer_test(op: &str, ty: Type, s: [Slot; 2]) -> Result<Test> {
    with_integer!(ty, T => Ok(match op {
        "eq" => lanes_test(s, |a: T, b: T| a == b),
        "ne" => lanes_test(s, |a: T, b: T| a != b),
        "lt" | "lo" => lanes_test(s, |a: T, b: T| a < b),
        "le" | "ls" => lanes_test(s, |a: T, b: T| a <= b),
        "gt" | "hi" => lanes_test(s, |a: T, b: T| a > b),
        "ge" | "hs" => lanes_test(s, |a: T, b: T| a >= b),
        other => return Err(format!("comparison .{other} of {ty:?}")),
    }))
}

fn float_test<T: Lane + PartialOrd>(op: &str, s: [Slot; 2]) -> Result<Test> {
    Ok(match op {
        "eq" => lanes_test(s, |a: T, b: T| a == b),
        "ne" => lanes_test(s, |a: T, b: T| a.partial_cmp(&b).is_some_and(|o| o.is_ne())),
        "lt" => lanes_test(s, |a: T, b: T| a < b),
        "le" => lanes_test(s, |a: T, b: T| a <= b),
        "gt" => lanes_test(s, |a: T, b: T| a > b),
        "ge" => lanes_test(s, |a: T, b: T| a >= b),
        "equ" => lanes_test(s, |a: T, b: T| a.partial_cmp(&b).is_none_or(|o| o.is_eq())),
        "neu" => lanes_test(s, |a: T, b: T| a != b),
        "ltu" => lanes_test(s, |a: T, b: T| a.partial_cmp(&b).is_none_or(|o| o.is_lt())),
        "leu" => lanes_test(s, |a: T, b: T| a.partial_cmp(&b).is_none_or(|o| o.is_le())),
        "gtu" => lanes_test(s, |a: T, b: T| a.partial_cmp(&b).is_none_or(|o| o.is_gt())),
        "geu" => lanes_test(s, |a: T, b: T| a.partial_cmp(&b).is_none_or(|o| o.is_ge())),
        "num" => lanes_test(s, |a: T, b: T| a.partial_cmp(&b).is_some()),
        "nan" => lanes_test(s, |a: T, b: T| a.partial_cmp(&b).is_none()),
        other => return Err(format!("comparison .{other} of floats")),
    })
}

fn float_comparison(op: &str) -> Result<fn(f64, f64) -> bool> {
    Ok(match op {
        "eq" => |a, b| a == b,
        "ne" => |a, b| a.partial_cmp(&b).is_some_and(|o| o.is_ne()),
        "lt" => |a, b| a < b,
        "le" => |a, b| a <= b,
        "gt" => |a, b| a > b,
        "ge" => |a, b| a >= b,
        "equ" => |a, b| a.partial_cmp(&b).is_none_or(|o| o.is_eq()),
        "neu" => |a, b| a != b,
        "ltu" => |a, b| a.partial_cmp(&b).is_none_or(|o| o.is_lt()),
        "leu" => |a, b| a.partial_cmp(&b).is_none_or(|o| o.is_le()),
        "gtu" => |a, b| a.partial_cmp(&b).is_none_or(|o| o.is_gt()),
        "geu" => |a, b| a.partial_cmp(&b).is_none_or(|o| o.is_ge()),
        "num" => |a, b| a.partial_cmp(&b).is_some(),
        "nan" => |a, b| a.partial_cmp(&b).is_none(),
        other => return Err(format!("comparison .{other} of floats")),
    })
}
