//! Matrix instructions of a warp (PTX ISA, section 9.7.14): `ldmatrix` and `mma.sync` with 16 x 8 results.
//!
//! Fragments as the manual draws them, with group = lane / 4 and member = lane % 4. Accumulation is in singles, one
//! multiply and one add per step in order of k; products of halves, bfloat16 and tf32 are exact.

use super::lanes::{LANES, Slot};
use super::memory::Address;
use super::site::Site;
use super::{Decoded, Env, Members, Result};
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
    let exec = Box::new(move |env: &mut Env, _: u32| {
        product(env, format, depth, [&d, &a, &b, &c]);
        Ok(())
    });
    let each = (16 * 8 * depth / LANES) as u32;
    Ok(Decoded::sync(Class::Tensor, Members::All, exec).with_multiply_adds(Pipe::Tensor, each))
}

/// The element of a fragment: which register and which of its parts, for one lane, as row and column of A.
fn unpacked(format: Format, register: u32, part: usize) -> f32 {
    match format {
        Format::Half => half_to_f32((register >> (16 * part)) as u16),
        Format::Bfloat => bf16_to_f32((register >> (16 * part)) as u16),
        // The lower 13 bits of a tf32 operand are ignored.
        Format::Tf32 => f32::from_bits(register & !0x1fff),
    }
}

fn product(env: &mut Env, format: Format, depth: usize, [d, a, b, c]: [&[Slot]; 4]) {
    let registers = &mut env.warp.registers;
    let parts = if format == Format::Tf32 { 1 } else { 2 };
    // Columns of k that one register step covers: four members with their parts.
    let span = 4 * parts;
    let (mut left, mut right, mut sums) = ([[0f32; 16]; 16], [[0f32; 8]; 16], [[0f32; 8]; 16]);
    for (number, slot) in a.iter().enumerate() {
        let values = registers.get::<u32>(*slot);
        for lane in 0..LANES {
            let row = lane / 4 + number % 2 * 8;
            for part in 0..parts {
                left[row][number / 2 * span + lane % 4 * parts + part] = unpacked(format, values[lane], part);
            }
        }
    }
    for (number, slot) in b.iter().enumerate() {
        let values = registers.get::<u32>(*slot);
        for lane in 0..LANES {
            for part in 0..parts {
                right[number * span + lane % 4 * parts + part][lane / 4] =
                    unpacked(format, values[lane], part);
            }
        }
    }
    let place = |number: usize, lane: usize| (lane / 4 + number / 2 * 8, lane % 4 * 2 + number % 2);
    for (number, slot) in c.iter().enumerate() {
        let values = registers.get::<u32>(*slot);
        for (lane, value) in values.iter().enumerate() {
            let (row, column) = place(number, lane);
            sums[row][column] = f32::from_bits(*value);
        }
    }
    for (row, sums) in left.iter().zip(&mut sums) {
        *sums = accumulate(*sums, &row[..depth], &right);
    }
    for (number, slot) in d.iter().enumerate() {
        let out: [u32; LANES] = std::array::from_fn(|lane| {
            let (row, column) = place(number, lane);
            sums[row][column].to_bits()
        });
        registers.set(*slot, &out, u32::MAX);
    }
}

/// One row of the result: in order of k, each product added to each column.
#[inline(always)]
fn accumulate(mut sums: [f32; 8], row: &[f32], right: &[[f32; 8]; 16]) -> [f32; 8] {
    for (factor, right) in row.iter().zip(right) {
        for column in 0..8 {
            sums[column] += factor * right[column];
        }
    }
    sums
}
