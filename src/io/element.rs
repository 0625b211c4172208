//! Stored numbers of forms that no [`Dtype`] has, made into those of one that has their values exactly.
use half::{bf16, f16};
use ndarray::parallel::prelude::*;
use rayon::slice::ParallelSlice;

use super::strided::Strided;
use crate::volume::{Bytes, Dtype, Store, owned_bytes};

/// How a number lies in its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// As a [`Dtype`] has it.
    Plain,
    /// IEEE half precision; read as `f32`.
    Half,
    /// The upper half of an `f32`; read as `f32`.
    Brain,
    /// An integer in `precision` bits from bit `offset` on; the other bits say nothing.
    Bits { offset: u32, precision: u32, signed: bool },
}

/// The number type of an array's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Element {
    /// Bytes of a stored number.
    pub(super) size: usize,
    /// What the numbers are read as.
    pub(super) dtype: Dtype,
    /// Whether the stored bytes are in another order than this machine's.
    pub(super) swapped: bool,
    pub(super) form: Form,
}

impl Element {
    /// A number that is stored as it is read.
    pub(super) fn plain(dtype: Dtype, swapped: bool) -> Self {
        Element { size: dtype.size(), dtype, swapped, form: Form::Plain }
    }

    /// A floating-point number of two bytes.
    pub(super) fn half(form: Form, swapped: bool) -> Self {
        Element { size: 2, dtype: Dtype::F32, swapped, form }
    }

    /// The voxels at `strided` in an array's bytes, and whether they stay in these bytes.
    pub(super) fn store(&self, bytes: Bytes, strided: &Strided) -> (Store, bool) {
        let (dtype, shape) = (self.dtype, strided.shape);
        if strided.has_whole_rows() && self.form == Form::Plain {
            return (strided.rows(bytes, self.swapped), true);
        }
        let all = (*bytes).as_ref();
        let gathered = (!strided.is_contiguous()).then(|| strided.gather(all));
        let run = gathered.as_deref().unwrap_or_else(|| &all[strided.start..strided.start + strided.len()]);
        let stored = |bytes, swapped| (Store::contiguous(bytes, 0, shape, dtype, swapped), false);
        match (self.converted(run), gathered) {
            (Some(converted), _) => stored(converted, false),
            (None, gathered) => stored(owned_bytes(gathered.unwrap_or_default()), self.swapped),
        }
    }

    /// The numbers of a run as those of the type that they are read as; `None` where they have that form already.
    fn converted(&self, run: &[u8]) -> Option<Bytes> {
        Some(match self.form {
            Form::Plain => return None,
            Form::Half => owned_bytes(self.map::<2, f32>(run, |bytes| f16::from_ne_bytes(bytes).to_f32())),
            Form::Brain => owned_bytes(self.map::<2, f32>(run, |bytes| bf16::from_ne_bytes(bytes).to_f32())),
            Form::Bits { offset, precision, signed } => self.whole_integers(run, offset, precision, signed),
        })
    }

    fn map<const N: usize, T: Send>(&self, run: &[u8], convert: impl Fn([u8; N]) -> T + Sync) -> Vec<T> {
        let numbers = run.par_chunks_exact(N).with_min_len(1 << 14);
        numbers
            .map(|bytes| {
                let mut bytes: [u8; N] = bytes.try_into().expect("a chunk of N bytes");
                if self.swapped {
                    bytes.reverse();
                }
                convert(bytes)
            })
            .collect()
    }

    /// Integers of the whole width of their bytes, as libhdf5 makes them on reading.
    fn whole_integers(&self, run: &[u8], offset: u32, precision: u32, signed: bool) -> Bytes {
        let whole = |raw: u64| {
            let above = 64 - precision;
            match signed {
                true => (((raw >> offset) << above) as i64 >> above) as u64,
                false => (raw >> offset) << above >> above,
            }
        };
        match self.size {
            1 => owned_bytes(self.map(run, |bytes| whole(u8::from_ne_bytes(bytes).into()) as u8)),
            2 => owned_bytes(self.map(run, |bytes| whole(u16::from_ne_bytes(bytes).into()) as u16)),
            4 => owned_bytes(self.map(run, |bytes| whole(u32::from_ne_bytes(bytes).into()) as u32)),
            _ => owned_bytes(self.map(run, |bytes| whole(u64::from_ne_bytes(bytes)))),
        }
    }
}

/// The integer type of `size` bytes.
pub(super) fn integer(size: usize, signed: bool) -> Option<Dtype> {
    Some(match (size, signed) {
        (1, false) => Dtype::U8,
        (2, false) => Dtype::U16,
        (4, false) => Dtype::U32,
        (8, false) => Dtype::U64,
        (1, true) => Dtype::I8,
        (2, true) => Dtype::I16,
        (4, true) => Dtype::I32,
        (8, true) => Dtype::I64,
        _ => return None,
    })
}
