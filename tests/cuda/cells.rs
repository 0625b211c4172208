//! The second stage on a GPU: the values of the CPU to the bit, operation by operation and as a whole.
use std::sync::Arc;

use ndarray::{Array3, ArrayView3, s};
use tascan::cells::{FOREGROUND, Options, Tascan, Watershed, label_cells, label_cells_on};
use tascan::device::cuda::Gpu;
use tascan::device::cuda::volume::DeviceVolume;
use tascan::device::{Device, Precision};
use tascan::ops::distance::Metric;
use tascan::ops::{self, cuda};
use tascan::{Shape, Spacing};

use super::driver::emulated;
use crate::damage::damaged_classes;
use crate::oracle;

/// A single voxel, single rows along each axis, an extent beyond a warp and a tile, one with several of all, and rows beyond a
/// block that begin at any byte.
const SHAPES: [Shape; 7] =
    [[1, 1, 1], [1, 1, 70], [40, 1, 1], [1, 9, 2], [3, 10, 65], [35, 17, 34], [3, 5, 259]];

/// Repeatable numbers below `end`, equal in boxes of `edge` voxels.
fn boxes(shape: Shape, edge: usize, end: usize) -> Array3<usize> {
    Array3::from_shape_fn(shape, |(z, y, x)| {
        let seed = [z, y, x].iter().fold(17, |seed, place| seed * 31 + place / edge);
        seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32 & 0xFFFF
    })
    .mapv(|number| number % end)
}

/// Classes in which the foreground prevails.
fn classes(shape: Shape) -> Array3<u8> {
    boxes(shape, 2, 9).mapv(|number| number.min(2) as u8)
}

fn labels(shape: Shape) -> (Array3<u32>, u32) {
    (boxes(shape, 3, 24).mapv(|number| number as u32), 23)
}

/// Lengths in voxels, and those of long voxels.
fn metrics(shape: Shape) -> [Metric; 2] {
    [Metric::ISOTROPIC, Metric::new(Some(Spacing([2.0, 1.0, 1.3])), shape).unwrap()]
}

fn send<T: bytemuck::Pod>(gpu: &Arc<Gpu>, volume: ArrayView3<T>) -> DeviceVolume<T> {
    DeviceVolume::upload(gpu, volume).unwrap()
}

#[test]
fn erosion_equals_that_of_the_cpu() {
    emulated("cuda::cells::erosion_equals_that_of_the_cpu", |gpu| {
        for shape in SHAPES {
            // Few voxels are not of the class: erosion leaves some.
            let classes = boxes(shape, 1, 40).mapv(|number| if number == 0 { 1 } else { 2 });
            let found = cuda::erosion::erode(gpu, &send(gpu, classes.view()), FOREGROUND).unwrap();
            let expected = ops::erosion::erode(classes.view(), FOREGROUND);
            assert_eq!(found.download(gpu).unwrap(), expected);
        }
    });
}

#[test]
fn distances_equal_those_of_the_cpu() {
    emulated("cuda::cells::distances_equal_those_of_the_cpu", |gpu| {
        for shape in SHAPES {
            for (metric, classes) in
                metrics(shape).into_iter().zip([classes(shape), Array3::from_elem(shape, 2)])
            {
                let found =
                    cuda::distance::squared(gpu, &send(gpu, classes.view()), FOREGROUND, &metric).unwrap();
                let expected = ops::distance::squared(classes.view(), FOREGROUND, &metric);
                assert_eq!(found.download(gpu).unwrap(), expected);
            }
        }
    });
}

#[test]
fn basins_and_saddles_equal_those_of_the_cpu() {
    emulated("cuda::cells::basins_and_saddles_equal_those_of_the_cpu", |gpu| {
        let ridge = Array3::from_shape_fn((1, 2, 700), |(_, y, x)| (x + y) as u32 + 1);
        let maps = SHAPES.map(|shape| boxes(shape, 1, 30).mapv(|number| (number as u32).saturating_sub(4)));
        for squared in maps.into_iter().chain([ridge]) {
            let expected = ops::basins::ascend(squared.view(), [64; 3]).unwrap();
            let on_gpu = send(gpu, squared.view());
            let (labels, peaks) = cuda::basins::ascend(gpu, &on_gpu).unwrap();
            assert_eq!(peaks, expected.peaks);
            assert_eq!(labels.download(gpu).unwrap(), expected.labels);
            let found = cuda::saddles::saddles(gpu, &labels, &on_gpu, peaks.len()).unwrap();
            assert_eq!(found, ops::saddles::saddles(expected.labels.view(), squared.view()));
        }
    });
}

