//! TIFF as people have it: tags missing or twice, planes in other orders, channels, odd numbers. Files are written here tag
//! by tag; voxel (z, y, x) of every one has the value of [`value`].
use std::path::Path;

use ndarray::Array3;
use tascan::io::{self, Pick, Role, Selection};
use tascan::volume::{Dtype, Shape, Spacing, Volume};

use super::tiff_file::{Lengths, Page, Tags, Values, file, page, short, with, without};
use crate::oracle;

pub const SHAPE: Shape = [3, 4, 5];

fn value([z, y, x]: Shape) -> u16 {
    (7 + 1000 * z + 100 * y + x) as u16
}

pub fn expected() -> Array3<u16> {
    Array3::from_shape_fn(SHAPE, |(z, y, x)| value([z, y, x]))
}

/// The bytes of plane `z`, little-endian.
pub fn plane(z: usize) -> Vec<u8> {
    let rows = (0..SHAPE[1]).flat_map(|y| (0..SHAPE[2]).map(move |x| value([z, y, x])));
    rows.flat_map(u16::to_le_bytes).collect()
}

/// The tags of a page of 16-bit intensities, but for those of its strips.
pub fn usual() -> Tags {
    let [_, rows, columns] = SHAPE.map(|extent| extent as u16);
    vec![
        (256, short(columns)),
        (257, short(rows)),
        (258, short(16)),
        (259, short(1)),
        (262, short(1)),
        (277, short(1)),
    ]
}

/// A stack of planes in order, the first with a text.
fn stack(text: &str) -> Vec<u8> {
    stack_of(text, 0..SHAPE[0])
}

fn stack_of(text: &str, planes: impl IntoIterator<Item = usize>) -> Vec<u8> {
    let described = |k: usize| if k == 0 { with(usual(), 270, Values::Text(text.into())) } else { usual() };
    let pages = planes.into_iter().enumerate().map(|(k, z)| page(described(k), plane(z)));
    file(&pages.collect::<Vec<_>>())
}

fn selection(channel: Option<&str>, time: Option<usize>) -> Selection {
    let channel = channel.map(|text| text.parse().unwrap());
    Selection { role: Role::Raw, channel, time: time.map(Pick::Number) }
}

fn open_as(bytes: &[u8], selection: Selection) -> tascan::error::Result<Volume> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("stack.tif");
    std::fs::write(&path, bytes).unwrap();
    io::open(&path, selection)
}

#[track_caller]
fn reads(bytes: &[u8]) -> Volume {
    let volume = open_as(bytes, Role::Raw.into()).unwrap();
    assert_eq!(volume.read::<u16>([0; 3], SHAPE), expected());
    volume
}

#[track_caller]
fn refused(bytes: &[u8], selection: Selection, words: &[&str]) {
    let Err(error) = open_as(bytes, selection) else { panic!("not refused: {words:?}") };
    let message = error.to_string();
    words.iter().for_each(|word| assert!(message.contains(word), "{message:?} lacks {word:?}"));
}

#[test]
fn optional_tags_may_be_missing() {
    for tag in [262, 277, 259] {
        reads(&file(&(0..3).map(|z| page(without(usual(), tag), plane(z))).collect::<Vec<_>>()));
    }
    for lengths in [Lengths::Zero, Lengths::Absent] {
        let pages: Vec<_> = (0..3).map(|z| Page { lengths, ..page(usual(), plane(z)) }).collect();
        reads(&file(&pages));
    }
}

#[test]
fn strips_that_were_left_out_are_zeros() {
    let tags = || with(usual(), 278, short(2));
    let strips = |z: usize| plane(z).chunks(20).map(<[u8]>::to_vec).collect::<Vec<_>>();
    let pages: Vec<_> = (0..3)
        .map(|z| {
            let mut strips = strips(z);
            if z == 1 {
                strips[1].clear();
            }
            Page { tags: tags(), strips, lengths: Lengths::Stated }
        })
        .collect();
    let mut wanted = expected();
    wanted.slice_mut(ndarray::s![1, 2.., ..]).fill(0);
    let volume = open_as(&file(&pages), Role::Raw.into()).unwrap();
    assert_eq!(volume.read::<u16>([0; 3], SHAPE), wanted);
}

