//! The operations of the second stage, and the second stage as a whole, on a synthetic tissue: the GPU's integers are the CPU's.
use std::sync::Arc;

use bytemuck::Pod;
use ndarray::{Array3, ArrayView3};

use super::{About, Case, Pipe, Visit, Work, exact};
use crate::cells::{FOREGROUND, Options, label_cells, label_cells_on};
use crate::device::cuda::Gpu;
use crate::device::cuda::volume::DeviceVolume;
use crate::device::{Device, Precision};
use crate::error::Result;
use crate::ops::basins::{self, Basins};
use crate::ops::distance::{self, Metric};
use crate::ops::{contacts, cuda, erosion, exposure, nearest_cell, pockets, regions, relabel, saddles};
use crate::synth::{self, Parameters};
use crate::train::masks::Masks;

/// Voxels in, voxels out, both on a GPU.
type Sent<T> = Option<DeviceVolume<T>>;

/// What the operations work on.
struct Tissue<'a> {
    gpu: Option<&'a Arc<Gpu>>,
    classes: Array3<u8>,
    core: Array3<u8>,
    squared: Array3<u32>,
    labels: Array3<u32>,
    count: u32,
}

pub(super) fn visit_all(gpu: Option<&Arc<Gpu>>, edge: usize, visit: Visit) -> Result<()> {
    let truth = synth::sample_with(Parameters::default(), [edge; 3], 1).labels;
    let classes = Masks::default().targets(truth.view()).class;
    let squared = distance::squared(classes.view(), FOREGROUND, &Metric::ISOTROPIC);
    let Basins { labels, peaks } = basins::ascend(squared.view(), Options::default().block)?;
    let core = erosion::erode(classes.view(), FOREGROUND);
    let tissue = Tissue { gpu, classes, core, squared, labels, count: peaks.len() as u32 };
    tissue.shapes(visit)?;
    tissue.basins(visit)?;
    tissue.regions(visit)?;
    tissue.labels(visit)?;
    tissue.second_stage(visit)
}

