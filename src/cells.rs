//! From classes to cells: the second stage, told from the first voxel to the last label.
//!
//! Background inside a cell, without a wall around it, is foreground too. Super voxels are found in the whole
//! foreground, so that every foreground voxel belongs to the cell that
//! its distance map leads to. The walls that a network leaves have holes; whether two super voxels are one
//! cell is therefore decided in the eroded foreground, in which small holes are closed. Cells that lie open
//! towards the background are debris. Membrane voxels go to the nearest cell, with debris to the background.
mod operations;
mod options;
mod selection;

use std::sync::Arc;
use std::time::Instant;

use ndarray::{Array3, ArrayView3};
use serde::Serialize;

pub(crate) use self::operations::Operations;
use self::operations::{OnCpu, OnGpu};
pub use self::options::{Options, Tascan, Watershed};
use self::selection::{Numbering, Selection, select};
use crate::device::Device;
use crate::device::cuda::Gpu;
use crate::device::cuda::volume::DeviceVolume;
use crate::error::{Error, Result};
use crate::ops::contacts::Contacts;
use crate::ops::cuda::can_number;
use crate::ops::distance::Metric;
use crate::supervoxels::{self, SuperVoxels};
use crate::tascan;
use crate::volume::{Shape, Spacing};

/// Class of a voxel outside the tissue.
pub const BACKGROUND: u8 = 0;
/// Class of a voxel of the cells' membranes.
pub const MEMBRANE: u8 = 1;
/// Class of a voxel inside a cell.
pub const FOREGROUND: u8 = 2;

/// The cells of a volume.
pub struct Cells {
    /// Label of every voxel, z, y, x: 0 background, cells from 1 in the order of their first voxels.
    pub labels: Array3<u32>,
    /// Number of cells.
    pub count: u32,
    /// The super voxels that the cells consist of, where [`Options::keep_supervoxels`] asks for them.
    pub supervoxels: Option<Array3<u32>>,
    /// How long each stage took.
    pub stages: Vec<Stage>,
}

impl Cells {
    /// These cells, which `classes` gave, if there are any.
    ///
    /// # Errors
    /// Where there is none; says what the classes are instead.
    pub fn require_some(self, classes: ArrayView3<u8>) -> Result<Self> {
        match self.why_none(classes) {
            None => Ok(self),
            Some(reason) => Err(Error::invalid(reason)),
        }
    }

    /// Where there is no cell, a line that says so and what the `classes` are instead.
    pub fn why_none(&self, classes: ArrayView3<u8>) -> Option<String> {
        if self.count > 0 {
            return None;
        }
        let voxels = |class: u8| classes.iter().filter(|&&c| c == class).count();
        let [background, membrane, foreground] = [BACKGROUND, MEMBRANE, FOREGROUND].map(voxels);
        Some(format!(
            "no cell found: {background} voxels are background, {membrane} membrane and {foreground} the \
             inside of cells"
        ))
    }
}

/// How long a stage took.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Stage {
    /// Name of the stage.
    pub name: &'static str,
    /// Wall-clock time.
    pub seconds: f64,
}

/// The stages so far.
#[derive(Debug, Default)]
pub struct Stages(Vec<Stage>);

impl Stages {
    /// Does the work of a stage and notes its time.
    pub fn time<T>(&mut self, name: &'static str, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = work();
        self.0.push(Stage { name, seconds: start.elapsed().as_secs_f64() });
        result
    }
}

/// Finds the cells of a volume of classes ([`BACKGROUND`], [`MEMBRANE`], [`FOREGROUND`]; z, y, x) on the CPU.
///
/// With `spacing`, distances are measured in smallest voxel edges, otherwise in voxels. The labels depend on
/// the classes, the spacing and the options alone, never on [`Options::block`], the number of threads or the device.
///
/// # Errors
/// Options or a spacing that make no sense; a volume in which squared distances or labels exceed 32 bits.
pub fn label_cells(classes: ArrayView3<u8>, spacing: Option<Spacing>, options: &Options) -> Result<Cells> {
    label_cells_on(&Device::Cpu, classes, spacing, options)
}

/// [`label_cells`] on a device, of several GPUs on the first. Where a GPU has too little free memory for the volume, or cannot
/// number its voxels, the CPU does it.
///
/// # Errors
/// Those of [`label_cells`], and those of the GPU.
pub fn label_cells_on(
    device: &Device,
    classes: ArrayView3<u8>,
    spacing: Option<Spacing>,
    options: &Options,
) -> Result<Cells> {
    label_cells_from(device, classes, None, spacing, options)
}