#[test]
fn numbers_of_odd_widths_become_the_next_greater_type() {
    for (bits, dtype) in
        [(1, Dtype::U8), (4, Dtype::U8), (10, Dtype::U16), (12, Dtype::U16), (20, Dtype::U32)]
    {
        let number = |z: usize, y: usize, x: usize| (u32::from(value([z, y, x])) * 2654435) % (1u32 << bits);
        let packed = |z: usize| -> Vec<u8> {
            let row = |y: usize| {
                let bit = move |at: usize| number(z, y, at / bits) >> (bits - 1 - at % bits) & 1 == 1;
                let all: Vec<bool> = (0..SHAPE[2] * bits).map(bit).collect();
                all.chunks(8)
                    .map(|byte| (0..8).fold(0, |sum, k| sum << 1 | u8::from(byte.get(k) == Some(&true))))
                    .collect::<Vec<u8>>()
            };
            (0..SHAPE[1]).flat_map(row).collect()
        };
        let tags = || with(usual(), 258, short(bits as u16));
        let volume =
            open_as(&file(&(0..3).map(|z| page(tags(), packed(z))).collect::<Vec<_>>()), Role::Raw.into())
                .unwrap();
        assert_eq!(volume.dtype(), dtype, "{bits} bits");
        let wanted = Array3::from_shape_fn(SHAPE, |(z, y, x)| number(z, y, x) as f32);
        assert_eq!(volume.to_f32(), wanted, "{bits} bits");
    }
}

#[test]
fn half_floats_are_read_exactly() {
    let numbers = [0.0, -0.0, 1.0, -2.5, 65504.0, 6.1e-5, 5.960_464_5e-8, f32::INFINITY];
    let halves: Vec<u8> =
        (0..20).flat_map(|k| half::f16::from_f32(numbers[k % 8]).to_bits().to_le_bytes()).collect();
    let tags = || with(usual(), 339, short(3));
    let volume =
        open_as(&file(&(0..3).map(|_| page(tags(), halves.clone())).collect::<Vec<_>>()), Role::Raw.into())
            .unwrap();
    assert_eq!(volume.dtype(), Dtype::F32);
    let wanted = |k: usize| half::f16::from_f32(numbers[k % 8]).to_f32().to_bits();
    let found: Vec<u32> = volume.to_f32().iter().map(|number| number.to_bits()).collect();
    assert_eq!(found, (0..60).map(|k| wanted(k % 20)).collect::<Vec<_>>());
}

const UNITS: &[(&str, f64)] = &[
    ("Ym", 1e30),
    ("Mm", 1e12),
    ("km", 1e9),
    ("m", 1e6),
    ("dm", 1e5),
    ("cm", 1e4),
    ("mm", 1e3),
    ("µm", 1.0),
    ("um", 1.0),
    ("micron", 1.0),
    ("\\u00B5m", 1.0),
    ("Âµm", 1.0),
    ("μm", 1.0),
    ("nm", 1e-3),
    ("pm", 1e-6),
    ("Å", 1e-4),
    ("thou", 25.4),
    ("li", 25400.0 / 12.0),
    ("in", 25400.0),
    ("inch", 25400.0),
    ("ft", 304_800.0),
    ("yd", 914_400.0),
    ("mi", 1_609_344_000.0),
    ("pt", 25400.0 / 72.0),
    ("ly", 9.460_730_472_580_8e21),
    ("ua", 1.495_978_707e17),
    ("pc", 3.085_677_581_491_367e22),
];

fn ome(attributes: &str, inside: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><OME xmlns=\"http://www.openmicroscopy.org/Schemas/OME/2016-06\" \
         UUID=\"urn:uuid:1\"><Image ID=\"Image:0\"><Pixels ID=\"Pixels:0\" SizeX=\"5\" SizeY=\"4\" {attributes}>{inside}\
         </Pixels></Image></OME>"
    )
}

