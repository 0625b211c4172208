//! Copies of parts of blocks against whole blocks that are read as arrays.
use std::path::Path;

use ndarray::{Array3, s};
use proptest::prelude::*;
use tascan::grey::Grey;
use tascan::intensity::Scaling;
use tascan::io::{self, Role};
use tascan::volume::{Dtype, Sample, Shape, Volume};

use crate::oracle;

const SHAPE: Shape = [3, 5, 7];

/// The block's values as the network's first kernel reads them, one after the other.
fn expected(volume: &Volume, start: Shape, shape: Shape) -> Vec<u8> {
    match volume.dtype() {
        Dtype::U8 => volume.read::<u8>(start, shape).into_iter().collect(),
        Dtype::U16 => volume.read::<u16>(start, shape).into_iter().flat_map(u16::to_ne_bytes).collect(),
        _ => volume.read_f32(start, shape).into_iter().flat_map(f32::to_ne_bytes).collect(),
    }
}

/// Whether a copy of some values from value `first` on is that part of the block.
fn is_part(volume: &Volume, start: Shape, shape: Shape, first: usize, values: usize) -> bool {
    let grey = Grey::of_block(volume, start, shape, Scaling::IDENTITY);
    let bytes = [first, first + values].map(|value| value * grey.size());
    let mut copy = vec![0xa5; bytes[1] - bytes[0]];
    grey.copy_to(bytes[0], &mut copy);
    copy == expected(volume, start, shape)[bytes[0]..bytes[1]]
}

#[track_caller]
fn check_all_parts(volume: &Volume, what: &str) {
    let [depth, height, width] = volume.shape();
    // The whole, whole rows of some planes, and a box that touches no face where there is room for one.
    let inner = |extent: usize| if extent > 2 { [1, extent - 2] } else { [0, extent] };
    let [z, y, x] = [depth, height, width].map(inner);
    for (start, shape) in [
        ([0; 3], volume.shape()),
        ([z[0], y[0], 0], [z[1], y[1], width]),
        ([z[0], y[0], x[0]], [z[1], y[1], x[1]]),
    ] {
        let count = shape.iter().product::<usize>();
        for first in (0..=count).step_by(count.div_ceil(40)) {
            for values in (0..=count - first).step_by(count.div_ceil(25)) {
                assert!(is_part(volume, start, shape, first, values), "{what} {start:?} {first} {values}");
            }
        }
    }
}

fn ramp<T: Sample>(make: impl Fn(usize) -> T) -> Volume {
    Volume::from_array(Array3::from_shape_vec(SHAPE, (0..105).map(make).collect()).unwrap(), None)
}

#[test]
fn every_part_of_a_block_is_copied_in_every_type() {
    check_all_parts(&ramp(|i| 2 * i as u8), "u8");
    check_all_parts(&ramp(|i| i as i8), "i8");
    check_all_parts(&ramp(|i| 600 * i as u16), "u16");
    check_all_parts(&ramp(|i| 300 * i as i16 - 15000), "i16");
    check_all_parts(&ramp(|i| 40_000_000 * i as u32), "u32");
    check_all_parts(&ramp(|i| i as f32 / 3.0), "f32");
    check_all_parts(&ramp(|i| i as f64 / 3.0), "f64");
}

/// A `.npy` file of numbers that begin with their greatest byte.
fn npy_of_swapped<T: Sample>(
    folder: &Path,
    kind: &str,
    bytes: impl Fn(T) -> Vec<u8>,
    volume: &Volume,
) -> Volume {
    let text = format!("{{'descr': '>{kind}', 'fortran_order': False, 'shape': (3, 5, 7), }}");
    let mut file = b"\x93NUMPY\x01\x00\x76\x00".to_vec();
    file.extend(format!("{text:<117}\n").bytes());
    file.extend(volume.read::<T>([0; 3], SHAPE).into_iter().flat_map(bytes));
    let path = folder.join(format!("{kind}.npy"));
    std::fs::write(&path, file).unwrap();
    io::open(&path, Role::Raw).unwrap()
}

#[test]
fn numbers_in_the_other_byte_order_are_turned() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = ramp(|i| i as u8);
    let swapped = npy_of_swapped(folder.path(), "u1", |value: u8| vec![value], &bytes);
    check_all_parts(&swapped, "big-endian u8");
    assert_eq!(expected(&swapped, [0; 3], SHAPE), expected(&bytes, [0; 3], SHAPE));
    let wide = ramp(|i| 600 * i as u16);
    let swapped = npy_of_swapped(folder.path(), "u2", |value: u16| value.to_be_bytes().into(), &wide);
    check_all_parts(&swapped, "big-endian u16");
    assert_eq!(expected(&swapped, [0; 3], SHAPE), expected(&wide, [0; 3], SHAPE));
    let real = ramp(|i| i as f32 / 3.0);
    let swapped = npy_of_swapped(folder.path(), "f4", |value: f32| value.to_be_bytes().into(), &real);
    check_all_parts(&swapped, "big-endian f32");
    assert_eq!(expected(&swapped, [0; 3], SHAPE), expected(&real, [0; 3], SHAPE));
}

#[test]
fn files_whose_rows_lie_in_strips_are_copied() {
    let files = std::fs::read_dir(oracle::data("files")).unwrap().map(|file| file.unwrap().path());
    let volumes = files.filter(|path| path.extension().is_some_and(|ending| ending == "tif"));
    let mut mapped = 0;
    for path in volumes {
        let Ok(volume) = io::open(&path, Role::Raw) else { continue };
        mapped += usize::from(volume.origin().mapped);
        check_all_parts(&volume, &path.display().to_string());
    }
    assert!(mapped > 0);
}

#[test]
fn arrays_that_are_lent_are_copied_in_any_layout() {
    let array = ramp(|i| i as f32 / 3.0).to_f32();
    let inner = array.slice(s![1.., 1..4, 2..6]);
    let turned = array.view().reversed_axes();
    for lent in [array.view(), inner, turned] {
        let expected: Vec<u8> = lent.iter().flat_map(|value| value.to_ne_bytes()).collect();
        let grey = Grey::from(lent);
        assert_eq!(grey.bytes(), expected.len());
        for (first, end) in [(0, lent.len()), (0, 0), (3, 17), (lent.len() - 1, lent.len())] {
            let mut copy = vec![0xa5; 4 * (end - first)];
            grey.copy_to(4 * first, &mut copy);
            assert_eq!(copy, expected[4 * first..4 * end], "{:?} from {first}", lent.dim());
        }
        assert_eq!(grey.made_ready().normalised(), lent);
    }
}

proptest! {
    #[test]
    fn normalised_blocks_are_normalised_voxels(
        start in [0usize..3, 0usize..5, 0usize..7],
        offset in -100.0f32..100.0,
        scale in 0.001f32..10.0,
    ) {
        let volume = ramp(|i| 600 * i as u16);
        let shape = [0, 1, 2].map(|axis| SHAPE[axis] - start[axis]);
        let scaling = Scaling { offset, scale };
        let found = Grey::of_block(&volume, start, shape, scaling).into_normalised();
        prop_assert_eq!(found, volume.read_f32(start, shape).mapv(|x| (x - offset) * scale));
    }
}
