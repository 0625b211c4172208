//! MetaImage: headers as other programs write them or may write them, each in front of 3 x 4 x 5 voxels that hold their index.
use std::io::Write;

use tascan::io::{self, Pick, Role, Selection};
use tascan::volume::{Dtype, Spacing};

use super::{fixture, indices, little, message, read, save};

/// A header of 16-bit voxels; `lines` may say more.
fn header(lines: &str) -> String {
    format!(
        "ObjectType = Image\nNDims = 3\nDimSize = 5 4 3\n{lines}ElementType = MET_USHORT\nElementDataFile = LOCAL\n"
    )
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn headers_may_be_written_in_many_ways() {
    let folder = tempfile::tempdir().unwrap();
    let (voxels, plain) = (little(&indices()), header(""));
    let swapped: Vec<u8> = voxels.chunks(2).flat_map(|pair| [pair[1], pair[0]]).collect();
    let compressed = zlib(&voxels);
    let sized = format!("CompressedData = True\nCompressedDataSize = {}\n", compressed.len());
    let cases = [
        (plain.clone(), voxels.clone()),
        (plain.replace('\n', "\r\n"), voxels.clone()),
        (plain.replace(" = ", "="), voxels.clone()),
        (plain.replace(" = ", ": ").replace("5 4 3", "5\t4  3 "), voxels.clone()),
        (
            plain.replace("NDims", "ndims").replace("DimSize", "DIMSIZE").replace("LOCAL", "local"),
            voxels.clone(),
        ),
        (
            header("Comment = one\nComment = d\u{e9}j\u{e0} = two\n\nFoo = bar\nHeaderSize = 0\n"),
            voxels.clone(),
        ),
        (header("TransformMatrix = -1 0 0 0 0 1 0 1 0\nOffset = 1 2 3\nElementMin = 7\n"), voxels.clone()),
        (header("BinaryData = True\nBinaryDataByteOrderMSB = False\nCompressedData = 0\n"), voxels.clone()),
        (header("BinaryDataByteOrderMSB = True\n"), swapped.clone()),
        (header("ElementByteOrderMSB = true\n"), swapped.clone()),
        (header("HeaderSize = -1\n"), [b"junk", &voxels[..]].concat()),
        (header("CompressedData = True\n"), compressed.clone()),
        (header(&sized), [&compressed[..], b"junk"].concat()),
        (header("CompressedData = True\nElementByteOrderMSB = 1\n"), zlib(&swapped)),
        (plain.replace("NDims = 3", "NDims = 4").replace("5 4 3", "5 4 3 1"), voxels.clone()),
        (plain.replace("MET_USHORT", "MET_USHORT_ARRAY"), voxels.clone()),
    ];
    for (text, data) in cases {
        let path = save(folder.path(), "a.mha", &text, &data);
        assert_eq!(read(&path), indices(), "{text}");
    }
}

#[test]
fn every_element_type_is_read() {
    let folder = tempfile::tempdir().unwrap();
    for (name, dtype) in [
        ("MET_UCHAR", Dtype::U8),
        ("MET_CHAR", Dtype::I8),
        ("MET_USHORT", Dtype::U16),
        ("MET_SHORT", Dtype::I16),
        ("MET_UINT", Dtype::U32),
        ("MET_ULONG", Dtype::U32),
        ("MET_INT", Dtype::I32),
        ("MET_LONG", Dtype::I32),
        ("MET_ULONG_LONG", Dtype::U64),
        ("MET_LONG_LONG", Dtype::I64),
        ("MET_FLOAT", Dtype::F32),
        ("MET_DOUBLE", Dtype::F64),
    ] {
        let text = header("").replace("MET_USHORT", name);
        let voxels: Vec<u8> = (0..60u8).flat_map(|value| super::number(dtype, value)).collect();
        let volume = io::open(&save(folder.path(), "a.mha", &text, &voxels), Role::Raw).unwrap();
        assert_eq!((volume.dtype(), volume.to_f32()), (dtype, indices()), "{name}");
    }
}

#[test]
fn voxels_may_be_in_another_file() {
    let folder = tempfile::tempdir().unwrap();
    let voxels = little(&indices());
    let named = |lines: &str| header(lines).replace("LOCAL", "the voxels.raw");
    for (lines, data) in [
        ("", voxels.clone()),
        ("HeaderSize = 4\n", [b"junk", &voxels[..]].concat()),
        ("HeaderSize = -1\n", [b"more junk", &voxels[..]].concat()),
        ("CompressedData = True\n", zlib(&voxels)),
        ("CompressedData = True\nHeaderSize = 4\n", [b"junk", &zlib(&voxels)[..]].concat()),
    ] {
        save(folder.path(), "the voxels.raw", "", &data);
        let path = save(folder.path(), "a.mhd", &named(lines), b"");
        assert_eq!(read(&path), indices(), "{lines}");
    }
    save(folder.path(), "the voxels.raw", "", &voxels[..118]);
    let path = save(folder.path(), "a.mhd", &named(""), b"");
    for reason in ["a.mhd", "the voxels.raw", "118 bytes", "120", "cut short"] {
        assert!(message(&path).contains(reason), "{}", message(&path));
    }
    std::fs::remove_file(folder.path().join("the voxels.raw")).unwrap();
    for reason in ["a.mhd", "the voxels.raw", "No such file"] {
        assert!(message(&path).contains(reason), "{}", message(&path));
    }
}

#[test]
fn voxel_sizes_are_micrometres_unless_they_are_too_small() {
    let folder = tempfile::tempdir().unwrap();
    for (lines, expected) in [
        ("", None),
        ("ElementSpacing = 1 1 1\n", None),
        ("ElementSpacing = 0.15 0.25 0.5\n", Some([0.5, 0.25, 0.15])),
        ("ElementSize = 0.15 0.25 0.5\n", Some([0.5, 0.25, 0.15])),
        ("ElementSize = 1 2 3\nElementSpacing = 0.15 0.25 0.5\n", Some([0.5, 0.25, 0.15])),
        ("ElementSpacing = 0.00015 0.00025 0.0005\n", Some([0.5, 0.25, 0.15])),
        ("ElementSpacing = 0.002 0.002 0.5\n", Some([0.5, 0.002, 0.002])),
        ("ElementSpacing = 0.15 0.25 0.5\nDistanceUnits = ?\n", Some([0.5, 0.25, 0.15])),
        ("ElementSpacing = 0.5 1 1\nDistanceUnits = mm\n", Some([1000.0, 1000.0, 500.0])),
        ("ElementSpacing = 1 1 1\nDistanceUnits = um\n", Some([1.0, 1.0, 1.0])),
        ("ElementSpacing = 0.15 0 0.5\n", None),
        ("ElementSpacing = 0.15 -0.25 0.5\n", None),
        ("ElementSpacing = 0.15 nan 0.5\n", None),
    ] {
        let path = save(folder.path(), "a.mha", &header(lines), &little(&indices()));
        super::assert_spacing(&path, expected);
    }
}

#[test]
fn what_cannot_be_read_is_refused_with_a_reason() {
    let folder = tempfile::tempdir().unwrap();
    let voxels = little(&indices());
    for (from, to, reason) in [
        ("Image", "Tube", "Tube"),
        ("5 4 3", "5 4", "DimSize = 5 4"),
        ("5 4 3", "5 -4 3", "5 -4 3"),
        ("5 4 3", "5 0 3", "empty volume"),
        ("5 4 3", "4000000000 4000000000 4000000000", "possible size"),
        ("5 4 3", "5 4 300000", "120 bytes of voxels"),
        ("5 4 3", "5 4 2", "120 bytes of voxels"),
        ("NDims = 3\n", "", "without NDims"),
        ("NDims = 3\nDimSize = 5 4 3", "NDims = 2\nDimSize = 5 4", "2D image, 4 x 5"),
        ("NDims = 3\nDimSize = 5 4 3", "NDims = 5\nDimSize = 5 4 3 1 1", "5 dimensions"),
        ("NDims = 3\nDimSize = 5 4 3", "NDims = 4\nDimSize = 5 2 3 2", "2 time points"),
        ("DimSize = 5 4 3", "ElementNumberOfChannels = 2\nDimSize = 5 2 3", "2 channels"),
        ("DimSize = 5 4 3", "ElementNumberOfChannels = 0\nDimSize = 5 4 3", "ElementNumberOfChannels = 0"),
        ("NDims = 3", "NDims = 3\nNDIMS = 3", "NDIMS twice"),
        ("NDims = 3", "NDims = 3\nwords", "no field"),
        ("NDims = 3", "NDims = 3\nBinaryData = False", "voxels as text"),
        ("NDims = 3", "NDims = 3\nBinaryDataByteOrderMSB = Yes", "BinaryDataByteOrderMSB = Yes"),
        ("NDims = 3", "NDims = 3\nBinaryDataByteOrderMSB = 0\nElementByteOrderMSB = 1", "disagree"),
        ("NDims = 3", "NDims = 3\nHeaderSize = -2", "HeaderSize = -2"),
        ("NDims = 3", "NDims = 3\nHeaderSize = 4", "bytes of voxels"),
        ("NDims = 3", "NDims = 3\nHeaderSize = -1\nCompressedData = True", "HeaderSize = -1"),
        ("NDims = 3", "NDims = 3\nCompressedData = True", "compressed voxels that cannot be read"),
        ("NDims = 3", "NDims = 3\nCompressedData = True\nCompressedDataSize = 121", "120 compressed bytes"),
        ("NDims = 3", "NDims = 3\nElementSpacing = 1 2", "3 numbers"),
        ("MET_USHORT", "MET_OTHER", "ElementType = MET_OTHER"),
        ("LOCAL", "LIST", "several files"),
        ("LOCAL", "slice%03d.raw 1 3 1", "several files"),
        ("ElementDataFile", "Other", "no field"),
    ] {
        let text = header("").replace(from, to);
        let said = message(&save(folder.path(), "a.mha", &text, &voxels));
        assert!(said.contains(reason) && said.contains("a.mha"), "{text}: {said}");
    }
    let said = message(&save(folder.path(), "a.mha", &header("").replace("ElementDataFile", "Other"), b""));
    assert!(said.contains("without ElementDataFile"), "{said}");
}

#[test]
fn compressed_voxels_are_as_many_as_announced() {
    let folder = tempfile::tempdir().unwrap();
    let voxels = little(&indices());
    let whole = zlib(&voxels);
    let mut wrong_sum = whole.clone();
    *wrong_sum.last_mut().unwrap() ^= 1;
    for (data, reason) in [
        (zlib(&voxels[..118]), "118 bytes of voxels"),
        (zlib(&[&voxels[..], b"ab"].concat()), "more than 120 bytes"),
        (whole[..whole.len() - 1].to_vec(), "cannot be read"),
        (wrong_sum, "cannot be read"),
        ([&whole[..], b"ab"].concat(), "2 bytes behind"),
    ] {
        let said = message(&save(folder.path(), "a.mha", &header("CompressedData = True\n"), &data));
        assert!(said.contains(reason), "{reason}: {said}");
    }
    let huge = header("CompressedData = True\n").replace("5 4 3", "50000 40000 3");
    assert!(message(&save(folder.path(), "a.mha", &huge, &whole)).contains("cut short"));
}

#[test]
fn channels_and_time_points_are_chosen() {
    let choice = |channel, time| Selection { role: Role::Raw, channel, time };
    for number in 0..2 {
        let pick = Some(Pick::Number(number));
        let expected = indices() + 1000.0 * number as f32;
        let channel = io::open(&fixture("itk_channels.mha"), choice(pick.clone(), None)).unwrap();
        assert_eq!((channel.to_f32(), channel.origin().mapped), (expected.clone(), false));
        let time = io::open(&fixture("itk_times.mha"), choice(None, pick)).unwrap();
        assert_eq!(time.to_f32(), expected);
        assert_eq!(time.spacing(), Some(Spacing([0.5, 0.25, 0.15])));
    }
    let missing = choice(Some(Pick::Number(2)), None);
    let said = io::open(&fixture("itk_channels.mha"), missing).err().unwrap().to_string();
    assert!(said.contains("no channel 2 among 2 channels"), "{said}");
}

#[test]
fn any_voxel_size_survives() {
    super::sizes_survive("a.mha");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.mha");
    io::write(&path, indices().view(), None).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    assert!(!bytes.windows(14).any(|text| text == b"ElementSpacing"));
}

#[test]
fn a_header_alone_is_not_written() {
    super::header_alone_is_refused("a.mhd", ".mha");
}
