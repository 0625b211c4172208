//! Damaged files: any answer but a panic, and never voxels that the file does not hold.
use std::fs;
use std::path::Path;

use proptest::prelude::*;
use tascan::io::{self, Role};

use super::fixture;

const WHOLE: &[&str] = &[
    "imagej_u8.tif",
    "imagej_nm_lzw.tif",
    "ome_deflate.ome.tif",
    "bigtiff_u16.tif",
    "strips.tif",
    "deflate_tiles.tif",
    "packbits.tif",
    "h5py_earliest.h5",
    "h5py_v110.h5",
    "h5_chunks.h5",
    "h5_axes.h5",
    "h5_links_old.h5",
    "imaris.ims",
    "u16.npy",
    "fortran.npy",
    "stored.npz",
    "deflated.npz",
    "itk_u16.mha",
    "itk_zlib.mha",
    "pynrrd_u16.nrrd",
    "itk_gzip.nrrd",
];

/// Opens and reads all that can be read.
fn read_all(path: &Path) -> Vec<ndarray::Array3<f32>> {
    let specs = io::volumes(path).unwrap_or_default();
    specs.iter().filter_map(|spec| io::open(spec, Role::Raw).ok()).map(|volume| volume.to_f32()).collect()
}

#[test]
fn a_file_cut_short_is_refused_or_still_whole() {
    let folder = tempfile::tempdir().unwrap();
    for name in WHOLE {
        let whole = read_all(&fixture(name));
        assert!(!whole.is_empty(), "{name}");
        let bytes = fs::read(fixture(name)).unwrap();
        let path = folder.path().join(name);
        for length in (0..bytes.len()).step_by(1 + bytes.len() / 200) {
            fs::write(&path, &bytes[..length]).unwrap();
            for read in read_all(&path) {
                assert!(whole.contains(&read), "{name} cut to {length} bytes");
            }
        }
        fs::remove_file(&path).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn damaged_bytes_never_panic(
        file in 0..WHOLE.len(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(WHOLE[file]);
        let mut bytes = fs::read(fixture(WHOLE[file])).unwrap();
        for (place, byte) in damage {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        fs::write(&path, bytes).unwrap();
        read_all(&path);
    }

    #[test]
    fn noise_never_panics(ending in prop::sample::select(vec!["tif", "h5", "ims", "npy", "npz", "mha", "nrrd"]), start in 0..8usize, noise: Vec<u8>) {
        let starts: [&[u8]; 8] = [
            b"", b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08", b"\x89HDF\r\n\x1a\n", b"\x93NUMPY\x01\0", b"PK\x03\x04",
            b"NDims = 3\nDimSize =", b"NRRD0004\nsizes: ",
        ];
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(format!("noise.{ending}"));
        fs::write(&path, [starts[start], &noise].concat()).unwrap();
        read_all(&path);
    }
}
