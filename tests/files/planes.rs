//! Stacks kept as single planes: folders and patterns of names.
use std::path::{Path, PathBuf};

use tascan::io::{self, Role};

use super::tiff::{SHAPE, expected, plane, usual};
use super::tiff_file::{Values, file, page, short, with};

/// Writes plane `z` as a file of its own.
fn write_plane(folder: &Path, name: &str, z: usize) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, file(&[page(usual(), plane(z))])).unwrap();
    path
}

#[test]
fn a_folder_of_planes_is_one_volume() {
    let folder = tempfile::tempdir().unwrap();
    for (name, z) in [("z10.tif", 2), ("z8.tif", 0), ("z9.tif", 1)] {
        write_plane(folder.path(), name, z);
    }
    for path in [folder.path().to_owned(), folder.path().join("z*.tif"), folder.path().join("z?*.tif")] {
        let volume = io::open(&path, Role::Raw).unwrap();
        assert_eq!(volume.read::<u16>([0; 3], SHAPE), expected());
    }
    let two = io::open(&folder.path().join("z?.tif"), Role::Raw).unwrap();
    assert_eq!(two.shape(), [2, 4, 5]);
    let odd = folder.path().join("z11.tif");
    std::fs::write(&odd, file(&[page(with(usual(), 257, short(3)), plane(0))])).unwrap();
    let Err(error) = io::open(folder.path(), Role::Raw) else { panic!("planes of two sizes") };
    assert!(error.to_string().contains("z11.tif"), "{error}");
}

#[test]
fn planes_of_two_channels_are_not_taken_for_one_stack() {
    let folder = tempfile::tempdir().unwrap();
    for (z, name) in ["DAPI_z0.tif", "DAPI_z1.tif", "GFP_z0.tif", "GFP_z1.tif"].iter().enumerate() {
        write_plane(folder.path(), name, z % 2);
    }
    let Err(error) = io::open(folder.path(), Role::Raw) else { panic!("two channels") };
    assert!(error.to_string().contains("DAPI_z0") && error.to_string().contains("a pattern"), "{error}");
    assert_eq!(io::open(&folder.path().join("GFP_z*.tif"), Role::Raw).unwrap().shape(), [2, 4, 5]);
    let output = folder.path().join("GFP_z1.tif");
    let Err(error) = io::check_output(&folder.path().join("GFP_z*.tif"), &output) else {
        panic!("a plane is lost")
    };
    assert!(error.to_string().contains("would replace the input"), "{error}");
}

#[test]
fn planes_do_not_state_their_distance() {
    // ImageJ states it for stacks alone, so a plane by itself says nothing.
    let folder = tempfile::tempdir().unwrap();
    for z in 0..3 {
        let tags = with(usual(), 270, Values::Text("ImageJ=1.54f\nunit=micron\n".into()));
        std::fs::write(folder.path().join(format!("z{z}.tif")), file(&[page(tags, plane(z))])).unwrap();
    }
    assert_eq!(io::open(folder.path(), Role::Raw).unwrap().spacing(), None);
}
