//! The number types that a stored voxel may have, and what each becomes as a grey value or as a label.
use std::fmt;

use bytemuck::Pod;

/// The number type of stored voxels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Dtype {
    /// 8 bits, unsigned.
    U8,
    /// 8 bits, signed.
    I8,
    /// 16 bits, unsigned.
    U16,
    /// 16 bits, signed.
    I16,
    /// 32 bits, unsigned.
    U32,
    /// 32 bits, signed.
    I32,
    /// 64 bits, unsigned (label volumes of some tools).
    U64,
    /// 64 bits, signed (NumPy's default integer).
    I64,
    /// 32 bits, floating point.
    F32,
    /// 64 bits, floating point; grey values are read as `f32`.
    F64,
}

impl Dtype {
    /// All of them.
    pub const ALL: [Dtype; 10] = [
        Dtype::U8,
        Dtype::I8,
        Dtype::U16,
        Dtype::I16,
        Dtype::U32,
        Dtype::I32,
        Dtype::U64,
        Dtype::I64,
        Dtype::F32,
        Dtype::F64,
    ];

    /// Bytes of one voxel.
    pub fn size(self) -> usize {
        match self {
            Dtype::U8 | Dtype::I8 => 1,
            Dtype::U16 | Dtype::I16 => 2,
            Dtype::U32 | Dtype::I32 | Dtype::F32 => 4,
            Dtype::U64 | Dtype::I64 | Dtype::F64 => 8,
        }
    }

    /// Whether values may be NaN or infinite.
    pub fn is_float(self) -> bool {
        matches!(self, Dtype::F32 | Dtype::F64)
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Dtype::U8 => "u8",
            Dtype::I8 => "i8",
            Dtype::U16 => "u16",
            Dtype::I16 => "i16",
            Dtype::U32 => "u32",
            Dtype::I32 => "i32",
            Dtype::U64 => "u64",
            Dtype::I64 => "i64",
            Dtype::F32 => "f32",
            Dtype::F64 => "f64",
        })
    }
}

/// A number type in which voxels are stored.
pub trait Sample: Pod + Default + PartialOrd + fmt::Display + Send + Sync {
    /// The same as a value.
    const DTYPE: Dtype;

    /// The value with its bytes in the other order.
    fn swapped(self) -> Self;

    /// The grey value; 32-bit integers beyond 2^24 and `f64` are rounded.
    fn grey(self) -> f32;

    /// The value; 64-bit integers beyond 2^53 are rounded.
    fn number(self) -> f64;

    /// The label, where the value is an integer from 0 to `u32::MAX`.
    fn label(self) -> Option<u32>;

    /// The value, where it is an integer.
    fn whole(self) -> Option<i128>;

    /// Whether the value is neither NaN nor infinite.
    fn is_finite(self) -> bool;
}

macro_rules! integer_sample {
    ($($type:ty, $dtype:ident;)*) => {$(
        impl Sample for $type {
            const DTYPE: Dtype = Dtype::$dtype;

            fn swapped(self) -> Self {
                self.swap_bytes()
            }

            fn grey(self) -> f32 {
                self as f32
            }

            fn number(self) -> f64 {
                self as f64
            }

            fn label(self) -> Option<u32> {
                u32::try_from(self).ok()
            }

            fn whole(self) -> Option<i128> {
                Some(self.into())
            }

            fn is_finite(self) -> bool {
                true
            }
        }
    )*};
}

macro_rules! float_sample {
    ($($type:ty, $dtype:ident;)*) => {$(
        impl Sample for $type {
            const DTYPE: Dtype = Dtype::$dtype;

            fn swapped(self) -> Self {
                Self::from_bits(self.to_bits().swap_bytes())
            }

            fn grey(self) -> f32 {
                self as f32
            }

            fn number(self) -> f64 {
                self as f64
            }

            fn label(self) -> Option<u32> {
                let label = self as u32;
                (label as f64 == self as f64).then_some(label)
            }

            fn whole(self) -> Option<i128> {
                let whole = self as i128;
                (whole as f64 == self as f64).then_some(whole)
            }

            fn is_finite(self) -> bool {
                <$type>::is_finite(self)
            }
        }
    )*};
}

integer_sample! { u8, U8; i8, I8; u16, U16; i16, I16; u32, U32; i32, I32; u64, U64; i64, I64; }
float_sample! { f32, F32; f64, F64; }

/// Evaluates an expression with a type alias bound to the number type of a [`Dtype`].
macro_rules! for_dtype {
    ($dtype:expr, $sample:ident => $body:expr) => {
        match $dtype {
            $crate::volume::Dtype::U8 => {
                type $sample = u8;
                $body
            }
            $crate::volume::Dtype::I8 => {
                type $sample = i8;
                $body
            }
            $crate::volume::Dtype::U16 => {
                type $sample = u16;
                $body
            }
            $crate::volume::Dtype::I16 => {
                type $sample = i16;
                $body
            }
            $crate::volume::Dtype::U32 => {
                type $sample = u32;
                $body
            }
            $crate::volume::Dtype::I32 => {
                type $sample = i32;
                $body
            }
            $crate::volume::Dtype::U64 => {
                type $sample = u64;
                $body
            }
            $crate::volume::Dtype::I64 => {
                type $sample = i64;
                $body
            }
            $crate::volume::Dtype::F32 => {
                type $sample = f32;
                $body
            }
            $crate::volume::Dtype::F64 => {
                type $sample = f64;
                $body
            }
        }
    };
}
pub(crate) use for_dtype;
