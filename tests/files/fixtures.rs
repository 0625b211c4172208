//! Small files that tifffile, h5py, NumPy, SimpleITK and pynrrd wrote; tests/data/README.md says how. Every voxel holds
//! its index (x fastest), times a scale, plus an offset.
use ndarray::Array3;
use tascan::io::{self, Role};
use tascan::volume::{Dtype, Shape, Spacing};

use super::fixture;

const STACK: Shape = [3, 4, 5];
const EDGES: Option<[f64; 3]> = Some([0.5, 0.25, 0.15]);

struct Expected {
    spec: &'static str,
    shape: Shape,
    dtype: Dtype,
    scale: f32,
    offset: f32,
    spacing: Option<[f64; 3]>,
    mapped: bool,
}

const fn stack(spec: &'static str, dtype: Dtype, mapped: bool) -> Expected {
    Expected { spec, shape: STACK, dtype, scale: 1.0, offset: 0.0, spacing: None, mapped }
}

#[rustfmt::skip]
const FIXTURES: &[Expected] = &[
    Expected { spacing: EDGES, ..stack("imagej_u8.tif", Dtype::U8, true) },
    Expected { spacing: EDGES, ..stack("imagej_u16_big_endian.tif", Dtype::U16, true) },
    Expected { spacing: EDGES, scale: 0.25, ..stack("imagej_f32.tif", Dtype::F32, true) },
    Expected { spacing: EDGES, ..stack("imagej_single_page.tif", Dtype::U16, true) },
    Expected { spacing: EDGES, ..stack("imagej_nm_lzw.tif", Dtype::U16, false) },
    Expected { spacing: EDGES, shape: [1, 4, 5], ..stack("imagej_one_plane.tif", Dtype::U16, true) },
    Expected { spacing: EDGES, ..stack("ome_u16.ome.tif", Dtype::U16, true) },
    Expected { spacing: EDGES, ..stack("ome_deflate.ome.tif", Dtype::U8, false) },
    Expected { offset: -30.0, ..stack("plain_i8.tif", Dtype::I8, true) },
    Expected { offset: -30.0, ..stack("plain_i16.tif", Dtype::I16, true) },
    Expected { offset: -30.0, ..stack("plain_i32.tif", Dtype::I32, true) },
    stack("plain_u32.tif", Dtype::U32, true),
    stack("plain_f64.tif", Dtype::F64, true),
    stack("bigtiff_u16.tif", Dtype::U16, true),
    stack("deflate_predictor.tif", Dtype::U16, false),
    stack("packbits.tif", Dtype::U8, false),
    stack("lzw_big_endian.tif", Dtype::U16, false),
    Expected { scale: 0.25, ..stack("deflate_f32.tif", Dtype::F32, false) },
    stack("strips.tif", Dtype::U16, true),
    stack("deflate_strips.tif", Dtype::U16, false),
    Expected { shape: [2, 20, 24], ..stack("tiles.tif", Dtype::U16, false) },
    Expected { shape: [2, 20, 24], ..stack("deflate_tiles.tif", Dtype::U16, false) },
    stack("white_is_zero.tif", Dtype::U8, true),
    stack("white_is_zero_deflate.tif", Dtype::U16, false),
    stack("palette.tif", Dtype::U8, true),
    stack("shaped.tif", Dtype::U16, true),
    Expected { shape: [1, 4, 5], ..stack("shaped_one_plane.tif", Dtype::U16, true) },
    Expected { spacing: EDGES, ..stack("h5py_earliest.h5", Dtype::U16, false) },
    Expected { spacing: EDGES, ..stack("h5py_earliest.h5:/raw", Dtype::U16, false) },
    Expected { spacing: Some([0.5, 0.25, 0.125]), offset: 1.0, ..stack("h5py_earliest.h5:label", Dtype::U16, true) },
    stack("h5py_earliest.h5:deep/er/i64", Dtype::I64, false),
    stack("h5py_earliest.h5:be", Dtype::I32, true),
    Expected { scale: 0.25, ..stack("h5py_earliest.h5:f8", Dtype::F64, false) },
    Expected { spacing: EDGES, ..stack("h5py_v110.h5:raw", Dtype::U16, false) },
    Expected { spacing: Some([0.5, 0.25, 0.125]), offset: 1.0, ..stack("h5py_v110.h5:label", Dtype::U16, true) },
    stack("h5py_v110.h5:/deep/er/i64", Dtype::I64, false),
    stack("h5py_v110.h5:be", Dtype::I32, true),
    Expected { scale: 0.25, ..stack("h5py_v110.h5:f8", Dtype::F64, false) },
    Expected { spacing: Some([1.0, 2.0, 3.0]), ..stack("h5py_segmentation.h5:predictions", Dtype::F32, true) },
    stack("h5py_only.h5", Dtype::U8, true),
    stack("h5py_earliest.h5:four", Dtype::U16, true),
    Expected { shape: [20, 20, 20], scale: 0.0, ..stack("h5py_lzf.h5", Dtype::U8, false) },
    stack("u16.npy", Dtype::U16, true),
    Expected { scale: 0.25, ..stack("big_endian_f64.npy", Dtype::F64, true) },
    stack("i64.npy", Dtype::I64, true),
    stack("fortran.npy", Dtype::U16, false),
    Expected { shape: [1, 4, 5], ..stack("one_plane.npy", Dtype::U16, true) },
    Expected { spacing: EDGES, ..stack("stored.npz", Dtype::U16, true) },
    Expected { spacing: EDGES, offset: 1.0, ..stack("stored.npz:label", Dtype::I32, true) },
    Expected { scale: 0.25, ..stack("deflated.npz", Dtype::F32, false) },
    Expected { spacing: EDGES, ..stack("itk_u16.mha", Dtype::U16, true) },
    Expected { spacing: EDGES, ..stack("itk_zlib.mha", Dtype::U16, false) },
    Expected { offset: -30.0, ..stack("itk_i64.mha", Dtype::I64, true) },
    Expected { spacing: EDGES, scale: 0.25, ..stack("itk_detached.mhd", Dtype::F32, true) },
    Expected { spacing: EDGES, ..stack("itk_zlib_detached.mhd", Dtype::U8, false) },
    Expected { spacing: EDGES, ..stack("itk_gzip.nrrd", Dtype::U16, false) },
    Expected { spacing: EDGES, ..stack("itk_u32.nhdr", Dtype::U32, true) },
    Expected { spacing: EDGES, ..stack("pynrrd_u16.nrrd", Dtype::U16, true) },
    Expected { spacing: EDGES, offset: -30.0, ..stack("pynrrd_big_endian.nrrd", Dtype::I16, true) },
    Expected { spacing: EDGES, scale: 0.25, ..stack("pynrrd_gzip_f64.nrrd", Dtype::F64, false) },
    Expected { spacing: EDGES, ..stack("pynrrd_detached.nhdr", Dtype::U8, false) },
];

