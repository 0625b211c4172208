//! From the bytes of a decompressed strip or tile to numbers: predictors undone, the bytes of a number in this machine's
//! order, numbers of odd widths taken apart, one sample of each pixel put in its place.
use half::f16;

use super::page::{Coding, Predictor};
use crate::io::is_foreign;

/// A strip or tile: rows of pixels, each with its samples side by side.
#[derive(Clone, Copy)]
pub(super) struct Chunk {
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) samples: usize,
    pub(super) coding: Coding,
    pub(super) big_endian: bool,
}

impl Chunk {
    /// Bytes of a row; a row of numbers that fill no whole bytes is padded.
    fn row_bytes(&self) -> Option<usize> {
        let bits = self.columns.checked_mul(self.samples)?.checked_mul(self.coding.bits)?;
        Some(bits.div_ceil(8))
    }

    /// Bytes of the whole.
    pub(super) fn bytes(&self) -> Option<usize> {
        self.row_bytes()?.checked_mul(self.rows)
    }

    /// Bytes of a number in the file, where it is whole bytes.
    fn size(&self) -> usize {
        self.coding.bits / 8
    }

    /// Whether the numbers, with the predictor undone, have their bytes in the other order than this machine's.
    fn is_swapped(&self) -> bool {
        self.coding.predictor == Predictor::None && is_foreign(self.big_endian)
    }
}

/// Undoes the predictor of all rows; afterwards the numbers are in this machine's order where there was one.
pub(super) fn undo_predictor(chunk: Chunk, bytes: &mut [u8]) {
    let Some(row_bytes) = chunk.row_bytes().filter(|&bytes| bytes > 0) else { return };
    for row in bytes.chunks_exact_mut(row_bytes) {
        match chunk.coding.predictor {
            Predictor::None => return,
            Predictor::Horizontal => sum_along(chunk, row),
            Predictor::FloatingPoint => join_bytes(chunk, row),
        }
    }
}

/// Adds to each number the one of the same sample to its left, as unsigned integers that wrap round.
fn sum_along(chunk: Chunk, row: &mut [u8]) {
    macro_rules! sum {
        ($type:ty) => {{
            let read = |bytes: &[u8]| {
                let bytes = bytes.try_into().expect("the bytes of a number");
                if chunk.big_endian { <$type>::from_be_bytes(bytes) } else { <$type>::from_le_bytes(bytes) }
            };
            let mut before = vec![<$type>::default(); chunk.samples];
            for (k, bytes) in row.chunks_exact_mut(size_of::<$type>()).enumerate() {
                let sum = &mut before[k % chunk.samples];
                *sum = sum.wrapping_add(read(bytes));
                bytes.copy_from_slice(&sum.to_ne_bytes());
            }
        }};
    }
    match chunk.size() {
        1 => sum!(u8),
        2 => sum!(u16),
        4 => sum!(u32),
        _ => sum!(u64),
    }
}

/// Adds to each byte the one of the same sample to its left; then takes the bytes of each number from their places: all
/// highest bytes of the row stand first, all lowest last (Adobe Photoshop TIFF Technical Note 3).
fn join_bytes(chunk: Chunk, row: &mut [u8]) {
    for k in chunk.samples..row.len() {
        row[k] = row[k].wrapping_add(row[k - chunk.samples]);
    }
    let (size, sorted) = (chunk.size(), row.to_vec());
    let count = row.len() / size;
    for (k, number) in row.chunks_exact_mut(size).enumerate() {
        for (place, byte) in number.iter_mut().enumerate() {
            let significance = if cfg!(target_endian = "big") { place } else { size - 1 - place };
            *byte = sorted[significance * count + k];
        }
    }
}

/// Copies sample `sample` of each pixel of a chunk, whose first pixel lies at `corner` of a plane of `size` rows and
/// columns, to its place in the plane; what lies beyond the plane is padding.
pub(super) fn place(
    chunk: Chunk,
    sample: usize,
    bytes: &[u8],
    [top, left]: [usize; 2],
    [height, width]: [usize; 2],
    plane: &mut [u8],
) {
    let Some(row_bytes) = chunk.row_bytes().filter(|&bytes| bytes > 0) else { return };
    let size = chunk.coding.dtype.size();
    let columns = chunk.columns.min(width - left);
    for (y, row) in bytes.chunks_exact(row_bytes).take(height - top).enumerate() {
        let start = ((top + y) * width + left) * size;
        copy_row(chunk, sample, row, &mut plane[start..start + columns * size]);
    }
}

/// Copies one sample of each pixel of a row.
fn copy_row(chunk: Chunk, sample: usize, row: &[u8], target: &mut [u8]) {
    let size = chunk.coding.dtype.size();
    if chunk.coding.bits != 8 * size {
        return convert_row(chunk, sample, row, target);
    }
    if chunk.samples == 1 {
        target.copy_from_slice(&row[..target.len()]);
    } else {
        let numbers = row.chunks_exact(size).skip(sample).step_by(chunk.samples);
        target.chunks_exact_mut(size).zip(numbers).for_each(|(place, number)| place.copy_from_slice(number));
    }
    if chunk.is_swapped() {
        target.chunks_exact_mut(size).for_each(<[u8]>::reverse);
    }
}

/// Copies one sample of each pixel of a row whose numbers have another width in the file: half floats become `f32`, which
/// is exact; integers of odd widths become those of the next greater type.
fn convert_row(chunk: Chunk, sample: usize, row: &[u8], target: &mut [u8]) {
    let (size, bits) = (chunk.coding.dtype.size(), chunk.coding.bits);
    for (x, place) in target.chunks_exact_mut(size).enumerate() {
        let number = x * chunk.samples + sample;
        if chunk.coding.dtype.is_float() {
            let stored = [row[2 * number], row[2 * number + 1]];
            let half = u16::from_ne_bytes(if chunk.is_swapped() { [stored[1], stored[0]] } else { stored });
            place.copy_from_slice(&f16::from_bits(half).to_f32().to_ne_bytes());
        } else {
            let value = integer(chunk, row, number, bits).to_ne_bytes();
            let start = if cfg!(target_endian = "big") { value.len() - size } else { 0 };
            place.copy_from_slice(&value[start..start + size]);
        }
    }
}

/// Number `number` of a row of `bits`-bit integers. Whole bytes follow the file's order; any other widths are one run of
/// bits, the highest first (TIFF 6.0, section 8).
fn integer(chunk: Chunk, row: &[u8], number: usize, bits: usize) -> u32 {
    if bits.is_multiple_of(8) {
        let bytes = &row[number * bits / 8..][..bits / 8];
        let join = |value: u32, &byte: &u8| value << 8 | u32::from(byte);
        return if chunk.big_endian { bytes.iter().fold(0, join) } else { bytes.iter().rev().fold(0, join) };
    }
    (number * bits..(number + 1) * bits)
        .fold(0, |value, bit| value << 1 | u32::from(row[bit / 8] >> (7 - bit % 8) & 1))
}
