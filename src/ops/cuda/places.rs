//! Where the logits or probabilities and the classes of a part of a volume go, which the last layer and the enlargement find.
use crate::device::cuda::convolution::Grid;
use crate::device::cuda::volume::DeviceVolume;
use crate::device::cuda::{Extent, extent};
use crate::volume::Shape;

/// What is wanted of a part.
#[derive(Clone, Copy)]
pub enum Target<'a> {
    /// Nothing.
    None,
    /// Three channels of `f32`.
    Logits(&'a Grid),
    /// Three channels of `f32`, as [`softmax::softmax`](crate::ops::softmax::softmax), and the most probable class.
    Probabilities(&'a Grid, &'a DeviceVolume<u8>),
    /// The most probable class, as [`softmax::class`](crate::ops::softmax::class).
    Classes(&'a DeviceVolume<u8>),
}

/// Where the result for a part of a volume goes.
#[derive(Clone, Copy)]
pub struct Places<'a> {
    /// The part by itself.
    pub alone: Target<'a>,
    /// The whole volume, and the part's first voxel in it.
    pub whole: (Target<'a>, Shape),
    /// Whether a lower class that the whole volume has already stays there.
    pub keeps_lowest: bool,
}

impl<'a> Places<'a> {
    /// By itself alone.
    pub fn alone(alone: Target<'a>) -> Self {
        Places { alone, whole: (Target::None, [0; 3]), keeps_lowest: false }
    }

    /// Whether probabilities are wanted.
    pub(crate) fn take_probabilities(&self) -> bool {
        [self.alone, self.whole.0].iter().any(|target| matches!(target, Target::Probabilities(..)))
    }

    /// As the kernels have them.
    pub(crate) fn arguments(&self) -> [Place; 2] {
        let (whole, first) = self.whole;
        let whole = Place { keeps_lowest: i32::from(self.keeps_lowest), ..Place::of(whole, first) };
        [Place::of(self.alone, [0; 3]), whole]
    }
}

/// `Place` of kernels/common/places.cuh.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Place {
    values: u64,
    classes: u64,
    shape: Extent,
    first: Extent,
    keeps_lowest: i32,
    takes_probabilities: i32,
}

impl Place {
    /// Nowhere.
    pub(crate) const NONE: Place = Place {
        values: 0,
        classes: 0,
        shape: [0; 3],
        first: [0; 3],
        keeps_lowest: 0,
        takes_probabilities: 0,
    };

    /// A volume of `shape` for logits at this address.
    pub(crate) fn logits(address: u64, shape: Extent) -> Self {
        Place { values: address, shape, ..Self::NONE }
    }

    fn of(target: Target, first: Shape) -> Self {
        let place = match target {
            Target::None => Self::NONE,
            Target::Logits(grid) => Self::logits(grid.address(), extent(grid.shape)),
            Target::Probabilities(grid, volume) => {
                assert_eq!(grid.shape, volume.shape, "probabilities and classes of the same voxels");
                Place {
                    values: grid.address(),
                    takes_probabilities: 1,
                    ..Self::of(Target::Classes(volume), first)
                }
            }
            Target::Classes(volume) => {
                Place { classes: volume.address(), shape: extent(volume.shape), ..Self::NONE }
            }
        };
        Place { first: extent(first), ..place }
    }
}