#[test]
fn every_unit_of_length_is_known() {
    for &(unit, micrometres) in UNITS {
        let sizes = format!(
            "SizeZ=\"3\" SizeC=\"1\" SizeT=\"1\" PhysicalSizeZ=\"0.5\" PhysicalSizeZUnit=\"{unit}\" \
                             PhysicalSizeY=\"0.2\" PhysicalSizeX=\"0.2\""
        );
        let Some(Spacing([z, y, x])) = reads(&stack(&ome(&sizes, "<TiffData/>"))).spacing() else {
            panic!("{unit}")
        };
        assert!((z / (0.5 * micrometres) - 1.0).abs() < 1e-12, "{unit}: {z}");
        assert_eq!([y, x], [0.2, 0.2], "{unit}");
    }
    let sizes = "SizeZ=\"3\" PhysicalSizeZ=\"2\" PhysicalSizeZUnit=\"pixel\" PhysicalSizeXUnit=\"pixel\" PhysicalSizeX=\"1\"";
    assert_eq!(reads(&stack(&ome(sizes, "<TiffData/>"))).spacing(), None);
}

#[test]
fn axes_of_imagej_may_have_units_of_their_own() {
    let text = |units: &str| format!("ImageJ=1.54f\nimages=3\nslices=3\nspacing=0.5\n{units}");
    let spacing = |units: &str| reads(&stack(&text(units))).spacing().map(|Spacing(edges)| edges);
    assert_eq!(spacing("unit=micron\nzunit=mm\n"), Some([500.0, 1.0, 1.0]));
    assert_eq!(spacing("unit=nm\nyunit=micron\n"), Some([0.5 * 1e-3, 1.0, 1e-3]));
    assert_eq!(spacing("unit=micron\nzunit=pixel\n"), None);
}

#[test]
fn planes_follow_their_tiff_data() {
    let data = |z: usize, page: usize| format!("<TiffData IFD=\"{page}\" FirstZ=\"{z}\"/>");
    let shuffled = ome("SizeZ=\"3\"", &[data(2, 0), data(0, 1), data(1, 2)].concat());
    reads(&stack_of(&shuffled, [2, 0, 1]));
    let counted = ome(
        "SizeZ=\"3\"",
        "<TiffData IFD=\"2\" FirstZ=\"0\"/><TiffData IFD=\"0\" FirstZ=\"1\" PlaneCount=\"2\"/>",
    );
    reads(&stack_of(&counted, [1, 2, 0]));
    let incomplete = ome("SizeZ=\"3\"", &[data(2, 0), data(0, 1)].concat());
    refused(&stack(&incomplete), Role::Raw.into(), &["no page for plane 1"]);
}

#[test]
fn metadata_of_other_files_are_named() {
    let elsewhere =
        |file| format!("<TiffData IFD=\"0\"><UUID FileName=\"{file}\">urn:uuid:{file}</UUID></TiffData>");
    let several = ome("SizeZ=\"3\"", &[elsewhere("a.tif"), elsewhere("b.tif")].concat());
    refused(&stack(&several), Role::Raw.into(), &["other files", "a.tif", "one OME-TIFF"]);
    let companion = "<OME><BinaryOnly MetadataFile=\"set.companion.ome\" UUID=\"urn:uuid:2\"/></OME>";
    refused(&stack(companion), Role::Raw.into(), &["set.companion.ome"]);
}

/// Planes of channel `c` hold `value + 10_000 c`.
fn hyperstack(text: &str, order: &[(usize, usize)]) -> Vec<u8> {
    let pages = order.iter().enumerate().map(|(k, &(z, channel))| {
        let tags = if k == 0 { with(usual(), 270, Values::Text(text.into())) } else { usual() };
        let shift =
            |pair: &[u8]| (u16::from_le_bytes([pair[0], pair[1]]) + 10_000 * channel as u16).to_le_bytes();
        page(tags, plane(z).chunks(2).flat_map(shift).collect())
    });
    file(&pages.collect::<Vec<_>>())
}

