//! The directories of a TIFF file, one for each page: tables of tags, read from the mapped bytes without any judgement of
//! what the tags say (TIFF 6.0, section 2; BigTIFF has 64-bit offsets). The crate `tiff`, which writes our files, refuses
//! pages with optional tags missing and changes numbers as it decodes; so pages are read here.
use std::collections::HashSet;
use std::path::Path;

use crate::error::{Error, Result};

/// Tags by their numbers in the specification.
pub(super) mod tag {
    pub(in super::super) const NEW_SUBFILE_TYPE: u16 = 254;
    pub(in super::super) const IMAGE_WIDTH: u16 = 256;
    pub(in super::super) const IMAGE_LENGTH: u16 = 257;
    pub(in super::super) const BITS_PER_SAMPLE: u16 = 258;
    pub(in super::super) const COMPRESSION: u16 = 259;
    pub(in super::super) const PHOTOMETRIC: u16 = 262;
    pub(in super::super) const FILL_ORDER: u16 = 266;
    pub(in super::super) const IMAGE_DESCRIPTION: u16 = 270;
    pub(in super::super) const STRIP_OFFSETS: u16 = 273;
    pub(in super::super) const SAMPLES_PER_PIXEL: u16 = 277;
    pub(in super::super) const ROWS_PER_STRIP: u16 = 278;
    pub(in super::super) const STRIP_BYTE_COUNTS: u16 = 279;
    pub(in super::super) const X_RESOLUTION: u16 = 282;
    pub(in super::super) const Y_RESOLUTION: u16 = 283;
    pub(in super::super) const PLANAR_CONFIGURATION: u16 = 284;
    pub(in super::super) const PREDICTOR: u16 = 317;
    pub(in super::super) const TILE_WIDTH: u16 = 322;
    pub(in super::super) const TILE_LENGTH: u16 = 323;
    pub(in super::super) const TILE_OFFSETS: u16 = 324;
    pub(in super::super) const TILE_BYTE_COUNTS: u16 = 325;
    pub(in super::super) const SAMPLE_FORMAT: u16 = 339;
    pub(in super::super) const IMAGE_DEPTH: u16 = 32997;
    pub(in super::super) const TILE_DEPTH: u16 = 32998;
}

/// The bytes of a file and how numbers are stored in them.
#[derive(Clone, Copy)]
pub(super) struct File<'a> {
    pub(super) path: &'a Path,
    pub(super) bytes: &'a [u8],
    pub(super) big_endian: bool,
    /// Whether offsets have 64 bits.
    pub(super) big: bool,
}

/// One table of tags.
pub(super) struct Directory<'a> {
    file: File<'a>,
    entries: Vec<Entry>,
}

/// One tag: the type and number of its values, and where their bytes are.
struct Entry {
    tag: u16,
    kind: u16,
    count: usize,
    start: usize,
}

impl<'a> File<'a> {
    /// Reads the first bytes; returns the file and where its first directory lies.
    pub(super) fn open(path: &'a Path, bytes: &'a [u8]) -> Result<(Self, u64)> {
        let no_tiff = || Error::format(path, "no TIFF signature", "a TIFF file");
        let big_endian = match bytes.get(..2) {
            Some(b"II") => false,
            Some(b"MM") => true,
            _ => return Err(no_tiff()),
        };
        let file = File { path, bytes, big_endian, big: false };
        let first = match file.number(2, 2) {
            Some(42) => file.number(4, 4),
            Some(43) if file.number(4, 4) == Some(if big_endian { 8 << 16 } else { 8 }) => file.number(8, 8),
            _ => return Err(no_tiff()),
        };
        let big = file.number(2, 2) == Some(43);
        Ok((File { big, ..file }, first.ok_or_else(|| file.cut_short())?))
    }

