//! Matrix instructions of a warp (PTX ISA, section 9.7.14): `ldmatrix` and `mma.sync` with 16 x 8 results.
//!
//! Fragments as the manual draws them, with group = lane / 4 and member = lane % 4. Accumulation is in singles, one
//! multiply and one add per step in order of k; products of halves, bfloat16 and tf32 are exact.

use super::lanes::{LANES, Slot, each};
use super::memory::Address;
use super::site::Site;
use super::{Decoded, Env, Exec, Members, Result};
use crate::check::Step;
use crate::count::{Class, Pipe};
use crate::numeric::{bf16_to_f32, half_to_f32};
use crate::parse::ast::Type;

pub fn decode(site: &mut Site) -> Option<Result<Decoded>> {
    match site.name {
        "ldmatrix" => Some(load(site)),
        "mma" => Some(multiply(site)),
        _ => None,
    }
}

fn slots(site: &mut Site, at: usize, ty: Type) -> Result<Vec<Slot>> {
    let elements = site.elements(at)?;
    elements.iter().map(|element| site.source(element, ty)).collect()
}

/// `ldmatrix.sync.aligned.m8n8.x4{.trans}.shared.b16 {d...}, [rows]`: lane i of matrix j gives row i's address.
fn load(site: &mut Site) -> Result<Decoded> {
    let known = ["sync", "aligned", "m8n8"].iter().all(|part| site.mods.take(part));
    let number = site.mods.take_any(&["x1", "x2", "x4"]);
    let transposed = site.mods.take("trans");
    let shared = site.mods.take_any(&["shared", "shared::cta"]).is_some();
    let (true, true, Some(number), Type::B16) = (known, shared, number, site.mods.take_type()?) else {
        return Err("form of ldmatrix that is not supported".to_owned());
    };
    let targets = slots(site, 0, Type::B32)?;
    let address = Address::decode(site, 1)?;
    if format!("x{}", targets.len()) != number {
        return Err(format!("{} registers for {number}", targets.len()));
    }
    let exec = Box::new(move |env: &mut Env, _: u32| {
        let rows = address.lanes(env);
        targets.iter().enumerate().try_for_each(|(matrix, d)| load_matrix(env, &rows, matrix, *d, transposed))
    });
    Ok(Decoded::sync(Class::SharedLoad, Members::All, exec))
}

fn load_matrix(env: &mut Env, rows: &[u64; LANES], matrix: usize, d: Slot, transposed: bool) -> Step {
    let lanes = matrix * 8..matrix * 8 + 8;
    env.counts.shared_access(rows, 0xff << (matrix * 8), 16);
    let mut tile = [[0u16; 8]; 8];
    for (row, lane) in tile.iter_mut().zip(lanes) {
        let at = env.shared.range(rows[lane], 16, lane)?;
        env.shared.before_read(at, 16, env.warp.index, lane)?;
        for (value, bytes) in row.iter_mut().zip(env.shared.bytes()[at..at + 16].chunks_exact(2)) {
            *value = u16::from_le_bytes([bytes[0], bytes[1]]);
        }
    }
    let out: [u32; LANES] = std::array::from_fn(|lane| {
        let (row, column) = (lane / 4, lane % 4 * 2);
        let pick = |r: usize, c: usize| u32::from(if transposed { tile[c][r] } else { tile[r][c] });
        pick(row, column) | pick(row, column + 1) << 16
    });
    env.warp.registers.set(d, &out, u32::MAX);
    Ok(())
}

/// Operand format of a matrix product.
#[derive(Clone, Copy, PartialEq)]
enum Format {
    Half,
    Bfloat,
    Tf32,
}

