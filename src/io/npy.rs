//! NumPy's `.npy`: a line of text that says type, order and shape, then the numbers. Arrays of four or five axes hold
//! several volumes; [`axes`](super::axes) says which is read.
use std::io::Write;
use std::ops::Range;
use std::path::Path;

use npyz::{DType, Endianness, NpyHeader, Order, TypeChar, TypeStr};

use super::axes::{Axes, Cut};
use super::element::{self, Element, Form};
use super::mapped::Mapped;
use super::strided::Strided;
use super::{Selection, check_shape};
use crate::error::{Error, Result};
use crate::volume::{Bytes, Dtype, Origin, Sample, Volume, for_dtype, owned_bytes};

const EXPECTED: &str = "a NumPy array of three axes z, y, x with numbers";
/// The longest header that is read, in bytes; NumPy itself refuses 10,000.
pub(super) const LONGEST: usize = 1 << 16;
/// Brackets inside brackets that a header may have.
const DEEPEST: usize = 16;

/// Opens a `.npy` file without reading its voxels.
pub(super) fn open(path: &Path, selection: &Selection) -> Result<Volume> {
    let map = Mapped::open(path)?;
    let all = 0..map.as_ref().len();
    let volume = volume(path, Box::new(map), all, selection)?;
    let origin = Origin { path: path.to_owned(), format: "NPY".into(), ..volume.origin };
    Ok(Volume { origin, ..volume })
}

/// The selected volume of the `.npy` file that is this range of bytes.
pub(super) fn volume(
    place: &Path,
    bytes: Bytes,
    range: Range<usize>,
    selection: &Selection,
) -> Result<Volume> {
    let file = &(*bytes).as_ref()[range.clone()];
    let Header { start, extents, element, fortran } = Header::read(place, file)?;
    let cut = Axes::of(place, &extents, None)?.choose(place, &extents, selection)?;
    let shape = check_shape(place, &cut.extents(&extents), element.dtype)?;
    check_length(place, &extents, element.size, file.len() - start)?;
    let strided = Strided::of(range.start + start, &extents, &cut, element.size, fortran);
    let (store, mapped) = element.store(bytes, &strided);
    let origin = Origin { mapped, ..Origin::memory() };
    Ok(Volume { shape, dtype: element.dtype, spacing: None, origin, store })
}

/// An error where the numbers of an array are not all there.
fn check_length(place: &Path, extents: &[u64], size: usize, there: usize) -> Result<()> {
    let wanted = extents.iter().try_fold(size as u64, |bytes, &extent| bytes.checked_mul(extent));
    if wanted.is_some_and(|wanted| wanted <= there as u64) {
        return Ok(());
    }
    let wanted = wanted.map_or("more than can be".into(), |wanted| wanted.to_string());
    let expected = format!("{wanted} for {extents:?} numbers of {size} bytes; is the file cut short?");
    Err(Error::format(place, format!("{there} bytes of voxels"), expected))
}

/// The numbers of an array of one axis; `None` where it is none or not all there.
pub(super) fn numbers(place: &Path, bytes: Vec<u8>) -> Option<Vec<f64>> {
    let Header { start, extents, element, .. } = Header::read(place, &bytes).ok()?;
    let &[count] = &extents[..] else { return None };
    let extents = [1, 1, count];
    let shape = check_shape(place, &extents, element.dtype).ok()?;
    check_length(place, &extents, element.size, bytes.len() - start).ok()?;
    let strided = Strided::of(start, &extents, &Cut::whole(), element.size, false);
    let (store, _) = element.store(owned_bytes(bytes), &strided);
    let volume = Volume { shape, dtype: element.dtype, spacing: None, origin: Origin::memory(), store };
    for_dtype!(volume.dtype, S => Some(volume.row::<S>(0, 0, 0, shape[2]).map(S::number).collect()))
}

/// What stands before the numbers of a `.npy` file.
pub(super) struct Header {
    /// The first byte of the numbers.
    pub(super) start: usize,
    /// The array's extents.
    pub(super) extents: Vec<u64>,
    pub(super) element: Element,
    /// Whether the first axis is the fastest, not the last.
    pub(super) fortran: bool,
}

impl Header {
    /// Reads the header at the beginning of `bytes`, which may end before the numbers do.
    ///
    /// # Errors
    /// There is none, it is longer than a header can be, or the elements are no numbers.
    pub(super) fn read(place: &Path, bytes: &[u8]) -> Result<Self> {
        let (text, start) = text(place, bytes)?;
        // As version 2, whose length has four bytes.
        let length = (text.len() as u32).to_le_bytes();
        let plain = [b"\x93NUMPY\x02\x00", &length[..], text.as_bytes()].concat();
        let header = NpyHeader::from_reader(&mut &plain[..])
            .map_err(|e| Error::format(place, format!("no NumPy header ({e})"), EXPECTED))?;
        let element = number_type(place, &header.dtype())?;
        let fortran = header.order() == Order::Fortran;
        Ok(Header { start, extents: header.shape().to_vec(), element, fortran })
    }
}