#[test]
fn one_channel_is_chosen_by_number_or_name() {
    let imagej = hyperstack(
        "ImageJ=1.54f\nimages=6\nchannels=2\nslices=3\nhyperstack=true\n",
        &[(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 1)],
    );
    let names = "<Channel ID=\"C:0\" Name=\"nuclei\"/><Channel ID=\"C:1\" Name=\"membrane\"/><TiffData/>";
    let ome = |order| ome(&format!("SizeZ=\"3\" SizeC=\"2\" SizeT=\"1\" DimensionOrder=\"{order}\""), names);
    let by_plane = hyperstack(&ome("XYCZT"), &[(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 1)]);
    let by_channel = hyperstack(&ome("XYZCT"), &[(0, 0), (1, 0), (2, 0), (0, 1), (1, 1), (2, 1)]);
    for bytes in [&imagej, &by_plane, &by_channel] {
        for channel in 0..2u16 {
            let name = channel.to_string();
            let volume = open_as(bytes, selection(Some(&name), None)).unwrap();
            assert_eq!(volume.read::<u16>([0; 3], SHAPE), expected().mapv(|v| v + 10_000 * channel));
        }
        refused(bytes, Role::Raw.into(), &["2 channels", "--channel"]);
        refused(bytes, selection(Some("2"), None), &["no channel 2"]);
    }
    let named = open_as(&by_channel, selection(Some("Membrane"), None)).unwrap();
    assert_eq!(named.read::<u16>([0; 3], SHAPE), expected().mapv(|v| v + 10_000));
    refused(&by_channel, Role::Raw.into(), &["0 nuclei", "1 membrane"]);
}

#[test]
fn one_time_point_is_chosen() {
    let frames = hyperstack(
        "ImageJ=1.54f\nimages=6\nslices=3\nframes=2\n",
        &[(0, 0), (1, 0), (2, 0), (0, 1), (1, 1), (2, 1)],
    );
    let volume = open_as(&frames, selection(None, Some(1))).unwrap();
    assert_eq!(volume.read::<u16>([0; 3], SHAPE), expected().mapv(|v| v + 10_000));
    refused(&frames, Role::Raw.into(), &["2 time points", "--time"]);
}

#[test]
fn samples_of_a_pixel_are_channels() {
    let tags = |planar: u16| {
        let tags = with(with(usual(), 277, short(2)), 258, Values::Short(vec![16, 16]));
        with(tags, 284, short(planar))
    };
    let other = |z: usize| plane(z).iter().map(|byte| byte ^ 0x55).collect::<Vec<u8>>();
    let chunky = |z: usize| {
        let pairs = plane(z)
            .chunks(2)
            .zip(other(z).chunks(2))
            .flat_map(|(a, b)| [a, b].concat())
            .collect::<Vec<u8>>();
        page(tags(1), pairs)
    };
    let planar =
        |z: usize| Page { tags: tags(2), strips: vec![plane(z), other(z)], lengths: Lengths::Stated };
    for bytes in
        [file(&(0..3).map(chunky).collect::<Vec<_>>()), file(&(0..3).map(planar).collect::<Vec<_>>())]
    {
        let first = open_as(&bytes, selection(Some("0"), None)).unwrap();
        assert_eq!(first.read::<u16>([0; 3], SHAPE), expected());
        let second = open_as(&bytes, selection(Some("1"), None)).unwrap();
        assert_eq!(second.read::<u16>([0; 3], SHAPE), expected().mapv(|v| v ^ 0x5555));
        refused(&bytes, Role::Raw.into(), &["2 channels"]);
    }
}

#[test]
fn what_cannot_be_decoded_is_named() {
    let compressed =
        |code| file(&(0..3).map(|z| page(with(usual(), 259, short(code)), plane(z))).collect::<Vec<_>>());
    for (code, name) in [(7, "JPEG"), (50000, "Zstandard"), (34925, "LZMA"), (4, "fax")] {
        refused(&compressed(code), Role::Raw.into(), &[name, "deflate", "LZW"]);
    }
    let colours = file(&(0..3).map(|z| page(with(usual(), 262, short(6)), plane(z))).collect::<Vec<_>>());
    refused(&colours, Role::Raw.into(), &["YCbCr"]);
    refused(&stack("ImageJ=1.54f\nimages=9\nslices=9\n"), Role::Raw.into(), &["3 planes", "9", "cut short"]);
    refused(
        &stack("ImageJ=1.54f\nimages=3\nchannels=3\n"),
        Role::Raw.into(),
        &["3 channels", "exchange slices and channels"],
    );
}

fn numbers(path: &Path) -> Array3<f64> {
    let volume = io::open(path, Role::Raw).unwrap();
    volume.to_f32().mapv(f64::from)
}

