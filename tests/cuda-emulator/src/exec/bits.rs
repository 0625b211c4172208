//! Logic, shifts and bit fields (PTX ISA, sections 9.7.1.14 to 9.7.1.24 and 9.7.8).

use super::integer::{exec1, exec2, exec3, with_integer};
use super::lanes::{Cell, Slot};
use super::site::Site;
use super::{Decoded, Exec, Result};
use crate::count::Class;
use crate::parse::ast::{Operand, Type};

pub fn decode(site: &mut Site) -> Option<Result<Decoded>> {
    let exec = match site.name {
        "and" | "or" | "xor" => logic(site),
        "not" => invert(site),
        "cnot" => logical_not(site),
        "lop3" => logic3(site),
        "shl" | "shr" => shift(site),
        "shf" => funnel(site),
        "prmt" => permute(site),
        "popc" | "clz" | "brev" => count_bits(site),
        "bfind" => find(site),
        "bfe" => extract(site),
        "bfi" => insert(site),
        _ => return None,
    };
    Some(exec.map(|exec| Decoded::run(Class::Integer, exec)))
}

fn logic(site: &mut Site) -> Result<Exec> {
    let ty = site.mods.take_type()?;
    if ty == Type::Pred {
        return predicate_logic(site);
    }
    let d = site.dst(0, ty)?;
    let s: [Slot; 2] = site.sources(1, ty)?;
    let name = site.name;
    with_integer!(ty, T => Ok(match name {
        "and" => exec2(d, s, |a: T, b: T| a & b),
        "or" => exec2(d, s, |a: T, b: T| a | b),
        _ => exec2(d, s, |a: T, b: T| a ^ b),
    }))
}

fn predicate_logic(site: &mut Site) -> Result<Exec> {
    let d = site.predicate_at(0)?.index;
    let (a, b) = (site.predicate_at(1)?, site.predicate_at(2)?);
    let combine: fn(u32, u32) -> u32 = match site.name {
        "and" => |a, b| a & b,
        "or" => |a, b| a | b,
        _ => |a, b| a ^ b,
    };
    Ok(Box::new(move |env, mask| {
        let registers = &mut env.warp.registers;
        let (a, b) = (registers.predicates[a.index] ^ a.flip, registers.predicates[b.index] ^ b.flip);
        registers.set_predicate(d, combine(a, b), mask);
        Ok(())
    }))
}

fn invert(site: &mut Site) -> Result<Exec> {
    let ty = site.mods.take_type()?;
    if ty == Type::Pred {
        let (d, a) = (site.predicate_at(0)?.index, site.predicate_at(1)?);
        return Ok(Box::new(move |env, mask| {
            let bits = !(env.warp.registers.predicates[a.index] ^ a.flip);
            env.warp.registers.set_predicate(d, bits, mask);
            Ok(())
        }));
    }
    let (d, a) = (site.dst(0, ty)?, site.src(1, ty)?);
    with_integer!(ty, T => Ok(exec1(d, a, |a: T| !a)))
}

fn logical_not(site: &mut Site) -> Result<Exec> {
    let ty = site.mods.take_type()?;
    let (d, a) = (site.dst(0, ty)?, site.src(1, ty)?);
    with_integer!(ty, T => Ok(exec1(d, a, |a: T| T::from(a == 0))))
}

/// An immediate operand.
fn immediate(site: &Site, at: usize) -> Result<u32> {
    match site.operand(at)? {
        Operand::Integer(value) => Ok(*value as u32),
        other => Err(format!("{other:?} where an immediate was expected")),
    }
}

/// `lop3.b32 d, a, b, c, table`: bit i of the table is the result for the three input bits of value i.
fn logic3(site: &mut Site) -> Result<Exec> {
    let ty = site.mods.take_type()?;
    if ty != Type::B32 {
        return Err(format!("lop3 of {ty:?}"));
    }
    let d = site.dst(0, ty)?;
    let s: [Slot; 3] = site.sources(1, ty)?;
    let table = immediate(site, 4)?;
    let terms: [u32; 8] = std::array::from_fn(|i| if table >> i & 1 == 1 { u32::MAX } else { 0 });
    Ok(exec3(d, s, move |a: u32, b: u32, c: u32| {
        let mut out = 0;
        for (i, term) in terms.iter().enumerate() {
            let pick = |value: u32, bit: usize| if i >> bit & 1 == 1 { value } else { !value };
            out |= term & pick(a, 2) & pick(b, 1) & pick(c, 0);
        }
        out
    }))
}