/// [`label_cells_on`] a device where the classes may be already.
pub(crate) fn label_cells_from(
    device: &Device,
    classes: ArrayView3<u8>,
    on_gpu: Option<DeviceVolume<u8>>,
    spacing: Option<Spacing>,
    options: &Options,
) -> Result<Cells> {
    options.check()?;
    let metric = Metric::new(spacing, classes.dim().into())?;
    match device {
        Device::Cuda { gpu, .. } if fits(gpu, classes.dim().into())? => {
            let classes = on_gpu.map_or_else(|| DeviceVolume::upload(gpu, classes), Ok)?;
            find(&OnGpu(gpu), classes, &metric, options)
        }
        _ => find(&OnCpu(options), classes.into(), &metric, options),
    }
}

/// Whether a GPU can find the cells of a volume.
fn fits(gpu: &Arc<Gpu>, shape: Shape) -> Result<bool> {
    /// Device memory that the nearest cell takes per voxel, in bytes: class, label and two best so far.
    const BYTES_PER_VOXEL: usize = 1 + 4 + 2 * 8;
    if !can_number(shape) {
        return Ok(false);
    }
    let (needed, free) = ((shape.iter().product::<usize>() * BYTES_PER_VOXEL) as u64, gpu.free_memory()?);
    let fits = needed <= free / 10 * 9;
    if !fits {
        tracing::info!(
            "the cells are found on the CPU: they would take {:.1} GB of the {:.1} GB that are free on {gpu}",
            needed as f64 / 1e9,
            free as f64 / 1e9
        );
    }
    Ok(fits)
}

/// The second stage, told from the first voxel to the last label.
fn find<O: Operations>(
    operations: &O,
    classes: O::Classes,
    metric: &Metric,
    options: &Options,
) -> Result<Cells> {
    let mut stages = Stages::default();
    let classes = match options.fill_pockets {
        true => stages.time("pockets", || operations.pockets(classes))?,
        false => classes,
    };
    let SuperVoxels { mut labels, count } = match options.watershed {
        Watershed::Ascent => supervoxels::by_ascent(operations, &classes, metric, options, &mut stages)?,
        Watershed::Flood => operations.flood(&classes, &mut stages)?,
    };
    let kept = options.keep_supervoxels.then(|| operations.copy(&labels)).transpose()?;
    let Numbering { table, cells, debris } =
        cluster(operations, &classes, &labels, count, options, &mut stages)?;
    let labels = stages.time("nearest cell", || {
        operations.relabel(&mut labels, &table)?;
        operations.nearest_cell(&mut labels, &classes, metric)?;
        if debris > 0 {
            let kept = (0..=cells).chain(std::iter::repeat_n(0, debris as usize));
            operations.relabel(&mut labels, &kept.collect::<Vec<u32>>())?;
        }
        operations.finish(labels)
    })?;
    Ok(Cells { labels, count: cells, supervoxels: kept, stages: stages.0 })
}

/// From super voxels to cells and debris.
fn cluster<O: Operations>(
    operations: &O,
    classes: &O::Classes,
    labels: &O::Labels,
    count: u32,
    options: &Options,
    stages: &mut Stages,
) -> Result<Numbering> {
    let core = stages.time("erosion", || operations.erosion(classes))?;
    let regions = stages.time("regions", || operations.regions(labels, count))?;
    let clusters = match options.tascan {
        Tascan::Full => {
            let contacts = stages.time("contacts", || operations.contacts(labels, Some(&core), count))?;
            stages.time("tascan", || tascan::full_surface(&contacts, &regions, &options.rule()))
        }
        Tascan::Authors => {
            let shells = stages.time("contacts", || operations.shells(labels, &core, count))?;
            stages.time("tascan", || {
                let order = tascan::authors::by_size(&regions);
                tascan::authors::fit(&shells, &order, &options.rule())
            })
        }
    };
    drop(core);
    stages.time("selection", || {
        let touching = match options.drops_fragments() {
            true => operations.contacts(labels, None, count)?,
            false => Contacts::default(),
        };
        let exposures = match options.drop_debris {
            true => operations.exposures(labels, classes, count)?,
            false => vec![0; count as usize],
        };
        Ok(select(&clusters, &regions, &touching, &exposures, &Selection::from(options)))
    })
}
