//! Voxels as labels, as classes, and as true labels of which some do not count.
use ndarray::Array3;

use super::{Sample, Shape, Volume, for_dtype};
use crate::error::{Error, Result};

/// What a truth file has where nobody annotated.
pub const NOT_ANNOTATED: i128 = -1;

/// True labels, z, y, x, of which some voxels may be left out.
pub struct Annotation {
    /// Labels; 0 is background, and stands where a voxel is left out.
    pub labels: Array3<u32>,
    /// Whether each voxel is left out; absent where none is.
    pub left_out: Option<Array3<bool>>,
}

impl From<Array3<u32>> for Annotation {
    /// Labels of which every voxel counts.
    fn from(labels: Array3<u32>) -> Self {
        Annotation { labels, left_out: None }
    }
}

impl Annotation {
    /// The share of the voxels that is left out, from 0 to 1.
    pub fn left_out_fraction(&self) -> f64 {
        let count = |left_out: &Array3<bool>| left_out.iter().filter(|&&left_out| left_out).count();
        let voxels = self.left_out.as_ref().map_or(0, count);
        voxels as f64 / self.labels.len().max(1) as f64
    }
}

impl Volume {
    /// All voxels as labels; an error names the first voxel that is no integer from 0 to `u32::MAX`.
    pub fn to_labels(&self) -> Result<Array3<u32>> {
        self.read_labels([0; 3], self.shape)
    }

    /// The block of extent `shape` that begins at voxel `start`, as labels.
    ///
    /// # Errors
    /// Names the first voxel that is no integer from 0 to `u32::MAX`.
    ///
    /// # Panics
    /// Where the block is not inside the volume.
    pub fn read_labels(&self, start: Shape, shape: Shape) -> Result<Array3<u32>> {
        for_dtype!(self.dtype, S => {
            self.require(start, shape, |value: S| value.label().is_some(), |value: S| expected_label("", value))?;
            Ok(self.block(start, shape, |value: S| value.label().unwrap_or_default()))
        })
    }

    /// All voxels as true labels; those of [`NOT_ANNOTATED`] and of the numbers `ignore` are left out. `option` is how
    /// the user asks for that, with `{}` for the number.
    ///
    /// # Errors
    /// Names the first other voxel that is no integer from 0 to `u32::MAX`.
    pub fn to_annotation(&self, ignore: &[i128], option: &str) -> Result<Annotation> {
        for_dtype!(self.dtype, S => self.annotation_of::<S>(ignore, option))
    }

    fn annotation_of<S: Sample>(&self, ignore: &[i128], option: &str) -> Result<Annotation> {
        let (start, shape) = ([0; 3], self.shape);
        let is_ignored = |whole: i128| whole == NOT_ANNOTATED || ignore.contains(&whole);
        let is_left_out = |value: S| value.whole().is_some_and(is_ignored);
        let fits = |value: S| value.label().is_some() || is_left_out(value);
        self.require(start, shape, fits, |value| expected_label(option, value))?;
        let label = |value: S| value.label().filter(|_| !is_left_out(value)).unwrap_or_default();
        let some = self.first(start, shape, is_left_out).is_some();
        Ok(Annotation {
            labels: self.block(start, shape, label),
            left_out: some.then(|| self.block(start, shape, is_left_out)),
        })
    }

    /// Whether a voxel has this number.
    pub fn holds(&self, number: i128) -> bool {
        for_dtype!(self.dtype, S => {
            self.first([0; 3], self.shape, |value: S| value.whole() == Some(number)).is_some()
        })
    }

    /// All voxels as classes 0 background, 1 membrane, 2 foreground; an error names the first other value.
    pub fn to_classes(&self) -> Result<Array3<u8>> {
        for_dtype!(self.dtype, S => {
            let class = |value: S| value.label().filter(|&class| class <= 2);
            let expected = |_| "a class: 0 background, 1 membrane or 2 foreground".to_owned();
            self.require([0; 3], self.shape, |value| class(value).is_some(), expected)?;
            Ok(self.block([0; 3], self.shape, |value| class(value).unwrap_or_default() as u8))
        })
    }

    /// An error at the first voxel of the block that `fits` refuses; `expected` says what it should be.
    fn require<S: Sample>(
        &self,
        start: Shape,
        shape: Shape,
        fits: impl Fn(S) -> bool + Sync,
        expected: impl Fn(S) -> String,
    ) -> Result<()> {
        match self.first(start, shape, |value| !fits(value)) {
            None => Ok(()),
            Some(([z, y, x], value)) => {
                let found = format!("{value} at voxel z {z}, y {y}, x {x}");
                Err(Error::format(self.name(), found, expected(value)))
            }
        }
    }
}

/// What a label has to be, and what to do about `found`; `option` is how a number is left out, empty where none can be.
fn expected_label<S: Sample>(option: &str, found: S) -> String {
    let whole = match option {
        "" => "a whole number from 0 to 4294967295".to_owned(),
        _ => "a whole number from 0 to 4294967295, or -1 where nobody annotated".to_owned(),
    };
    match found.whole() {
        Some(number) if !option.is_empty() => {
            format!("{whole} ({} leaves these voxels out too)", option.replace("{}", &number.to_string()))
        }
        None if found.is_finite() && found.number().fract() != 0.0 => format!(
            "{whole} (fractions come from interpolated labels: resample labels with nearest neighbour)"
        ),
        _ => whole,
    }
}