/// Shift amounts are 32 bits and clamp to the width.
fn shift(site: &mut Site) -> Result<Exec> {
    let ty = site.mods.take_type()?;
    let d = site.dst(0, ty)?;
    let s = [site.src(1, ty)?, site.src(2, Type::U32)?];
    if site.name == "shl" {
        return with_integer!(ty, T => Ok(exec2(d, s, |a: T, n: u32| if n < T::BITS { a << n } else { 0 })));
    }
    with_integer!(ty, T => Ok(exec2(d, s, |a: T, n: u32| {
        let whole = (a >> (T::BITS - 1)) >> 1;
        if n < T::BITS { a >> n } else { whole }
    })))
}

/// `shf.l.mode d, lo, hi, n`: bits of hi:lo, shifted.
fn funnel(site: &mut Site) -> Result<Exec> {
    let left = site.mods.take_any(&["l", "r"]).ok_or("shf without direction")? == "l";
    let wrap = site.mods.take_any(&["wrap", "clamp"]).ok_or("shf without mode")? == "wrap";
    let ty = site.mods.take_type()?;
    let d = site.dst(0, ty)?;
    let s: [Slot; 3] = site.sources(1, Type::B32)?;
    Ok(exec3(d, s, move |lo: u32, hi: u32, n: u32| {
        let n = if wrap { n & 31 } else { n.min(32) };
        let both = u64::from(hi) << 32 | u64::from(lo);
        if left { (both << n >> 32) as u32 } else { (both >> n) as u32 }
    }))
}

/// `prmt.b32 d, a, b, selector`: each nibble picks one of the eight bytes of b:a, its top bit the byte's sign.
fn permute(site: &mut Site) -> Result<Exec> {
    let ty = site.mods.take_type()?;
    let d = site.dst(0, ty)?;
    let s: [Slot; 3] = site.sources(1, ty)?;
    if ty != Type::B32 {
        return Err(format!("prmt of {ty:?}"));
    }
    Ok(exec3(d, s, |a: u32, b: u32, selector: u32| {
        let bytes = (u64::from(b) << 32 | u64::from(a)).to_le_bytes();
        let pick = |i: u32| {
            let nibble = selector >> (4 * i) & 0xf;
            let byte = bytes[(nibble & 7) as usize];
            if nibble & 8 != 0 { (byte as i8 >> 7) as u8 } else { byte }
        };
        u32::from_le_bytes([pick(0), pick(1), pick(2), pick(3)])
    }))
}

fn count_bits(site: &mut Site) -> Result<Exec> {
    let ty = site.mods.take_type()?;
    let d = site.dst(0, if site.name == "brev" { ty } else { Type::U32 })?;
    let a = site.src(1, ty)?;
    match (site.name, ty) {
        ("popc", Type::B32) => Ok(exec1(d, a, |a: u32| a.count_ones())),
        ("popc", Type::B64) => Ok(exec1(d, a, |a: u64| a.count_ones())),
        ("clz", Type::B32) => Ok(exec1(d, a, |a: u32| a.leading_zeros())),
        ("clz", Type::B64) => Ok(exec1(d, a, |a: u64| a.leading_zeros())),
        ("brev", Type::B32) => Ok(exec1(d, a, |a: u32| a.reverse_bits())),
        ("brev", Type::B64) => Ok(exec1(d, a, |a: u64| a.reverse_bits())),
        (name, ty) => Err(format!("{name} of {ty:?}")),
    }
}