/// The text of the header and the byte behind it.
fn text(place: &Path, bytes: &[u8]) -> Result<(String, usize)> {
    let refused = |found: String| Error::format(place, found, EXPECTED);
    if bytes.first() == Some(&0x80) {
        return Err(pickled(place));
    }
    if !bytes.starts_with(b"\x93NUMPY") || bytes.len() < 12 {
        return Err(refused("no NumPy header".into()));
    }
    let (before, length) = match bytes[6] {
        1 => (10, u16::from_le_bytes([bytes[8], bytes[9]]) as usize),
        2 | 3 => (12, u32::from_le_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]) as usize),
        other => return Err(refused(format!("a NumPy header of the unknown version {other}"))),
    };
    let end = before + length;
    if length > LONGEST || end > bytes.len() {
        return Err(refused(format!("no NumPy header: one of {length} bytes in a file of {}", bytes.len())));
    }
    let text = decoded(bytes[6], &bytes[before..end]);
    match nesting(&text) > DEEPEST {
        true => Err(refused("no NumPy header, but brackets inside brackets".into())),
        false => Ok((without_longs(&text), end)),
    }
}

/// The letters of a header: UTF-8 in version 3, Latin-1 before.
fn decoded(version: u8, text: &[u8]) -> String {
    match version {
        3 => String::from_utf8_lossy(text).into_owned(),
        _ => text.iter().map(|&byte| char::from(byte)).collect(),
    }
}

/// How deep the brackets of a text are inside one another, those in strings included.
fn nesting(text: &str) -> usize {
    let deepest = text.chars().fold((0usize, 0usize), |(depth, deepest), letter| {
        let depth = match letter {
            '(' | '[' | '{' => depth + 1,
            ')' | ']' | '}' => depth.saturating_sub(1),
            _ => depth,
        };
        (depth, deepest.max(depth))
    });
    deepest.1
}

/// A header without the `L` that Python 2 put behind long integers.
fn without_longs(text: &str) -> String {
    let (mut quote, mut before) = (None, ' ');
    text.chars()
        .filter(|&letter| {
            let long = letter == 'L' && before.is_ascii_digit() && quote.is_none();
            match quote {
                None if letter == '\'' || letter == '"' => quote = Some(letter),
                Some(open) if open == letter => quote = None,
                _ => {}
            }
            before = letter;
            !long
        })
        .collect()
}

fn pickled(place: &Path) -> Error {
    let expected = "an array of numbers; save with numpy.save(..., allow_pickle=False)";
    Error::format(place, "a Python pickle, no array", expected)
}

fn number_type(place: &Path, dtype: &DType) -> Result<Element> {
    let DType::Plain(plain) = dtype else {
        let found = format!("elements of the structured type {}", dtype.descr());
        return Err(Error::format(place, found, EXPECTED));
    };
    let foreign = if cfg!(target_endian = "little") { Endianness::Big } else { Endianness::Little };
    match known_type(plain, plain.endianness() == foreign) {
        Some(element) => Ok(element),
        None if dtype.uses_pickled_array() => Err(pickled(place)),
        None => {
            let found = format!("elements of type {}{}", dtype.descr(), kind(plain.type_char()));
            Err(Error::format(place, found, EXPECTED))
        }
    }
}

fn known_type(plain: &TypeStr, swapped: bool) -> Option<Element> {
    let size = usize::try_from(plain.size_field()).ok()?;
    let dtype = match (plain.type_char(), size) {
        (TypeChar::Float, 2) => return Some(Element::half(Form::Half, swapped)),
        (TypeChar::Bool, 1) => Dtype::U8,
        (TypeChar::Uint, _) => element::integer(size, false)?,
        (TypeChar::Int, _) => element::integer(size, true)?,
        (TypeChar::Float, 4) => Dtype::F32,
        (TypeChar::Float, 8) => Dtype::F64,
        _ => return None,
    };
    Some(Element::plain(dtype, swapped))
}

/// What a type that is no number's is called.
fn kind(character: TypeChar) -> &'static str {
    match character {
        TypeChar::Complex => ", complex numbers",
        TypeChar::ByteStr | TypeChar::UnicodeStr => ", text",
        TypeChar::DateTime | TypeChar::TimeDelta => ", times",
        TypeChar::RawData => ", bytes without a meaning",
        _ => "",
    }
}

/// Writes the text before the numbers, padded so that they begin at a multiple of 64 bytes.
pub(super) fn write_header(mut out: impl Write, shape: &[usize], dtype: Dtype) -> std::io::Result<()> {
    let order = if cfg!(target_endian = "little") { '<' } else { '>' };
    let descr = match dtype {
        Dtype::U8 => "|u1".into(),
        Dtype::I8 => "|i1".into(),
        Dtype::U16 | Dtype::U32 | Dtype::U64 => format!("{order}u{}", dtype.size()),
        Dtype::I16 | Dtype::I32 | Dtype::I64 => format!("{order}i{}", dtype.size()),
        Dtype::F32 | Dtype::F64 => format!("{order}f{}", dtype.size()),
    };
    let extents: String = shape.iter().map(|extent| format!("{extent}, ")).collect();
    let text = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({extents}), }}");
    let before = 10;
    let length = (before + text.len() + 1).next_multiple_of(64) - before;
    out.write_all(b"\x93NUMPY\x01\x00")?;
    out.write_all(&(length as u16).to_le_bytes())?;
    writeln!(out, "{text:<width$}", width = length - 1)
}
