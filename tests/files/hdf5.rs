//! HDF5 files as h5py, ilastik, BigDataViewer and Imaris lay them out; tests/data/README.md says how they were made. Every
//! voxel holds its index (x fastest), plus what is said of the data set.
use ndarray::Array3;
use tascan::io::{self, Pick, Role, Selection};
use tascan::volume::{Dtype, Spacing, Volume};

use super::fixture;
use crate::oracle;

const STACK: [usize; 3] = [3, 4, 5];

fn index(plus: f32) -> Array3<f32> {
    Array3::from_shape_fn(STACK, |(z, y, x)| ((z * 4 + y) * 5 + x) as f32 + plus)
}

fn selection(role: Role, channel: Option<Pick>, time: Option<usize>) -> Selection {
    Selection { role, channel, time: time.map(Pick::Number) }
}

fn select(spec: &str, channel: Option<usize>, time: Option<usize>) -> tascan::Result<Volume> {
    io::open(&fixture(spec), selection(Role::Raw, channel.map(Pick::Number), time))
}

fn refused(spec: &str, wanted: impl Into<Selection>) -> String {
    io::open(&fixture(spec), wanted).err().unwrap_or_else(|| panic!("{spec}")).to_string()
}

#[test]
fn every_layout_gives_the_voxels_that_were_written() {
    for name in
        ["fixed", "extensible", "tree", "single", "implicit", "compact", "scaleoffset", "szip", "mask"]
    {
        let volume = io::open(&fixture(&format!("h5_chunks.h5:{name}")), Role::Raw).unwrap();
        assert_eq!(volume.dtype(), Dtype::U16, "{name}");
        assert_eq!(volume.to_f32(), index(0.0), "{name}");
    }
}

#[test]
fn voxels_that_were_never_written_have_the_fill_value() {
    let never = io::open(&fixture("h5_chunks.h5:never"), Role::Raw).unwrap();
    assert_eq!(never.to_f32(), Array3::from_elem(STACK, 7.0));
    let mut expected = Array3::from_elem(STACK, 7.0);
    expected.slice_mut(ndarray::s![1, .., ..]).assign(&index(0.0).slice(ndarray::s![1, .., ..]));
    assert_eq!(io::open(&fixture("h5_chunks.h5:fill"), Role::Raw).unwrap().to_f32(), expected);
}

#[test]
fn addresses_count_from_the_end_of_a_user_block() {
    for (name, mapped) in [("raw", true), ("gzip", false)] {
        let volume = io::open(&fixture(&format!("h5_user_block.h5:{name}")), Role::Raw).unwrap();
        assert_eq!(volume.to_f32(), index(0.0), "{name}");
        assert_eq!(volume.origin().mapped, mapped, "{name}");
    }
}

#[test]
fn rare_number_types_keep_their_values() {
    for (name, dtype, scale, plus) in [
        ("u12", Dtype::U16, 1.0, 0.0),
        ("i12", Dtype::I16, 1.0, -30.0),
        ("nbit", Dtype::I32, 1.0, -30.0),
        ("half", Dtype::F32, 0.25, 0.0),
        ("bfloat16", Dtype::F32, 0.25, 0.0),
    ] {
        let volume = io::open(&fixture(&format!("h5_types.h5:{name}")), Role::Raw).unwrap();
        assert_eq!(volume.dtype(), dtype, "{name}");
        assert_eq!(volume.to_f32(), index(plus) * scale, "{name}");
    }
}

