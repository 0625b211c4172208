//! The options of the second stage, for every subcommand that ends in cells.
use crate::cells::{Options, Tascan, Watershed};
use crate::error::Result;
use crate::volume::Shape;

/// How classes become cells. All lengths are in voxels, or with a voxel size in smallest voxel edges.
#[derive(clap::Args)]
#[command(next_help_heading = "Cells")]
pub struct CellOptions {
    /// Leave background that borders on foreground more than on membrane as it is; otherwise it is the dark
    /// inside of a cell.
    #[arg(long)]
    keep_pockets: bool,
    /// Keep cells that border on background more than on membrane; otherwise they are debris.
    #[arg(long)]
    keep_debris: bool,
    /// Super voxels that touch in at least this many voxels are one cell, if the next condition holds too.
    #[arg(long, value_name = "VOXELS", default_value_t = Options::default().min_touching_area)]
    min_touching_area: u64,
    /// ... if they touch in at least this fraction of V^(2/3), V being the volume of the smaller one; 0: no
    /// such condition.
    #[arg(long, value_name = "FRACTION", default_value_t = Options::default().min_relative_area)]
    min_relative_area: f64,
    /// Super voxels that touch in at least this fraction of the surface of either are one cell (the original
    /// authors use 0.51).
    #[arg(long, value_name = "FRACTION", default_value_t = Options::default().min_touching_fraction)]
    min_touching_fraction: f64,
    /// Drop cells of fewer voxels.
    #[arg(long, value_name = "VOXELS", default_value_t = Options::default().min_cell_size)]
    min_cell_size: u64,
    /// Drop cells that touch, without a wall between, one of which they have less than this fraction of the
    /// size.
    #[arg(long, value_name = "FRACTION", default_value_t = Options::default().fragment_fraction)]
    fragment_fraction: f64,
    /// A peak of the distance map belongs to its neighbour if it rises less than this above the saddle
    /// between.
    #[arg(long, value_name = "LENGTH", default_value_t = Options::default().peak_height)]
    peak_height: f64,
    /// ... or less than this fraction of its own distance.
    #[arg(long, value_name = "FRACTION", default_value_t = Options::default().peak_fraction)]
    peak_fraction: f64,
    /// Peaks of touching basins within this many voxels of each other are one.
    #[arg(long, value_name = "VOXELS", default_value_t = Options::default().peak_distance)]
    peak_distance: usize,
    /// Rule that joins super voxels: touching areas against whole surfaces, or the original authors' code.
    #[arg(long, value_enum, default_value_t)]
    tascan: Tascan,
    /// How super voxels are found: steepest ascent, or the original authors' flooding.
    #[arg(long, value_enum, default_value_t)]
    watershed: Watershed,
}

impl CellOptions {
    /// The parameters, checked; `block` are the voxels of a block (z, y, x), a matter of speed.
    ///
    /// # Errors
    /// A parameter that makes no sense.
    pub fn resolve(&self, block: Option<Shape>, keep_supervoxels: bool) -> Result<Options> {
        let options = Options {
            fill_pockets: !self.keep_pockets,
            drop_debris: !self.keep_debris,
            min_touching_area: self.min_touching_area,
            min_relative_area: self.min_relative_area,
            min_touching_fraction: self.min_touching_fraction,
            min_cell_size: self.min_cell_size,
            fragment_fraction: self.fragment_fraction,
            peak_height: self.peak_height,
            peak_fraction: self.peak_fraction,
            peak_distance: self.peak_distance,
            tascan: self.tascan,
            watershed: self.watershed,
            block: block.unwrap_or(Options::default().block),
            keep_supervoxels,
        };
        options.check()?;
        Ok(options)
    }
}