    /// All directories of the chain that begins at `first`.
    pub(super) fn chain(self, first: u64) -> Result<Vec<Directory<'a>>> {
        let (mut seen, mut directories, mut next) = (HashSet::new(), Vec::new(), first);
        while next != 0 {
            if !seen.insert(next) {
                let found = format!("a chain of pages that leads back to page {}", directories.len());
                return Err(Error::format(self.path, found, "an intact TIFF stack"));
            }
            let directory;
            (directory, next) = self.directory(next).ok_or_else(|| self.cut_short())?;
            directories.push(directory);
        }
        match directories.is_empty() {
            true => Err(Error::format(self.path, "a TIFF without a page", "a 3D stack")),
            false => Ok(directories),
        }
    }

    /// The directory at byte `at`, and where the next one lies.
    fn directory(self, at: u64) -> Option<(Directory<'a>, u64)> {
        let at = usize::try_from(at).ok()?;
        let (head, entry, word) = if self.big { (8, 20, 8) } else { (2, 12, 4) };
        let count = usize::try_from(self.number(at, head)?).ok()?;
        let first = at.checked_add(head)?;
        let end = first.checked_add(count.checked_mul(entry)?)?;
        let next = self.number(end, word)?;
        let entries = (0..count).map(|k| self.entry(first + k * entry)).collect::<Option<Vec<_>>>()?;
        Some((Directory { file: self, entries }, next))
    }

    fn entry(self, at: usize) -> Option<Entry> {
        let word = if self.big { 8 } else { 4 };
        let kind = self.number(at + 2, 2)? as u16;
        let count = usize::try_from(self.number(at + 4, word)?).ok()?;
        let inline = count.saturating_mul(size_of_kind(kind)) <= word;
        let start = match inline {
            true => at + 4 + word,
            false => usize::try_from(self.number(at + 4 + word, word)?).ok()?,
        };
        Some(Entry { tag: self.number(at, 2)? as u16, kind, count, start })
    }

    /// The unsigned number of `size` bytes at byte `at`, where the file is long enough.
    fn number(self, at: usize, size: usize) -> Option<u64> {
        let bytes = self.bytes.get(at..at.checked_add(size)?)?;
        let join = |number: u64, &byte: &u8| number << 8 | u64::from(byte);
        Some(match self.big_endian {
            true => bytes.iter().fold(0, join),
            false => bytes.iter().rev().fold(0, join),
        })
    }

    fn cut_short(&self) -> Error {
        Error::format(self.path, "a TIFF that ends too early", "a complete file; was it cut short?")
    }
}

/// Bytes of one value of a type, 0 for unknown ones.
fn size_of_kind(kind: u16) -> usize {
    match kind {
        1 | 2 | 6 | 7 => 1,
        3 | 8 => 2,
        4 | 9 | 11 | 13 => 4,
        5 | 10 | 12 | 16 | 17 | 18 => 8,
        _ => 0,
    }
}

impl<'a> Directory<'a> {
    /// The unsigned integers of a tag; `None` where the page has no such tag.
    ///
    /// # Errors
    /// The values are of another type or lie beyond the end of the file.
    pub(super) fn unsigned(&self, tag: u16) -> Result<Option<Vec<u64>>> {
        let Some(entry) = self.entries.iter().find(|entry| entry.tag == tag) else { return Ok(None) };
        if !matches!(entry.kind, 1 | 3 | 4 | 13 | 16 | 18) {
            let found = format!("tag {tag} with values of type {}", entry.kind);
            return Err(Error::format(self.file.path, found, "unsigned integers there"));
        }
        let size = size_of_kind(entry.kind);
        self.bytes_of(entry)?;
        Ok(Some((0..entry.count).filter_map(|k| self.file.number(entry.start + k * size, size)).collect()))
    }

    /// The first unsigned integer of a tag.
    ///
    /// # Errors
    /// Those of [`Self::unsigned`].
    pub(super) fn first(&self, tag: u16) -> Result<Option<u64>> {
        Ok(self.unsigned(tag)?.and_then(|values| values.first().copied()))
    }

    /// The texts of the page's descriptions, of which a file may have several; bytes that are no UTF-8 are Latin-1, as
    /// ImageJ writes its micrometres.
    pub(super) fn descriptions(&self) -> Vec<String> {
        let texts = self.entries.iter().filter(|entry| entry.tag == tag::IMAGE_DESCRIPTION);
        texts.filter_map(|entry| self.bytes_of(entry).ok()).map(text).collect()
    }

    /// One divided by a resolution, without rounding twice, where it is a positive number.
    pub(super) fn reciprocal(&self, tag: u16) -> Option<f64> {
        let entry = self.entries.iter().find(|entry| entry.tag == tag && entry.count == 1)?;
        let (number, start) = (|at, size| self.file.number(at, size), entry.start);
        let edge = match entry.kind {
            5 => number(start + 4, 4)? as f64 / number(start, 4)? as f64,
            11 => 1.0 / f64::from(f32::from_bits(number(start, 4)? as u32)),
            12 => 1.0 / f64::from_bits(number(start, 8)?),
            _ => return None,
        };
        (edge.is_finite() && edge > 0.0).then_some(edge)
    }

    fn bytes_of(&self, entry: &Entry) -> Result<&'a [u8]> {
        let len = entry.count.checked_mul(size_of_kind(entry.kind));
        let end = len.and_then(|len| entry.start.checked_add(len));
        end.and_then(|end| self.file.bytes.get(entry.start..end)).ok_or_else(|| self.file.cut_short())
    }
}

fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    crate::io::text(&bytes[..end])
}
