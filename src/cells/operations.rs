//! What the second stage does to whole volumes, on the device where they lie. What becomes of basins, contacts and regions
//! is decided from lists, on the CPU.
use std::sync::Arc;

use ndarray::{Array3, CowArray, Ix3};

use super::{FOREGROUND, Options, Stages};
use crate::device::cuda::Gpu;
use crate::device::cuda::volume::DeviceVolume;
use crate::error::Result;
use crate::ops::basins::{self, Basins, Peak};
use crate::ops::contacts::{self, Contacts};
use crate::ops::distance::{self, Metric};
use crate::ops::regions::{self, Region};
use crate::ops::saddles::{self, Saddle};
use crate::ops::shells::{self, Shells};
use crate::ops::{cuda, erosion, exposure, nearest_cell, pockets, relabel};
use crate::supervoxels::{self, SuperVoxels};
use crate::volume::Shape;

/// The operations on one device. Their namesakes in [`crate::ops`] say what each does; masks and distances are those of the
/// foreground.
pub(crate) trait Operations {
    type Classes;
    type Mask;
    type Squared;
    type Labels;

    fn shape(&self, classes: &Self::Classes) -> Shape;
    fn pockets(&self, classes: Self::Classes) -> Result<Self::Classes>;
    fn distance(&self, classes: &Self::Classes, metric: &Metric) -> Result<Self::Squared>;
    fn basins(&self, squared: &Self::Squared) -> Result<(Self::Labels, Vec<Peak>)>;
    fn saddles(&self, labels: &Self::Labels, squared: &Self::Squared, count: usize) -> Result<Vec<Saddle>>;
    fn flood(&self, classes: &Self::Classes, stages: &mut Stages) -> Result<SuperVoxels<Self::Labels>>;
    fn relabel(&self, labels: &mut Self::Labels, table: &[u32]) -> Result<()>;
    fn erosion(&self, classes: &Self::Classes) -> Result<Self::Mask>;
    fn regions(&self, labels: &Self::Labels, count: u32) -> Result<Vec<Region>>;
    fn contacts(&self, labels: &Self::Labels, core: Option<&Self::Mask>, count: u32) -> Result<Contacts>;
    fn shells(&self, labels: &Self::Labels, core: &Self::Mask, count: u32) -> Result<Shells>;
    fn exposures(&self, labels: &Self::Labels, classes: &Self::Classes, count: u32) -> Result<Vec<i64>>;
    fn nearest_cell(&self, labels: &mut Self::Labels, classes: &Self::Classes, metric: &Metric)
    -> Result<()>;
    fn copy(&self, labels: &Self::Labels) -> Result<Array3<u32>>;
    fn finish(&self, labels: Self::Labels) -> Result<Array3<u32>>;
}

/// All cores of the CPU; classes are copied only where pockets are filled.
pub(super) struct OnCpu<'a>(pub &'a Options);

impl<'a> Operations for OnCpu<'a> {
    type Classes = CowArray<'a, u8, Ix3>;
    type Mask = Array3<u8>;
    type Squared = Array3<u32>;
    type Labels = Array3<u32>;

    fn shape(&self, classes: &Self::Classes) -> Shape {
        classes.dim().into()
    }

    fn pockets(&self, classes: Self::Classes) -> Result<Self::Classes> {
        let filled = pockets::fill(classes.view());
        Ok(if filled.is_view() { classes } else { filled.into_owned().into() })
    }

    fn distance(&self, classes: &Self::Classes, metric: &Metric) -> Result<Array3<u32>> {
        Ok(distance::squared(classes.view(), FOREGROUND, metric))
    }

    fn basins(&self, squared: &Array3<u32>) -> Result<(Array3<u32>, Vec<Peak>)> {
        let Basins { labels, peaks } = basins::ascend(squared.view(), self.0.block)?;
        Ok((labels, peaks))
    }

    fn saddles(&self, labels: &Array3<u32>, squared: &Array3<u32>, _: usize) -> Result<Vec<Saddle>> {
        Ok(saddles::saddles(labels.view(), squared.view()))
    }

    fn flood(&self, classes: &Self::Classes, stages: &mut Stages) -> Result<SuperVoxels<Array3<u32>>> {
        supervoxels::by_flood(classes.view(), stages)
    }

    fn relabel(&self, labels: &mut Array3<u32>, table: &[u32]) -> Result<()> {
        relabel::relabel(labels.view_mut(), table);
        Ok(())
    }

    fn erosion(&self, classes: &Self::Classes) -> Result<Array3<u8>> {
        Ok(erosion::erode(classes.view(), FOREGROUND))
    }

    fn regions(&self, labels: &Array3<u32>, count: u32) -> Result<Vec<Region>> {
        Ok(regions::regions(labels.view(), count))
    }

    fn contacts(&self, labels: &Array3<u32>, core: Option<&Array3<u8>>, count: u32) -> Result<Contacts> {
        Ok(contacts::contacts(labels.view(), core.map(|core| core.view()), count))
    }

