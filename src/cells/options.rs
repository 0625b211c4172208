//! The parameters of the second stage.
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::supervoxels::Persistence;
use crate::tascan::Rule;
use crate::volume::Shape;

/// Which rule joins super voxels to cells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Tascan {
    /// Touching areas against whole surfaces, symmetric and independent of any order.
    #[default]
    Full,
    /// Exactly the authors' code: clusters grow from the largest super voxel on.
    Authors,
}

/// How super voxels are found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Watershed {
    /// Steepest ascent and persistence, in parallel.
    #[default]
    Ascent,
    /// Exactly the authors' code: a queue that floods from spaced peaks.
    Flood,
}

/// All parameters of the second stage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Background that borders on foreground more than on membrane is the dark inside of a cell, and counts as
    /// foreground.
    pub fill_pockets: bool,
    /// A cell that borders on background more than on membrane is debris, and is background, as are the membrane
    /// voxels that lie nearest to it.
    pub drop_debris: bool,
    /// Super voxels that touch in at least this many voxels are one cell ...
    pub min_touching_area: u64,
    /// ... if that is also this fraction of V^(2/3), V being the volume of the smaller one in voxels: in
    /// large cells a hole in a wall is larger than `min_touching_area`, and only its size beside the cell
    /// tells it from a waist.
    pub min_relative_area: f64,
    /// Super voxels that touch in this fraction of the whole surface of either are one cell.
    pub min_touching_fraction: f64,
    /// Smaller cells, in voxels, are dropped.
    pub min_cell_size: u64,
    /// A cell that touches, without a wall between, one of which it has less than this fraction of the size
    /// is dropped too: it is a piece left in a hole. Its voxels go to the nearest cell. The authors' rule has
    /// none of this.
    pub fragment_fraction: f64,
    /// A peak of the distance map that rises less than this above its highest saddle is part of the
    /// neighbouring one; in smallest voxel edges.
    pub peak_height: f64,
    /// The same as a fraction of the peak's own distance; the greater of the two counts.
    pub peak_fraction: f64,
    /// Peaks of touching basins within this many voxels of each other on every axis are one.
    pub peak_distance: usize,
    /// The rule that joins super voxels to cells.
    pub tascan: Tascan,
    /// How super voxels are found.
    pub watershed: Watershed,
    /// Voxels of a block, z, y, x: a matter of speed, never of the result.
    pub block: Shape,
    /// Whether to return the super voxels too.
    pub keep_supervoxels: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            fill_pockets: true,
            drop_debris: true,
            min_touching_area: 30,
            min_relative_area: 0.7,
            min_touching_fraction: 0.5,
            min_cell_size: 10,
            fragment_fraction: 0.03,
            peak_height: 0.5,
            peak_fraction: 0.15,
            peak_distance: 3,
            tascan: Tascan::Full,
            watershed: Watershed::Ascent,
            block: [64; 3],
            keep_supervoxels: false,
        }
    }
}

impl Options {
    /// The parameters of the authors' `segment_super_vox_3_channel`, for comparison.
    pub fn authors() -> Self {
        Self {
            fill_pockets: false,
            drop_debris: false,
            min_relative_area: 0.,
            min_touching_fraction: 0.51,
            tascan: Tascan::Authors,
            watershed: Watershed::Flood,
            ..Self::default()
        }
    }

    /// Fails where a parameter makes no sense.
    pub fn check(&self) -> Result<()> {
        let fractions = [
            ("min touching fraction", self.min_touching_fraction, f64::INFINITY),
            ("min relative area", self.min_relative_area, f64::INFINITY),
            ("fragment fraction", self.fragment_fraction, 1.),
            ("peak height", self.peak_height, f64::INFINITY),
            ("peak fraction", self.peak_fraction, 1.),
        ];
        for (name, value, most) in fractions {
            if !(0. ..=most).contains(&value) {
                return Err(Error::invalid(format!("{name} {value}: must be from 0 to {most}")));
            }
        }
        Ok(())
    }

    /// Whether fragments are dropped; the authors' rule knows none.
    pub(crate) fn drops_fragments(&self) -> bool {
        self.fragment_fraction > 0. && self.tascan == Tascan::Full
    }

    /// When two peaks belong to one super voxel.
    pub(crate) fn persistence(&self) -> Persistence {
        Persistence { height: self.peak_height, fraction: self.peak_fraction, distance: self.peak_distance }
    }

    /// When two super voxels belong to one cell.
    pub(crate) fn rule(&self) -> Rule {
        Rule {
            min_area: self.min_touching_area,
            min_relative_area: self.min_relative_area,
            min_fraction: self.min_touching_fraction,
        }
    }
}
