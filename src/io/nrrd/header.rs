//! The header of an NRRD file: a line with the version, then lines of `field: value` up to an empty one.
//! Source: <https://teem.sourceforge.net/nrrd/format.html>.
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::io::bulk;
use crate::io::{is_foreign, text};
use crate::volume::Dtype;

/// The fields of a header, by their names in small letters, without the spaces that some writers leave out.
pub(super) struct Header {
    path: PathBuf,
    fields: BTreeMap<String, String>,
    /// The byte behind the empty line that ends the header, where there is one.
    pub(super) end: Option<usize>,
}

impl Header {
    /// Reads the lines up to an empty one or the end of the file.
    ///
    /// # Errors
    /// The file is no NRRD, a line is no field, or a field stands twice.
    pub(super) fn read(path: &Path, bytes: &[u8]) -> Result<Self> {
        let mut header = Header { path: path.to_owned(), fields: BTreeMap::new(), end: None };
        let mut lines = bulk::lines(bytes);
        let magic = lines.next().and_then(|(line, _)| line.trim_ascii_end().strip_prefix(b"NRRD000"));
        if !matches!(magic, Some([b'1'..=b'5'])) {
            return Err(header.wrong("no NRRD signature", "an NRRD file, version 1 to 5"));
        }
        for (line, end) in lines {
            if line.trim_ascii_end().is_empty() {
                return Ok(Header { end: Some(end), ..header });
            }
            header.add(line)?;
        }
        Ok(header)
    }

    /// Adds the field of a line; passes over comments, and over a user's own `key:=value`.
    fn add(&mut self, line: &[u8]) -> Result<()> {
        let line = text(line);
        if line.starts_with('#') {
            return Ok(());
        }
        let Some((name, value)) = line.split_once(':') else {
            return Err(self.wrong("a line in the header that is no field", "lines of the form field: value"));
        };
        if value.starts_with('=') {
            return Ok(());
        }
        match self.fields.insert(key(name), value.trim().to_owned()) {
            None => Ok(()),
            Some(_) => Err(self.wrong(format!("{name} twice in the header"), "every field once")),
        }
    }

    /// An error about the file.
    pub(super) fn wrong(&self, found: impl Into<String>, expected: impl Into<String>) -> Error {
        Error::format(&self.path, found, expected)
    }

    /// The value of a field, where the header has it.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.fields.get(&key(name)).map(String::as_str)
    }

    fn required(&self, name: &str) -> Result<&str> {
        let missing = || self.wrong(format!("a header without {name}"), "a complete NRRD header");
        self.get(name).ok_or_else(missing)
    }

    /// A whole number; 0 where the header lacks it.
    pub(super) fn number(&self, name: &str) -> Result<i64> {
        let text = self.get(name).unwrap_or("0");
        text.parse().map_err(|_| self.wrong(format!("{name}: {text}"), "a whole number"))
    }

    /// The extents, fastest axis first.
    pub(super) fn extents(&self) -> Result<Vec<u64>> {
        let (count, text) = (self.required("dimension")?, self.required("sizes")?);
        let extents: Option<Vec<u64>> = text.split_whitespace().map(|word| word.parse().ok()).collect();
        let extents = extents.filter(|extents| count.parse() == Ok(extents.len()));
        extents.ok_or_else(|| {
            self.wrong(format!("sizes: {text}"), format!("{count} extents, as dimension says"))
        })
    }

    /// What a field says of each axis, in words without their quotation marks; `None` where the header lacks it.
    ///
    /// # Errors
    /// There are other than `axes` words.
    pub(super) fn each_axis(&self, name: &str, axes: usize) -> Result<Option<Vec<String>>> {
        let Some(text) = self.get(name) else { return Ok(None) };
        let words = words(text);
        match words.len() == axes {
            true => Ok(Some(words)),
            false => Err(self.wrong(format!("{name}: {text}"), format!("{axes} entries, one for each axis"))),
        }
    }

    /// The number type.
    pub(super) fn number_type(&self) -> Result<Dtype> {
        let text = self.required("type")?;
        Ok(match text.to_ascii_lowercase().as_str() {
            "uchar" | "unsigned char" | "uint8" | "uint8_t" => Dtype::U8,
            "signed char" | "int8" | "int8_t" => Dtype::I8,
            "ushort" | "unsigned short" | "unsigned short int" | "uint16" | "uint16_t" => Dtype::U16,
            "short" | "short int" | "signed short" | "signed short int" | "int16" | "int16_t" => Dtype::I16,
            "uint" | "unsigned int" | "uint32" | "uint32_t" => Dtype::U32,
            "int" | "signed int" | "int32" | "int32_t" => Dtype::I32,
            "ulonglong" | "unsigned long long" | "unsigned long long int" | "uint64" | "uint64_t" => {
                Dtype::U64
            }
            "longlong"
            | "long long"
            | "long long int"
            | "signed long long"
            | "signed long long int"
            | "int64"
            | "int64_t" => Dtype::I64,
            "float" => Dtype::F32,
            "double" => Dtype::F64,
            _ => {
                let expected = "uint8, uint16, float or another type of whole or real numbers";
                return Err(self.wrong(format!("type: {text}"), expected));
            }
        })
    }

    /// Whether the bytes of a number are in another order than this machine's.
    pub(super) fn swapped(&self, dtype: Dtype) -> Result<bool> {
        if dtype.size() == 1 {
            return Ok(false);
        }
        let text = self.required("endian")?;
        match text.to_ascii_lowercase().as_str() {
            "little" => Ok(is_foreign(false)),
            "big" => Ok(cfg!(target_endian = "little")),
            _ => Err(self.wrong(format!("endian: {text}"), "little or big")),
        }
    }

    /// Whether the voxels are compressed with gzip; they are raw otherwise.
    pub(super) fn is_gzip(&self) -> Result<bool> {
        let text = self.required("encoding")?;
        match text.to_ascii_lowercase().as_str() {
            "raw" => Ok(false),
            "gzip" | "gz" => Ok(true),
            _ => {
                let expected = "raw or gzip: save it with one of these (unu save -e gzip -f nrrd)";
                Err(self.wrong(format!("encoding: {text}"), expected))
            }
        }
    }

    /// The name of the file with the voxels; `None` where they follow the header.
    pub(super) fn data_file(&self) -> Result<Option<&str>> {
        let Some(name) = self.get("data file") else { return Ok(None) };
        let several = name.split_whitespace().next().is_none_or(|word| word.eq_ignore_ascii_case("LIST"));
        if several || name.contains('%') {
            let found = format!("voxels in several files (data file: {name})");
            return Err(self.wrong(found, "one file: save the volume as .nrrd (unu save -f nrrd)"));
        }
        Ok(Some(name))
    }
}

/// The name of a field as it is looked up: `data file` and `datafile` are one.
fn key(name: &str) -> String {
    name.split_whitespace().collect::<String>().to_lowercase()
}

/// Words between spaces; quotation marks hold together what may have spaces or be empty.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (word, behind) = match rest.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => rest.split_once(char::is_whitespace).unwrap_or((rest, "")),
        };
        words.push(word.to_owned());
        rest = behind.trim_start();
    }
    words
}