    fn shells(&self, labels: &Array3<u32>, core: &Array3<u8>, count: u32) -> Result<Shells> {
        Ok(shells::shells(labels.view(), Some(core.view()), count))
    }

    fn exposures(&self, labels: &Array3<u32>, classes: &Self::Classes, count: u32) -> Result<Vec<i64>> {
        Ok(exposure::exposures(labels.view(), classes.view(), count))
    }

    fn nearest_cell(&self, labels: &mut Array3<u32>, classes: &Self::Classes, metric: &Metric) -> Result<()> {
        nearest_cell::fill(labels.view_mut(), classes.view(), metric);
        Ok(())
    }

    fn copy(&self, labels: &Array3<u32>) -> Result<Array3<u32>> {
        Ok(labels.clone())
    }

    fn finish(&self, labels: Array3<u32>) -> Result<Array3<u32>> {
        Ok(labels)
    }
}

/// A GPU; what the authors' options need beyond that runs on the CPU. Each operation waits for its end, so that a stage's
/// time is its own.
pub(super) struct OnGpu<'a>(pub &'a Arc<Gpu>);

impl Operations for OnGpu<'_> {
    type Classes = DeviceVolume<u8>;
    type Mask = DeviceVolume<u8>;
    type Squared = DeviceVolume<u32>;
    type Labels = DeviceVolume<u32>;

    fn shape(&self, classes: &DeviceVolume<u8>) -> Shape {
        classes.shape
    }

    fn pockets(&self, mut classes: DeviceVolume<u8>) -> Result<DeviceVolume<u8>> {
        cuda::pockets::fill(self.0, &mut classes)?;
        self.0.wait()?;
        Ok(classes)
    }

    fn distance(&self, classes: &DeviceVolume<u8>, metric: &Metric) -> Result<DeviceVolume<u32>> {
        let squared = cuda::distance::squared(self.0, classes, FOREGROUND, metric)?;
        self.0.wait()?;
        Ok(squared)
    }

    fn basins(&self, squared: &DeviceVolume<u32>) -> Result<(DeviceVolume<u32>, Vec<Peak>)> {
        cuda::basins::ascend(self.0, squared)
    }

    fn saddles(
        &self,
        labels: &DeviceVolume<u32>,
        squared: &DeviceVolume<u32>,
        count: usize,
    ) -> Result<Vec<Saddle>> {
        cuda::saddles::saddles(self.0, labels, squared, count)
    }

    fn flood(
        &self,
        classes: &DeviceVolume<u8>,
        stages: &mut Stages,
    ) -> Result<SuperVoxels<DeviceVolume<u32>>> {
        let classes = classes.download(self.0)?;
        let SuperVoxels { labels, count } = supervoxels::by_flood(classes.view(), stages)?;
        Ok(SuperVoxels { labels: DeviceVolume::upload(self.0, labels.view())?, count })
    }

    fn relabel(&self, labels: &mut DeviceVolume<u32>, table: &[u32]) -> Result<()> {
        cuda::relabel::relabel(self.0, labels, table)?;
        self.0.wait()
    }

    fn erosion(&self, classes: &DeviceVolume<u8>) -> Result<DeviceVolume<u8>> {
        let kept = cuda::erosion::erode(self.0, classes, FOREGROUND)?;
        self.0.wait()?;
        Ok(kept)
    }

    fn regions(&self, labels: &DeviceVolume<u32>, count: u32) -> Result<Vec<Region>> {
        cuda::regions::regions(self.0, labels, count)
    }

    fn contacts(
        &self,
        labels: &DeviceVolume<u32>,
        core: Option<&DeviceVolume<u8>>,
        count: u32,
    ) -> Result<Contacts> {
        cuda::contacts::contacts(self.0, labels, core, count)
    }

    fn shells(&self, labels: &DeviceVolume<u32>, core: &DeviceVolume<u8>, count: u32) -> Result<Shells> {
        let (labels, core) = (labels.download(self.0)?, core.download(self.0)?);
        Ok(shells::shells(labels.view(), Some(core.view()), count))
    }

    fn exposures(
        &self,
        labels: &DeviceVolume<u32>,
        classes: &DeviceVolume<u8>,
        count: u32,
    ) -> Result<Vec<i64>> {
        cuda::exposure::exposures(self.0, labels, classes, count)
    }

    fn nearest_cell(
        &self,
        labels: &mut DeviceVolume<u32>,
        classes: &DeviceVolume<u8>,
        metric: &Metric,
    ) -> Result<()> {
        cuda::nearest_cell::fill(self.0, labels, classes, metric)?;
        self.0.wait()
    }

    fn copy(&self, labels: &DeviceVolume<u32>) -> Result<Array3<u32>> {
        labels.download(self.0)
    }

    fn finish(&self, labels: DeviceVolume<u32>) -> Result<Array3<u32>> {
        labels.download(self.0)
    }
}