impl Expected {
    fn voxels(&self) -> Array3<f32> {
        let [_, rows, columns] = self.shape;
        Array3::from_shape_fn(self.shape, |(z, y, x)| {
            ((z * rows + y) * columns + x) as f32 * self.scale + self.offset
        })
    }
}

#[test]
fn files_of_other_programs_are_read_as_they_are() {
    for expected in FIXTURES {
        let spec = expected.spec;
        let volume = io::open(&fixture(spec), Role::Raw).unwrap();
        assert_eq!((volume.shape(), volume.dtype()), (expected.shape, expected.dtype), "{spec}");
        assert_eq!(volume.to_f32(), expected.voxels(), "{spec}");
        assert_eq!(volume.origin().mapped, expected.mapped, "{spec}");
        match (volume.spacing(), expected.spacing) {
            (Some(Spacing(found)), Some(edges)) => {
                let near = (0..3).all(|axis| (found[axis] - edges[axis]).abs() < 1e-9);
                assert!(near, "{spec}: {found:?}");
            }
            (found, edges) => assert_eq!(found.is_some(), edges.is_some(), "{spec}"),
        }
    }
}

#[test]
fn blocks_are_read_where_they_lie() {
    for expected in FIXTURES {
        let volume = io::open(&fixture(expected.spec), Role::Raw).unwrap();
        let whole = expected.voxels();
        let start = expected.shape.map(|extent| extent / 3);
        let shape = expected.shape.map(|extent| extent - extent / 3);
        let block = volume.read_f32(start, shape);
        let wanted = whole.slice(ndarray::s![start[0].., start[1].., start[2]..]);
        assert_eq!(block, wanted, "{}", expected.spec);
    }
}

#[test]
fn truth_values_are_0_and_1() {
    for spec in ["h5py_earliest.h5:mask", "h5py_v110.h5:mask", "bool.npy"] {
        let classes = io::open(&fixture(spec), Role::Raw).unwrap().to_classes().unwrap();
        let expected = Array3::from_shape_fn(STACK, |(z, y, x)| ((z * 4 + y) * 5 + x > 29) as u8);
        assert_eq!(classes, expected, "{spec}");
    }
}

#[test]
fn a_role_chooses_the_data_set() {
    for (spec, role, dataset) in [
        ("h5py_earliest.h5", Role::Raw, "raw"),
        ("h5py_earliest.h5", Role::Labels, "label"),
        ("h5py_v110.h5", Role::Labels, "label"),
        ("h5py_segmentation.h5", Role::Labels, "segmentation"),
        ("h5py_only.h5", Role::Raw, "stack"),
        ("h5py_only.h5", Role::Labels, "stack"),
        ("stored.npz", Role::Labels, "label"),
        ("deflated.npz", Role::Labels, "volume"),
    ] {
        let volume = io::open(&fixture(spec), role).unwrap();
        assert_eq!(volume.origin().dataset.as_deref(), Some(dataset), "{spec} {role:?}");
    }
}

#[test]
fn all_volumes_of_a_file_are_listed() {
    let listed = |file: &str| -> Vec<String> {
        let specs = io::volumes(&fixture(file)).unwrap();
        let prefix = format!("{}:", fixture(file.split(':').next().unwrap()).display());
        let mut names: Vec<_> =
            specs.iter().map(|spec| spec.to_str().unwrap().replacen(&prefix, "", 1)).collect();
        names.sort();
        names
    };
    let all = ["be", "deep/er/i64", "f8", "four", "label", "mask", "raw"];
    assert_eq!(listed("h5py_earliest.h5"), all);
    assert_eq!(listed("h5py_v110.h5"), all);
    assert_eq!(listed("stored.npz"), ["label", "raw"]);
    assert_eq!(listed("h5py_only.h5:stack"), ["stack"]);
}