impl Tissue<'_> {
    fn about(
        &self,
        operation: &'static str,
        dtype: &'static str,
        cost: fn(usize) -> (usize, usize),
    ) -> About {
        let (operations, bytes) = cost(self.classes.len());
        About {
            operation,
            shape: format!("{}^3", self.classes.dim().0),
            dtype,
            work: Work { operations: operations as f64, bytes: bytes as f64 },
            pipe: Pipe::Scalar,
            tolerance: 0.0,
        }
    }

    fn send<T: Pod>(&self, volume: ArrayView3<T>) -> Result<Sent<T>> {
        self.gpu.map(|gpu| DeviceVolume::upload(gpu, volume)).transpose()
    }

    /// Whether a volume on the GPU is the expected one.
    fn same<T: Pod + PartialEq>(&self, expected: &Array3<T>, found: &DeviceVolume<T>) -> Result<f64> {
        self.gpu.map_or(Ok(0.0), |gpu| Ok(exact(expected, &found.download(gpu)?)))
    }

    fn shapes(&self, visit: Visit) -> Result<()> {
        let (classes, metric) = (self.classes.view(), Metric::ISOTROPIC);
        let sent = self.send(classes)?;
        let ready = self.gpu.zip(sent.as_ref());
        let on_gpu = ready.map(|(gpu, classes)| move || cuda::erosion::erode(gpu, classes, FOREGROUND));
        visit(&Case::new(
            self.about("erosion", "u8", erosion::cost),
            || erosion::erode(classes, FOREGROUND),
            on_gpu,
            |expected, found| self.same(expected, found),
        ))?;
        let on_gpu =
            ready.map(|(gpu, classes)| move || cuda::distance::squared(gpu, classes, FOREGROUND, &metric));
        visit(&Case::new(
            self.about("distance", "u32", distance::cost),
            || distance::squared(classes, FOREGROUND, &metric),
            on_gpu,
            |expected, found| self.same(expected, found),
        ))?;
        let on_gpu = self.gpu.map(|gpu| {
            move || {
                let mut filled = DeviceVolume::upload(gpu, classes)?;
                cuda::pockets::fill(gpu, &mut filled)?;
                Ok(filled)
            }
        });
        visit(&Case::new(
            self.about("pockets", "u8", pockets::cost),
            || pockets::fill(classes).into_owned(),
            on_gpu,
            |expected, found| self.same(expected, found),
        ))
    }

    fn basins(&self, visit: Visit) -> Result<()> {
        let (squared, labels) = (self.squared.view(), self.labels.view());
        let (sent, sent_labels) = (self.send(squared)?, self.send(labels)?);
        let on_gpu =
            self.gpu.zip(sent.as_ref()).map(|(gpu, squared)| move || cuda::basins::ascend(gpu, squared));
        let block = Options::default().block;
        visit(&Case::new(
            self.about("basins", "u32", basins::cost),
            || basins::ascend(squared, block).map(|Basins { labels, peaks }| (labels, peaks)),
            on_gpu,
            |expected, (labels, peaks)| match expected {
                Ok(expected) => Ok(self.same(&expected.0, labels)?.max(exact(&expected.1, peaks))),
                Err(_) => Ok(f64::NAN),
            },
        ))?;
        let ready = self.gpu.zip(sent.as_ref()).zip(sent_labels.as_ref());
        let on_gpu = ready.map(|((gpu, squared), labels)| {
            move || cuda::saddles::saddles(gpu, labels, squared, self.count as usize)
        });
        visit(&Case::new(
            self.about("saddles", "u32", saddles::cost),
            || saddles::saddles(labels, squared),
            on_gpu,
            |expected, found| Ok(exact(expected, found)),
        ))
    }

    fn regions(&self, visit: Visit) -> Result<()> {
        let (labels, core, count) = (self.labels.view(), self.core.view(), self.count);
        let (sent, sent_core) = (self.send(labels)?, self.send(core)?);
        let (classes, sent_classes) = (self.classes.view(), self.send(self.classes.view())?);
        let ready = self.gpu.zip(sent.as_ref());
        let on_gpu = ready.map(|(gpu, labels)| move || cuda::regions::regions(gpu, labels, count));
        visit(&Case::new(
            self.about("regions", "u32", regions::cost),
            || regions::regions(labels, count),
            on_gpu,
            |expected, found| Ok(exact(expected, found)),
        ))?;
        let on_gpu = ready
            .zip(sent_core.as_ref())
            .map(|((gpu, labels), core)| move || cuda::contacts::contacts(gpu, labels, Some(core), count));
        visit(&Case::new(
            self.about("contacts", "u32", contacts::cost),
            || contacts::contacts(labels, Some(core), count),
            on_gpu,
            |expected, found| Ok(exact(expected, found)),
        ))?;
        let on_gpu = ready
            .zip(sent_classes.as_ref())
            .map(|((gpu, labels), classes)| move || cuda::exposure::exposures(gpu, labels, classes, count));
        visit(&Case::new(
            self.about("exposure", "u32", exposure::cost),
            || exposure::exposures(labels, classes, count),
            on_gpu,
            |expected, found| Ok(exact(expected, found)),
        ))
    }

    fn labels(&self, visit: Visit) -> Result<()> {
        // Every seventh label stays.
        let table: Vec<u32> =
            (0..=self.count).map(|label| if label % 7 == 1 { label / 7 + 1 } else { 0 }).collect();
        let table = &table;
        let metric = Metric::ISOTROPIC;
        let on_gpu = self.gpu.map(|gpu| {
            move || {
                let mut labels = DeviceVolume::upload(gpu, self.labels.view())?;
                cuda::relabel::relabel(gpu, &mut labels, table)?;
                Ok(labels)
            }
        });
        let relabelled = || {
            let mut labels = self.labels.clone();
            relabel::relabel(labels.view_mut(), table);
            labels
        };
        visit(&Case::new(
            self.about("relabel", "u32", relabel::cost),
            relabelled,
            on_gpu,
            |expected, found| self.same(expected, found),
        ))?;
        let (free, sent) = (relabelled(), self.send(self.classes.view())?);
        let free = &free;
        let on_gpu = self.gpu.zip(sent.as_ref()).map(|(gpu, classes)| {
            move || {
                let mut labels = DeviceVolume::upload(gpu, free.view())?;
                cuda::nearest_cell::fill(gpu, &mut labels, classes, &metric)?;
                Ok(labels)
            }
        });
        let filled = || {
            let mut labels = free.clone();
            nearest_cell::fill(labels.view_mut(), self.classes.view(), &metric);
            labels
        };
        visit(&Case::new(
            self.about("nearest_cell", "u32", nearest_cell::cost),
            filled,
            on_gpu,
            |expected, found| self.same(expected, found),
        ))
    }

    fn second_stage(&self, visit: Visit) -> Result<()> {
        let options = &Options::default();
        let on_gpu = self.gpu.map(|gpu| {
            let device = Device::cuda(gpu.clone(), Precision::F32);
            move || Ok(label_cells_on(&device, self.classes.view(), None, options)?.labels)
        });
        visit(&Case::new(
            // Every class is read and every label written at least once.
            self.about("second stage", "u8", |voxels| (voxels, 5 * voxels)),
            || label_cells(self.classes.view(), None, options).map(|cells| cells.labels),
            on_gpu,
            |expected, found| Ok(expected.as_ref().map_or(f64::NAN, |expected| exact(expected, found))),
        ))
    }
}