/// `mma.sync.aligned.m16n8kK.row.col.f32.T.T.f32 d, a, b, c`.
fn multiply(site: &mut Site) -> Result<Decoded> {
    let known = ["sync", "aligned", "row", "col"].iter().all(|part| site.mods.take(part));
    let shape = site.mods.take_any(&["m16n8k4", "m16n8k8", "m16n8k16"]).ok_or("unknown shape of mma")?;
    let mut types = [Type::F32; 4];
    for ty in &mut types {
        *ty = site.mods.take_type()?;
    }
    let format = match types {
        [Type::F32, Type::F16, Type::F16, Type::F32] => Format::Half,
        [Type::F32, Type::Bf16, Type::Bf16, Type::F32] => Format::Bfloat,
        [Type::F32, Type::Tf32, Type::Tf32, Type::F32] => Format::Tf32,
        _ => return Err(format!("mma of {types:?}")),
    };
    let depth = match (shape, format) {
        ("m16n8k4", Format::Tf32) => 4,
        ("m16n8k8", _) => 8,
        ("m16n8k16", Format::Half | Format::Bfloat) => 16,
        _ => return Err(format!("mma.{shape} of {types:?}")),
    };
    if !known {
        return Err("form of mma that is not supported".to_owned());
    }
    let (d, c) = (slots(site, 0, Type::F32)?, slots(site, 3, Type::F32)?);
    let (a, b) = (slots(site, 1, Type::B32)?, slots(site, 2, Type::B32)?);
    let per_register = if format == Format::Tf32 { 1 } else { 2 };
    if (d.len(), c.len(), a.len(), b.len()) != (4, 4, depth / 2 / per_register, depth / 4 / per_register) {
        return Err("number of registers of mma".to_owned());
    }
    let operands = Operands { depth, d, a, b, c };
    let half = |register: u32, part: usize| half_to_f32((register >> (16 * part)) as u16);
    let bfloat = |register: u32, part: usize| bf16_to_f32((register >> (16 * part)) as u16);
    // The lower 13 bits of a tf32 operand are ignored.
    let tf32 = |register: u32, _: usize| f32::from_bits(register & !0x1fff);
    let exec: Exec = match format {
        Format::Half => Box::new(move |env, _| product::<2>(env, &operands, half)),
        Format::Bfloat => Box::new(move |env, _| product::<2>(env, &operands, bfloat)),
        Format::Tf32 => Box::new(move |env, _| product::<1>(env, &operands, tf32)),
    };
    let each = (16 * 8 * depth / LANES) as u32;
    Ok(Decoded::sync(Class::Tensor, Members::All, exec).with_multiply_adds(Pipe::Tensor, each))
}

/// The registers of a product, and its extent along k.
struct Operands {
    depth: usize,
    d: Vec<Slot>,
    a: Vec<Slot>,
    b: Vec<Slot>,
    c: Vec<Slot>,
}

/// Lanes of a group, and groups: a fragment's values are moved group by group, without a division.
const MEMBERS: usize = 4;
const GROUPS: usize = LANES / MEMBERS;

/// `unpack` gives one of the `PARTS` values of a register of A or B.
#[inline(always)]
fn product<const PARTS: usize>(
    env: &mut Env,
    operands: &Operands,
    unpack: impl Fn(u32, usize) -> f32,
) -> Step {
    let registers = &mut env.warp.registers;
    // Both by k: columns of A, rows of B.
    let (mut left, mut right, mut sums) = ([[0f32; 16]; 16], [[0f32; 8]; 16], [[0f32; 8]; 16]);
    for part in 0..PARTS {
        for (number, slot) in operands.a.iter().enumerate() {
            let values = each(registers.get::<u32>(*slot), |register| unpack(register, part));
            let (k, row) = (number / 2 * MEMBERS * PARTS + part, number % 2 * GROUPS);
            for member in 0..MEMBERS {
                let column = &mut left[k + member * PARTS][row..row + GROUPS];
                (0..GROUPS).for_each(|group| column[group] = values[group * MEMBERS + member]);
            }
        }
        for (number, slot) in operands.b.iter().enumerate() {
            let values = each(registers.get::<u32>(*slot), |register| unpack(register, part));
            let k = number * MEMBERS * PARTS + part;
            for member in 0..MEMBERS {
                let row = &mut right[k + member * PARTS];
                (0..GROUPS).for_each(|group| row[group] = values[group * MEMBERS + member]);
            }
        }
    }
    for (number, slot) in operands.c.iter().enumerate() {
        let values = registers.get::<u32>(*slot);
        for (group, sums) in sums[number / 2 * GROUPS..][..GROUPS].iter_mut().enumerate() {
            for member in 0..MEMBERS {
                sums[2 * member + number % 2] = f32::from_bits(values[group * MEMBERS + member]);
            }
        }
    }
    for (row, sums) in sums.iter_mut().enumerate() {
        *sums = accumulate(*sums, row, &left[..operands.depth], &right);
    }
    for (number, slot) in operands.d.iter().enumerate() {
        let mut out = [0; LANES];
        for (group, sums) in sums[number / 2 * GROUPS..][..GROUPS].iter().enumerate() {
            for member in 0..MEMBERS {
                out[group * MEMBERS + member] = sums[2 * member + number % 2].to_bits();
            }
        }
        registers.set(*slot, &out, u32::MAX);
    }
    Ok(())
}

/// One row of the result: in order of k, each product added to each column.
#[inline(always)]
fn accumulate(mut sums: [f32; 8], row: usize, left: &[[f32; 16]], right: &[[f32; 8]; 16]) -> [f32; 8] {
    for (left, right) in left.iter().zip(right) {
        for column in 0..8 {
            sums[column] += left[row] * right[column];
        }
    }
    sums
}
