//! The numbers that a text header announces: behind it in the same file, or in a file beside it.
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::mapped::Mapped;
use super::plausible;
use super::raster::Raster;
use crate::error::{Error, Result};
use crate::volume::{Bytes, Dtype, Store, owned_bytes};

/// The file with the numbers.
pub(super) struct Bulk {
    /// The file with the header, which messages name.
    header: PathBuf,
    /// The name of a file of its own that the header gives.
    own: Option<String>,
    map: Mapped,
}

impl Bulk {
    /// The numbers follow the header in its own file.
    pub(super) fn same(header: &Path, map: Mapped) -> Self {
        Bulk { header: header.to_owned(), own: None, map }
    }

    /// Opens the file that a header names, from the header's folder on.
    ///
    /// # Errors
    /// There is no such file; the message names both.
    pub(super) fn beside(header: &Path, name: &str) -> Result<Self> {
        let path = header.parent().unwrap_or(Path::new("")).join(name);
        let map = Mapped::open(&path).map_err(|error| {
            let expected = "the file with the voxels, where the header says";
            Error::format(header, format!("a header whose data file cannot be opened ({error})"), expected)
        })?;
        Ok(Bulk { header: header.to_owned(), own: Some(name.to_owned()), map })
    }

    /// All bytes of the file.
    pub(super) fn bytes(&self) -> &[u8] {
        self.map.as_ref()
    }

    /// An error about the file, which may not be the one with the header.
    pub(super) fn wrong(&self, found: impl std::fmt::Display, expected: impl Into<String>) -> Error {
        let place = self.own.as_ref().map_or(String::new(), |name| format!(" in its data file {name}"));
        Error::format(&self.header, format!("{found}{place}"), expected)
    }

    /// Where the last `wanted` bytes of the file begin.
    pub(super) fn last(&self, wanted: usize) -> Result<usize> {
        let there = self.bytes().len();
        there.checked_sub(wanted).ok_or_else(|| self.wrong(format!("{there} bytes"), cut_short(wanted)))
    }

    /// The volume among the uncompressed numbers that fill the file from byte `start` on, and whether it stays there.
    ///
    /// # Errors
    /// There are fewer or more bytes than the header announces.
    pub(super) fn plain(self, raster: &Raster, start: usize) -> Result<(Store, bool)> {
        let (there, wanted) = (self.bytes().len().saturating_sub(start), raster.len());
        if there != wanted {
            let expected = match there < wanted {
                true => cut_short(wanted),
                false => format!("{wanted}, as size and number type say; is one of them wrong?"),
            };
            return Err(self.wrong(format!("{there} bytes of voxels"), expected));
        }
        Ok(raster.store(Box::new(self.map), start))
    }

    /// The volume among the numbers that `stream` decodes from `len` bytes of the file.
    ///
    /// # Errors
    /// The stream is damaged, or gives fewer or more bytes than the header announces.
    pub(super) fn decoded(
        &self,
        raster: &Raster,
        dtype: Dtype,
        len: usize,
        stream: &mut impl Read,
    ) -> Result<Store> {
        let wanted = plausible(&self.header, len, raster.whole, dtype)?;
        // Grows with what the stream gives, not with what the header claims.
        let mut bytes = Vec::new();
        stream.by_ref().take(wanted as u64).read_to_end(&mut bytes).map_err(|error| self.broken(&error))?;
        // Only behind its last byte does a stream check its sum.
        let more =
            io::copy(&mut stream.by_ref().take(1), &mut io::sink()).map_err(|error| self.broken(&error))?;
        if bytes.len() < wanted || more > 0 {
            let found = match more {
                0 => format!("{} bytes of voxels", bytes.len()),
                _ => format!("more than {wanted} bytes of voxels"),
            };
            return Err(self.wrong(found, format!("{wanted}, as size and number type say")));
        }
        let bytes: Bytes = owned_bytes(bytes);
        Ok(raster.store(bytes, 0).0)
    }

    /// An error about compressed numbers.
    pub(super) fn broken(&self, error: &io::Error) -> Error {
        self.wrong(format!("compressed voxels that cannot be read ({error})"), "an intact, complete file")
    }
}

fn cut_short(wanted: usize) -> String {
    format!("{wanted}, as size and number type say; was it cut short?")
}

/// The lines of a header without their ends, each with the number of the byte behind it. The last may have no end.
pub(super) fn lines(bytes: &[u8]) -> impl Iterator<Item = (&[u8], usize)> {
    bytes.split_inclusive(|&byte| byte == b'\n').scan(0, |end, line| {
        *end += line.len();
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        Some((line.strip_suffix(b"\r").unwrap_or(line), *end))
    })
}