/// The files that users of such programs met, with the numbers that belong to them.
#[test]
fn reported_files_are_read_right() {
    let Some(folder) = oracle::shared("reports/files") else { return };
    let reports = [
        ("t03_tiffdata_order.ome.tif", "t03"),
        ("t18_appended.tif", "t18"),
        ("t22_float_white_zero.tif", "t22"),
        ("t24_palette_lzw.tif", "t24"),
        ("t28_sparse_strips.tif", "t28"),
    ];
    for (file, reference) in reports {
        assert_eq!(
            numbers(&folder.join(file)),
            numbers(&folder.join(format!("ref/{reference}.npy"))),
            "{file}"
        );
    }
    let edges = |file: &str| io::open(&folder.join(file), Role::Raw).unwrap().spacing().unwrap().0;
    assert_eq!(edges("t01_mm_two_descriptions.ome.tif"), [0.8, 0.2, 0.2]);
    let [z, y, x] = edges("t04_decimetres.ome.tif");
    assert!((z - 1.0).abs() < 1e-12, "{z}");
    assert_eq!([y, x], [0.298_988_04; 2]);
    let Err(error) = io::open(&folder.join("t17_planes_as_channels.tif"), Role::Raw) else {
        panic!("9 channels")
    };
    assert!(error.to_string().contains("taken for channels"), "{error}");
}

#[test]
fn the_distance_of_planes_is_never_made_up() {
    let across = "PhysicalSizeX=\"0.2\" PhysicalSizeY=\"0.2\"";
    assert_eq!(reads(&stack(&ome(&format!("SizeZ=\"3\" {across}"), "<TiffData/>"))).spacing(), None);
    let unusable = format!("SizeZ=\"3\" {across} PhysicalSizeZ=\"1\" PhysicalSizeZUnit=\"pixel\"");
    assert_eq!(reads(&stack(&ome(&unusable, "<TiffData/>"))).spacing(), None);
}

#[test]
fn names_choose_a_channel_only_where_they_tell_them_apart() {
    let channels = |names: [&str; 2]| {
        let names = names.map(|name| format!("<Channel Name=\"{name}\"/>")).concat();
        let sizes = "SizeZ=\"3\" SizeC=\"2\" SizeT=\"1\" DimensionOrder=\"XYZCT\"";
        hyperstack(
            &ome(sizes, &format!("{names}<TiffData/>")),
            &[(0, 0), (1, 0), (2, 0), (0, 1), (1, 1), (2, 1)],
        )
    };
    refused(&channels(["GFP", "GFP"]), selection(Some("GFP"), None), &["no channel", "0 GFP, 1 GFP"]);
    let by_wavelength = open_as(&channels(["405", "488"]), selection(Some("488"), None)).unwrap();
    assert_eq!(by_wavelength.read::<u16>([0; 3], SHAPE), expected().mapv(|v| v + 10_000));
    // More names than channels belong to something else.
    let more = ome("SizeZ=\"3\" SizeC=\"1\"", "<Channel Name=\"A\"/><Channel Name=\"B\"/><TiffData/>");
    refused(&stack(&more), selection(Some("B"), None), &["no channel"]);
}

#[test]
fn metadata_that_contradict_themselves_are_refused() {
    let twice =
        ome("SizeZ=\"3\"", "<TiffData IFD=\"0\" PlaneCount=\"3\"/><TiffData IFD=\"1\" FirstZ=\"0\"/>");
    refused(&stack(&twice), Role::Raw.into(), &["two pages for plane 0"]);
    let repeated = "{\"shape\": [1, 3, 4, 5], \"axes\": \"ZZYX\"}";
    reads(&stack(repeated));
    let repeated = stack_of("{\"shape\": [2, 3, 4, 5], \"axes\": \"ZZYX\"}", [0, 1, 2, 0, 1, 2]);
    refused(&repeated, Role::Raw.into(), &["ZZYX"]);
    let deep = file(&(0..3).map(|z| page(with(usual(), 32997, short(16)), plane(z))).collect::<Vec<_>>());
    refused(&deep, Role::Raw.into(), &["16 planes each"]);
}