#[test]
#[rustfmt::skip]
fn what_would_be_read_wrongly_is_refused_by_name() {
    for (spec, reason) in [
        ("h5_types.h5:vax", "VAX order"),
        ("h5_types.h5:bias", "not as IEEE lays it out"),
        ("h5_types.h5:complex", "compound"),
        ("h5_types.h5:text", "string"),
        ("h5_chunks.h5:edges", "edges that are not filtered"),
        ("h5_chunks.h5:netcdf", "_FillValue"),
        ("h5_chunks.h5:unused", "FILL_TIME_NEVER"),
        ("h5_links.h5:virtual", "virtual data set"),
        ("h5_links_old.h5:virtual", "virtual data set"),
        ("h5_links.h5:external", "external files"),
        ("h5_links.h5:soft", "no data set soft"),
        ("h5_blosc.h5", "Blosc"),
        ("h5_blosc.h5", "h5repack -f GZIP=4"),
        ("h5_axes.h5:five", "5 axes, 3 x 2 x 3 x 4 x 5"),
        ("h5_axes.h5:yxc", "(y, x, c)"),
    ] {
        let message = refused(spec, Role::Raw);
        assert!(message.contains(reason), "{spec}: {message}");
    }
}

#[test]
fn what_cannot_be_read_does_not_hide_the_rest() {
    for file in ["h5_links.h5", "h5_links_old.h5"] {
        let volume = io::open(&fixture(file), Role::Raw).unwrap();
        assert_eq!(volume.to_f32(), index(0.0), "{file}");
        let listed = io::volumes(&fixture(file)).unwrap();
        assert!(listed.iter().any(|spec| spec.ends_with(format!("{file}:raw"))), "{listed:?}");
    }
}

#[test]
fn stated_axes_are_turned_to_z_y_x() {
    for (name, channels, times) in [("xyzc", 2, None), ("tczyx", 2, Some(3)), ("cxzy", 2, None)] {
        for channel in 0..channels {
            for time in 0..times.unwrap_or(1) {
                let volume =
                    select(&format!("h5_axes.h5:{name}"), Some(channel), times.map(|_| time)).unwrap();
                let plus = (60 * channel + 120 * time) as f32;
                assert_eq!(volume.to_f32(), index(plus), "{name} {channel} {time}");
            }
        }
    }
}

#[test]
fn axes_without_names_go_by_their_extents() {
    for name in ["czyx", "zyxc"] {
        let volume = select(&format!("h5_axes.h5:{name}"), Some(1), None).unwrap();
        assert_eq!(volume.to_f32(), index(60.0), "{name}");
        assert_eq!(volume.origin().mapped, name == "czyx");
    }
    assert_eq!(select("h5_axes.h5:one", None, None).unwrap().to_f32(), index(0.0));
}

#[test]
fn several_channels_or_time_points_need_a_choice() {
    let message = refused("h5_axes.h5:czyx", Role::Raw);
    assert!(message.contains("h5_axes.h5:czyx: found 2 channels"), "{message}");
    assert!(message.contains("--channel") && message.contains("2 x 3 x 4 x 5 (c, z, y, x)"), "{message}");
    let message = refused("h5_axes.h5:tczyx", selection(Role::Raw, Some(Pick::Number(1)), None));
    assert!(message.contains("3 time points") && message.contains("--time"), "{message}");
    let message = refused("h5_axes.h5:one", selection(Role::Raw, Some(Pick::Number(1)), None));
    assert!(message.contains("no channel 1 among 1"), "{message}");
}

#[test]
fn big_data_viewer_keeps_unsigned_numbers_as_signed() {
    for (channel, setup) in [0, 2].into_iter().enumerate() {
        for time in 0..2 {
            let volume = select("h5_bdv.h5", Some(channel), Some(time)).unwrap();
            assert_eq!(volume.dtype(), Dtype::U16);
            assert_eq!(volume.to_f32(), index((40000 + 1000 * setup + 100 * time) as f32));
        }
    }
    let by_name = selection(Role::Raw, Some(Pick::Name("s02".into())), Some(1));
    let volume = io::open(&fixture("h5_bdv.h5"), by_name).unwrap();
    assert_eq!(volume.origin().dataset.as_deref(), Some("t00001/s02/0/cells"));
    let message = refused("h5_bdv.h5", Role::Raw);
    assert!(message.contains("2 channels (0 s00, 1 s02)"), "{message}");
    let level = io::open(&fixture("h5_bdv.h5:t00000/s00/1/cells"), Role::Raw).unwrap();
    assert_eq!((level.shape(), level.dtype()), ([3, 2, 3], Dtype::U16));
    assert_eq!(io::volumes(&fixture("h5_bdv.h5")).unwrap().len(), 4, "none of the lower levels");
}

