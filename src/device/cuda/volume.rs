//! One value for each voxel of a volume.
use std::marker::PhantomData;
use std::sync::Arc;

use bytemuck::Pod;
use ndarray::{Array3, ArrayView3};

use super::Gpu;
use super::memory::Buffer;
use super::transfer::Fetched;
use crate::error::Result;
use crate::volume::Shape;

/// A volume on a GPU, `[z][y][x]`, x fastest.
#[derive(Debug)]
pub struct DeviceVolume<T> {
    /// Extent.
    pub shape: Shape,
    buffer: Buffer,
    value: PhantomData<T>,
}

impl<T: Pod> DeviceVolume<T> {
    /// A volume that a kernel is going to write.
    ///
    /// # Errors
    /// Where the GPU has no memory for it.
    pub fn new(gpu: &Arc<Gpu>, shape: Shape) -> Result<Self> {
        let buffer = gpu.buffer(shape.iter().product::<usize>() * size_of::<T>())?;
        Ok(DeviceVolume { shape, buffer, value: PhantomData })
    }

    /// A copy of a volume.
    ///
    /// # Errors
    /// Where the GPU has no memory for it, or the copy fails.
    pub fn upload(gpu: &Arc<Gpu>, values: ArrayView3<T>) -> Result<Self> {
        let values = values.as_standard_layout();
        let buffer = gpu.upload(values.as_slice().unwrap_or_default())?;
        Ok(DeviceVolume { shape: values.dim().into(), buffer, value: PhantomData })
    }

    /// The values, when all that was launched is done.
    ///
    /// # Errors
    /// Where the copy or a kernel before it failed.
    pub fn download(&self, gpu: &Gpu) -> Result<Array3<T>> {
        let mut values = Array3::from_elem(self.shape, T::zeroed());
        gpu.download(&self.buffer, values.as_slice_mut().unwrap_or_default())?;
        Ok(values)
    }

    /// The values as all that was launched before leaves them, without waiting for them; whole planes at a time.
    ///
    /// # Errors
    /// Where the host has no memory for them, or the driver refuses the copy.
    pub fn fetch(self) -> Result<Fetched> {
        let [depth, rows, columns] = self.shape;
        let plane = rows * columns * size_of::<T>();
        Gpu::fetch(self.buffer, depth * plane, plane)
    }

    /// Number of voxels.
    pub fn voxels(&self) -> usize {
        self.shape.iter().product()
    }

    /// Where it lies on the device.
    pub fn address(&self) -> u64 {
        self.buffer.address()
    }
}