/// Position of the highest bit that is set, for negative values that is clear; all ones if there is none.
/// With `.shiftamt`, how far it is from the top.
fn find(site: &mut Site) -> Result<Exec> {
    let from_top = site.mods.take("shiftamt");
    let ty = site.mods.take_type()?;
    let (d, a) = (site.dst(0, Type::U32)?, site.src(1, ty)?);
    let place = move |leading: u32, bits: u32| match leading {
        all if all == bits => u32::MAX,
        leading if from_top => leading,
        leading => bits - 1 - leading,
    };
    match ty {
        Type::U32 => Ok(exec1(d, a, move |a: u32| place(a.leading_zeros(), 32))),
        Type::S32 => Ok(exec1(d, a, move |a: i32| place((a ^ (a >> 31)).leading_zeros(), 32))),
        Type::U64 => Ok(exec1(d, a, move |a: u64| place(a.leading_zeros(), 64))),
        Type::S64 => Ok(exec1(d, a, move |a: i64| place((a ^ (a >> 63)).leading_zeros(), 64))),
        other => Err(format!("bfind of {other:?}")),
    }
}

/// The field of `len` bits at `pos`; beyond the top it goes on with the sign.
fn field(value: u64, pos: u32, len: u32, bits: u32, signed: bool) -> u64 {
    let (pos, len) = (pos & 0xff, len & 0xff);
    let sign_at = (pos + len).wrapping_sub(1).min(bits - 1);
    let sign = signed && len != 0 && value >> sign_at & 1 == 1;
    let shifted = if pos < bits { value >> pos } else { 0 };
    let here = len.min(bits.saturating_sub(pos));
    let kept = if here >= 64 { shifted } else { shifted & ((1 << here) - 1) };
    if sign && here < 64 { kept | u64::MAX << here } else { kept }
}

fn extract(site: &mut Site) -> Result<Exec> {
    let ty = site.mods.take_type()?;
    let d = site.dst(0, ty)?;
    let s = [site.src(1, ty)?, site.src(2, Type::U32)?, site.src(3, Type::U32)?];
    let signed = ty.is_signed();
    match ty {
        Type::U32 | Type::S32 => Ok(exec3(d, s, move |a: u32, pos: u32, len: u32| {
            field(u64::from(a), pos, len, 32, signed) as u32
        })),
        Type::U64 | Type::S64 => {
            Ok(exec3(d, s, move |a: u64, pos: u32, len: u32| field(a, pos, len, 64, signed)))
        }
        other => Err(format!("bfe of {other:?}")),
    }
}

/// `bfi d, a, b, pos, len`: b with the lowest `len` bits of a at `pos`.
fn insert(site: &mut Site) -> Result<Exec> {
    let ty = site.mods.take_type()?;
    let d = site.dst(0, ty)?;
    let [a, b]: [Slot; 2] = site.sources(1, ty)?;
    let [pos, len]: [Slot; 2] = site.sources(3, Type::U32)?;
    match ty {
        Type::B32 => Ok(insert_lanes::<u32>(d, [a, b, pos, len], |a, b, pos, len| {
            inserted(u64::from(a), u64::from(b), pos, len, 32) as u32
        })),
        Type::B64 => {
            Ok(insert_lanes::<u64>(d, [a, b, pos, len], |a, b, pos, len| inserted(a, b, pos, len, 64)))
        }
        other => Err(format!("bfi of {other:?}")),
    }
}

fn inserted(a: u64, b: u64, pos: u32, len: u32, bits: u32) -> u64 {
    let (pos, len) = (pos & 0xff, len & 0xff);
    if pos >= bits || len == 0 {
        return b;
    }
    let field = (u64::MAX >> (64 - len.min(64))) << pos;
    b & !field | a << pos & field
}

fn insert_lanes<C: Cell>(
    d: Slot,
    [a, b, pos, len]: [Slot; 4],
    f: impl Fn(C, C, u32, u32) -> C + Send + Sync + 'static,
) -> Exec {
    Box::new(move |env, mask| {
        let registers = &mut env.warp.registers;
        let (a, b) = (registers.get::<C>(a), registers.get::<C>(b));
        let (pos, len) = (registers.get::<u32>(pos), registers.get::<u32>(len));
        let out = std::array::from_fn(|lane| f(a[lane], b[lane], pos[lane], len[lane]));
        registers.set::<C>(d, &out, mask);
        Ok(())
    })
}