#[test]
fn imaris_data_are_cropped_to_the_image() {
    for (channel, name) in ["walls", "nuclei"].into_iter().enumerate() {
        for time in 0..2 {
            let wanted = selection(Role::Boundary, Some(Pick::Name(name.into())), Some(time));
            let volume = io::open(&fixture("imaris.ims"), wanted).unwrap();
            assert_eq!(volume.to_f32(), index((100 * channel + 1000 * time) as f32));
            // 3 x 2 x 1 um in 3 x 4 x 5 voxels.
            assert_eq!(volume.spacing(), Some(Spacing([1.0, 0.5, 0.2])));
        }
    }
    let message = refused("imaris.ims", Role::Raw);
    assert!(message.contains("2 channels (0 walls, 1 nuclei)"), "{message}");
    assert_eq!(io::volumes(&fixture("imaris.ims")).unwrap().len(), 4);
    let message = io::write(&fixture("imaris.ims"), Array3::<u8>::zeros(STACK).view(), None).unwrap_err();
    assert!(message.to_string().contains("Imaris"), "{message}");
}

#[test]
fn a_role_goes_by_the_last_part_of_a_name() {
    let chosen = |file: &str, role| {
        let volume = io::open(&fixture(file), role).unwrap();
        volume.origin().dataset.clone().unwrap()
    };
    assert_eq!(chosen("h5_roles.h5", Role::Raw), "volumes/raw");
    assert_eq!(chosen("h5_segmentation.h5".replace("h5_", "h5py_").as_str(), Role::Boundary), "predictions");
    assert_eq!(chosen("h5_labels_alone.h5", Role::Labels), "cell_labels");
    let message = refused("h5_labels_alone.h5", Role::Boundary);
    assert!(message.contains("cell_labels (3 x 4 x 5 u16) alone"), "{message}");
    let message = refused("h5_roles.h5", Role::Boundary);
    assert!(message.contains("volumes/raw (3 x 4 x 5 u16), "), "{message}");
    assert!(message.contains("one called predictions or") && message.contains("h5_roles.h5:"), "{message}");
    assert!(io::open(&fixture("h5_labels_alone.h5:cell_labels"), Role::Boundary).is_ok());
}

#[test]
fn a_voxel_size_is_three_positive_numbers_of_any_type() {
    for (name, edges) in [
        ("i4", Some([1.0, 2.0, 3.0])),
        ("f4", Some([0.5, 0.25, 0.125])),
        ("negative", None),
        ("nan", None),
        ("zero", None),
    ] {
        let volume = io::open(&fixture(&format!("h5_spacing.h5:{name}")), Role::Raw).unwrap();
        assert_eq!(volume.spacing(), edges.map(Spacing), "{name}");
    }
}

#[test]
fn reported_files_have_their_right_voxels() {
    for (spec, right) in [
        ("h01_userblock.h5:raw", "h01.npy"),
        ("h09_12_of_16_bits.h5", "h09.npy"),
        ("h13_ilastik_4d.h5", "h13.npy"),
        ("n01_python2.npy", "n01.npy"),
    ] {
        let Some(right) = oracle::shared(&format!("reports/files/ref/{right}")) else { continue };
        let folder = right.parent().unwrap().parent().unwrap().to_owned();
        let read = io::open(&folder.join(spec), Role::Raw).unwrap();
        let right = io::open(&right, Role::Raw).unwrap();
        assert_eq!(read.dtype(), right.dtype(), "{spec}");
        assert_eq!(read.to_f32(), right.to_f32(), "{spec}");
    }
    let Some(both) = oracle::shared("reports/files/c03_both.h5") else { return };
    let boundary = io::open(&both, Role::Boundary).unwrap();
    assert_eq!(boundary.origin().dataset.as_deref(), Some("predictions"));
}