#[test]
fn regions_and_contacts_equal_those_of_the_cpu() {
    emulated("cuda::cells::regions_and_contacts_equal_those_of_the_cpu", |gpu| {
        for shape in SHAPES {
            let ((labels, count), core) = (labels(shape), boxes(shape, 1, 3).mapv(|number| number as u8));
            let (on_gpu, core_on_gpu) = (send(gpu, labels.view()), send(gpu, core.view()));
            let regions = cuda::regions::regions(gpu, &on_gpu, count).unwrap();
            assert_eq!(regions, ops::regions::regions(labels.view(), count));
            for (core, core_on_gpu) in [(None, None), (Some(core.view()), Some(&core_on_gpu))] {
                let found = cuda::contacts::contacts(gpu, &on_gpu, core_on_gpu, count).unwrap();
                assert_eq!(found, ops::contacts::contacts(labels.view(), core, count));
            }
        }
    });
}

#[test]
fn a_table_of_pairs_that_is_too_small_grows() {
    emulated("cuda::cells::a_table_of_pairs_that_is_too_small_grows", |gpu| {
        // Every voxel a label of its own, and a table for a single one at first.
        let labels = Array3::from_shape_vec([6, 11, 13], (1..=6 * 11 * 13).collect()).unwrap();
        let squared = labels.mapv(|label| label % 7 + 1);
        let found =
            cuda::saddles::saddles(gpu, &send(gpu, labels.view()), &send(gpu, squared.view()), 1).unwrap();
        assert_eq!(found, ops::saddles::saddles(labels.view(), squared.view()));
    });
}

#[test]
fn pockets_equal_those_of_the_cpu() {
    emulated("cuda::cells::pockets_equal_those_of_the_cpu", |gpu| {
        for shape in SHAPES {
            let classes = boxes(shape, 2, 5).mapv(|number| [0, 0, 1, 2, 2][number]);
            let mut found = send(gpu, classes.view());
            cuda::pockets::fill(gpu, &mut found).unwrap();
            assert_eq!(found.download(gpu).unwrap(), ops::pockets::fill(classes.view()));
        }
    });
}

#[test]
fn exposures_equal_those_of_the_cpu() {
    emulated("cuda::cells::exposures_equal_those_of_the_cpu", |gpu| {
        for shape in SHAPES {
            let ((mut labels, count), classes) = (labels(shape), classes(shape));
            labels.zip_mut_with(&classes, |label, class| *label *= u32::from(*class == FOREGROUND));
            let found =
                cuda::exposure::exposures(gpu, &send(gpu, labels.view()), &send(gpu, classes.view()), count);
            let expected = ops::exposure::exposures(labels.view(), classes.view(), count);
            assert_eq!(found.unwrap(), expected);
        }
    });
}

#[test]
fn nearest_cells_and_tables_equal_those_of_the_cpu() {
    emulated("cuda::cells::nearest_cells_and_tables_equal_those_of_the_cpu", |gpu| {
        for shape in SHAPES {
            let ((mut labels, count), classes) = (labels(shape), classes(shape));
            // One label of six stays.
            let table: Vec<u32> =
                (0..=count).map(|label| if label % 6 == 5 { label / 6 + 1 } else { 0 }).collect();
            for metric in metrics(shape) {
                let mut found = send(gpu, labels.view());
                cuda::relabel::relabel(gpu, &mut found, &table).unwrap();
                cuda::nearest_cell::fill(gpu, &mut found, &send(gpu, classes.view()), &metric).unwrap();
                let mut expected = labels.clone();
                ops::relabel::relabel(expected.view_mut(), &table);
                ops::nearest_cell::fill(expected.view_mut(), classes.view(), &metric);
                assert_eq!(found.download(gpu).unwrap(), expected);
            }
            labels.fill(0);
            let mut nobody = send(gpu, labels.view());
            let classes = send(gpu, classes.view());
            cuda::nearest_cell::fill(gpu, &mut nobody, &classes, &Metric::ISOTROPIC).unwrap();
            assert_eq!(nobody.download(gpu).unwrap(), labels);
        }
    });
}

#[test]
fn cells_equal_those_of_the_cpu_with_every_option() {
    emulated("cuda::cells::cells_equal_those_of_the_cpu_with_every_option", |gpu| {
        let truth = oracle::volume::<u16>(&oracle::data("stage2_s64.npz"), "gt").mapv(u32::from);
        let truth = truth.slice(s![..24, 8..48, ..40]);
        let (classes, spacing) = (damaged_classes(truth, 1.0, 1), Some(Spacing([1.5, 1.0, 1.0])));
        let device = Device::cuda(gpu.clone(), Precision::F32);
        let options =
            |watershed, tascan| Options { watershed, tascan, keep_supervoxels: true, ..Options::default() };
        for options in [options(Watershed::Ascent, Tascan::Full), options(Watershed::Flood, Tascan::Authors)]
        {
            let expected = label_cells(classes.view(), spacing, &options).unwrap();
            let found = label_cells_on(&device, classes.view(), spacing, &options).unwrap();
            assert!(expected.count > 5, "{} cells prove little", expected.count);
            assert_eq!(found.supervoxels, expected.supervoxels);
            assert_eq!((found.labels, found.count), (expected.labels, expected.count));
        }
    });
}
