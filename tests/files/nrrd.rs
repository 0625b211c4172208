//! NRRD: headers as other programs write them or may write them, each in front of 3 x 4 x 5 voxels that hold their index.
use std::io::Write;

use ndarray::{Axis, stack};
use tascan::io::{self, Pick, Role, Selection};
use tascan::volume::{Dtype, Spacing};

use super::{fixture, indices, little, message, read, save};

/// A header of 16-bit voxels without its last, empty line; `lines` may say more.
fn header(lines: &str) -> String {
    format!("NRRD0004\ntype: uint16\ndimension: 3\nsizes: 5 4 3\n{lines}endian: little\nencoding: raw\n")
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn headers_may_be_written_in_many_ways() {
    let folder = tempfile::tempdir().unwrap();
    let (voxels, plain) = (little(&indices()), header(""));
    let swapped: Vec<u8> = voxels.chunks(2).flat_map(|pair| [pair[1], pair[0]]).collect();
    let zipped = |lines: &str| header(lines).replace("raw", "gzip");
    let two = [gzip(&voxels[..50]), gzip(&voxels[50..])].concat();
    let cases = [
        (plain.clone(), voxels.clone()),
        (format!("{plain}\n").replace('\n', "\r\n"), voxels.clone()),
        (plain.replace("NRRD0004", "NRRD0001"), voxels.clone()),
        (
            plain.replace("type", "Type").replace("uint16", "Unsigned Short").replace("raw", "RAW"),
            voxels.clone(),
        ),
        (plain.replace(": ", ":"), voxels.clone()),
        (
            header("# a comment: here\nits key:=a value: with signs\nits key:=again\ncontent: cells\n"),
            voxels.clone(),
        ),
        (header("content: \u{e9}\nspace origin: (1,2,3)\ncenters: cell cell cell\n"), voxels.clone()),
        (plain.replace("little", "big"), swapped.clone()),
        (header("byte skip: 3\n"), [b"abc", &voxels[..]].concat()),
        (header("byteskip: -1\n"), [b"abc", &voxels[..]].concat()),
        (header("line skip: 2\nbyte skip: 1\n"), [b"a\nbc\nd", &voxels[..]].concat()),
        (zipped(""), gzip(&voxels)),
        (zipped("").replace("gzip", "gz"), two),
        (zipped("line skip: 1\n"), [b"abc\n", &gzip(&voxels)[..]].concat()),
        (zipped("byte skip: 3\n"), gzip(&[b"abc", &voxels[..]].concat())),
        (plain.replace("dimension: 3", "dimension: 4").replace("5 4 3", "5 4 3 1"), voxels.clone()),
        (
            plain
                .replace("dimension: 3", "dimension: 4")
                .replace("5 4 3", "1 5 4 3\nkinds: list ??? ??? ???"),
            voxels.clone(),
        ),
    ];
    for (text, data) in cases {
        let empty = if text.ends_with("\r\n") { "" } else { "\n" };
        let path = save(folder.path(), "a.nrrd", &format!("{text}{empty}"), &data);
        assert_eq!(read(&path), indices(), "{text}");
    }
}

#[test]
fn every_type_is_read_under_all_its_names() {
    let folder = tempfile::tempdir().unwrap();
    for (names, dtype) in [
        ("uchar,unsigned char,uint8,uint8_t", Dtype::U8),
        ("signed char,int8,int8_t", Dtype::I8),
        ("ushort,unsigned short,unsigned short int,uint16,uint16_t", Dtype::U16),
        ("short,short int,signed short,signed short int,int16,int16_t", Dtype::I16),
        ("uint,unsigned int,uint32,uint32_t", Dtype::U32),
        ("int,signed int,int32,int32_t", Dtype::I32),
        ("ulonglong,unsigned long long,unsigned long long int,uint64,uint64_t", Dtype::U64),
        ("longlong,long long,long long int,signed long long,signed long long int,int64,int64_t", Dtype::I64),
        ("float", Dtype::F32),
        ("double", Dtype::F64),
    ] {
        let voxels: Vec<u8> = (0..60u8).flat_map(|value| super::number(dtype, value)).collect();
        for name in names.split(',') {
            let text = format!("{}\n", header("").replace("uint16", name));
            let volume = io::open(&save(folder.path(), "a.nrrd", &text, &voxels), Role::Raw).unwrap();
            assert_eq!((volume.dtype(), volume.to_f32()), (dtype, indices()), "{name}");
        }
    }
    let text = format!("{}\n", header("").replace("uint16", "uint8").replace("endian: little\n", ""));
    let bytes: Vec<u8> = (0..60).collect();
    assert_eq!(read(&save(folder.path(), "a.nrrd", &text, &bytes)), indices(), "one byte has no order");
}

#[test]
fn voxels_may_be_in_another_file() {
    let folder = tempfile::tempdir().unwrap();
    let voxels = little(&indices());
    for (lines, data) in [
        ("data file: the voxels.raw\n", voxels.clone()),
        ("datafile: ./the voxels.raw\nbyte skip: 4\n", [b"junk", &voxels[..]].concat()),
        ("data file: the voxels.raw\nline skip: 1\n", [b"junk\n", &voxels[..]].concat()),
        ("data file: the voxels.raw\nbyte skip: -1\n", [b"junk", &voxels[..]].concat()),
    ] {
        save(folder.path(), "the voxels.raw", "", &data);
        let path = save(folder.path(), "a.nhdr", &header(lines), b"");
        assert_eq!(read(&path), indices(), "{lines}");
    }
    let path = save(folder.path(), "a.nhdr", &header("data file: gone.raw\n"), b"");
    for reason in ["a.nhdr", "gone.raw", "No such file"] {
        assert!(message(&path).contains(reason), "{}", message(&path));
    }
}

#[test]
fn voxel_sizes_are_in_the_unit_that_is_stated() {
    let folder = tempfile::tempdir().unwrap();
    let edges = Some([0.5, 0.25, 0.15]);
    for (lines, expected) in [
        ("", None),
        ("spacings: 1 1 1\n", None),
        ("spacings: 0.15 0.25 0.5\n", edges),
        ("spacings: 0.00015 0.00025 0.0005\n", edges),
        ("spacings: 0.15 0.25 nan\n", None),
        ("spacings: 0.15 -0.25 0.5\n", None),
        ("spacings: 1 1 1\nunits: \"um\" \"um\" \"um\"\n", Some([1.0, 1.0, 1.0])),
        ("spacings: 0.15 0.25 0.5\nunits: \"µm\" \"microns\" \"micrometer\"\n", edges),
        ("spacings: 150 0.25 0.0005\nunits: \"nm\" um \"mm\"\n", edges),
        ("spacings: 0.15 0.25 0.5\nunits: \"\" \"\" \"\"\n", edges),
        ("spacings: 0.15 0.25 0.5\nunits: \"pixels\" \"pixels\" \"um\"\n", None),
        ("space: left-posterior-superior\nspace directions: (0.15,0,0) (0,0.25,0) (0,0,0.5)\n", edges),
        (
            "space dimension: 3\nspace directions: ( 0, 0, -150 ) (0,250,0)\t(500,0,0)\nspace units: \"nm\" \"nm\" \"nm\"\n",
            edges,
        ),
        (
            "space dimension: 3\nspace directions: (0.09,0.12,0) (0.2,-0.15,0) (0,0,500)\nspace units: \"um\" \"um\" \"nm\"\n",
            edges,
        ),
        ("space dimension: 3\nspace directions: (1,0,0) (0,1,0) (0,0,1)\n", None),
    ] {
        let path = save(folder.path(), "a.nrrd", &format!("{}\n", header(lines)), &little(&indices()));
        super::assert_spacing(&path, expected);
    }
    let latin = header("spacings: 1 2 3\nunits: \"?m\" \"?m\" \"?m\"\n") + "\n";
    let latin: Vec<u8> = latin.bytes().map(|byte| if byte == b'?' { 0xb5 } else { byte }).collect();
    let path = save(folder.path(), "a.nrrd", "", &[&latin[..], &little(&indices())].concat());
    super::assert_spacing(&path, Some([3.0, 2.0, 1.0]));
}

#[test]
fn what_cannot_be_read_is_refused_with_a_reason() {
    let folder = tempfile::tempdir().unwrap();
    let voxels = little(&indices());
    for (from, to, reason) in [
        ("NRRD0004", "NRRD0006", "no NRRD signature"),
        ("NRRD0004", "NRRD", "no NRRD signature"),
        ("uint16", "block", "type: block"),
        ("type: uint16\n", "", "without type"),
        ("endian: little\n", "", "without endian"),
        ("little", "middle", "endian: middle"),
        ("raw", "ascii", "encoding: ascii"),
        ("raw", "hex", "encoding: hex"),
        ("raw", "bzip2", "encoding: bzip2"),
        ("raw", "gzip", "compressed voxels that cannot be read"),
        ("raw", "gzip\nbyte skip: -1", "byte skip: -1 with gzip"),
        ("raw", "raw\nbyte skip: -2", "byte skip: -2"),
        ("raw", "raw\nbyte skip: 9223372036854775807", "0 bytes of voxels"),
        ("raw", "raw\nline skip: 100000000000", "line skip"),
        ("raw", "raw\nline skip: -1", "line skip: -1"),
        ("raw", "raw\nencoding: raw", "encoding twice"),
        ("raw", "raw\nwords", "no field"),
        ("raw", "raw\ndata file: LIST", "several files"),
        ("raw", "raw\ndata file: s%03d.raw 1 3 1", "several files"),
        ("5 4 3", "5 4", "sizes: 5 4"),
        ("5 4 3", "5 0 3", "empty volume"),
        ("5 4 3", "5 4 2", "120 bytes of voxels"),
        ("5 4 3", "5 4 4", "cut short"),
        ("5 4 3", "4000000000 4000000000 4000000000", "possible size"),
        ("dimension: 3\nsizes: 5 4 3", "dimension: 2\nsizes: 5 12", "2D image, 12 x 5"),
        ("5 4 3", "5 4 3\nkinds: RGB-color domain domain", "2D image, 3 x 4"),
        ("5 4 3", "5 4 3\nkinds: domain domain", "3 entries"),
        ("5 4 3", "5 4 3\nspacings: 1 2", "3 entries"),
        ("5 4 3", "5 4 3\nspace directions: (1,0,0) (0,1,0) 5", "3 entries"),
        ("dimension: 3\nsizes: 5 4 3", "dimension: 4\nsizes: 5 2 3 2", "`kinds:"),
        (
            "dimension: 3\nsizes: 5 4 3",
            "dimension: 4\nsizes: 5 2 3 2\nkinds: domain domain domain list",
            "2 channels",
        ),
        (
            "dimension: 3\nsizes: 5 4 3",
            "dimension: 4\nsizes: 5 2 3 2\nkinds: space space space time",
            "2 time points",
        ),
    ] {
        let text = format!("{}\n", header("").replace(from, to));
        let said = message(&save(folder.path(), "a.nrrd", &text, &voxels));
        assert!(said.contains(reason) && said.contains("a.nrrd"), "{text}: {said}");
    }
    let said = message(&save(folder.path(), "a.nrrd", &header(""), b""));
    assert!(said.contains("a header without voxels"), "{said}");
}

#[test]
fn compressed_voxels_are_as_many_as_announced() {
    let folder = tempfile::tempdir().unwrap();
    let voxels = little(&indices());
    let whole = gzip(&voxels);
    let text = format!("{}\n", header("").replace("raw", "gzip"));
    let mut wrong_sum = whole.clone();
    wrong_sum[whole.len() - 8] ^= 1;
    for (data, reason) in [
        (gzip(&voxels[..118]), "118 bytes of voxels"),
        (gzip(&[&voxels[..], b"ab"].concat()), "more than 120 bytes"),
        (whole[..whole.len() - 1].to_vec(), "cannot be read"),
        (wrong_sum, "cannot be read"),
        ([&whole[..], b"words"].concat(), "cannot be read"),
    ] {
        let said = message(&save(folder.path(), "a.nrrd", &text, &data));
        assert!(said.contains(reason), "{reason}: {said}");
    }
    let huge = text.replace("5 4 3", "50000 40000 3");
    assert!(message(&save(folder.path(), "a.nrrd", &huge, &whole)).contains("cut short"));
}

#[test]
fn channels_and_time_may_be_any_axis() {
    let folder = tempfile::tempdir().unwrap();
    let (dark, bright) = (indices(), indices() + 1000.0);
    // The place of the further axis among z, y, x, slowest first, and what the header says of the axes, fastest first.
    for (place, sizes, kinds) in [
        (3, "2 5 4 3", "vector domain domain domain"),
        (2, "5 2 4 3", "domain list domain domain"),
        (1, "5 4 2 3", "domain domain list domain"),
        (0, "5 4 3 2", "space space space time"),
        (0, "5 4 3 2", "domain domain domain domain"),
        (3, "2 5 4 3", "time space space space"),
    ] {
        let run = stack![Axis(place), dark, bright];
        let voxels: Vec<u8> = run.iter().flat_map(|&value| (value as u16).to_le_bytes()).collect();
        let text = header(&format!("kinds: {kinds}\n")).replace("5 4 3", sizes).replace(": 3", ": 4") + "\n";
        let path = save(folder.path(), "a.nrrd", &text, &voxels);
        for (number, expected) in [&dark, &bright].into_iter().enumerate() {
            let pick = Some(Pick::Number(number));
            let is_time = kinds.contains("time") || kinds == "domain domain domain domain";
            let (channel, time) = if is_time { (None, pick) } else { (pick, None) };
            let volume = io::open(&path, Selection { role: Role::Raw, channel, time }).unwrap();
            assert_eq!(volume.to_f32(), expected, "{kinds}");
            assert_eq!(
                volume.read_f32([1, 2, 3], [2, 1, 2]),
                expected.slice(ndarray::s![1.., 2..3, 3..]),
                "{kinds}"
            );
            assert_eq!(volume.origin().mapped, place < 3, "{kinds}");
        }
    }
}

#[test]
fn channels_and_time_points_of_itk_are_chosen() {
    for number in 0..2 {
        let pick = Some(Pick::Number(number));
        let expected = indices() + 1000.0 * number as f32;
        let channel = Selection { role: Role::Raw, channel: pick.clone(), time: None };
        let time = Selection { role: Role::Raw, channel: None, time: pick };
        for (name, selection) in [("itk_channels.nrrd", channel), ("itk_times.nrrd", time)] {
            let volume = io::open(&fixture(name), selection).unwrap();
            assert_eq!(volume.to_f32(), expected, "{name}");
            assert_eq!(volume.spacing(), Some(Spacing([0.5, 0.25, 0.15])), "{name}");
        }
    }
}

#[test]
fn any_voxel_size_survives() {
    super::sizes_survive("a.nrrd");
}

#[test]
fn a_header_alone_is_not_written() {
    super::header_alone_is_refused("a.nhdr", ".nrrd");
}
