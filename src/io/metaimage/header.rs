//! The header of a MetaImage: lines of `Key = value`, of which the last names where the voxels are.
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::io::bulk;
use crate::io::text;
use crate::volume::Dtype;

/// The key of the last line.
const LAST: &str = "ElementDataFile";

/// The fields of a header, by their keys in small letters.
pub(super) struct Header {
    path: PathBuf,
    fields: BTreeMap<String, String>,
    /// The byte behind the header.
    pub(super) end: usize,
}

impl Header {
    /// Reads the lines up to the one that names the data file.
    ///
    /// # Errors
    /// A line is no field, a field stands twice, or none names the data file.
    pub(super) fn read(path: &Path, bytes: &[u8]) -> Result<Self> {
        let mut header = Header { path: path.to_owned(), fields: BTreeMap::new(), end: 0 };
        for (line, end) in bulk::lines(bytes) {
            if line.trim_ascii().is_empty() {
                continue;
            }
            let Some(key) = header.add(line)? else { continue };
            if key.eq_ignore_ascii_case(LAST) {
                return Ok(Header { end, ..header });
            }
        }
        Err(header.wrong("a header without ElementDataFile", "a complete MetaImage; was it cut short?"))
    }

    /// Adds the field of a line and gives its key; comments may stand more than once.
    fn add(&mut self, line: &[u8]) -> Result<Option<String>> {
        let Some(sign) = line.iter().position(|byte| b"=:".contains(byte)) else {
            let found = match self.fields.is_empty() {
                true => "no MetaImage header",
                false => "a line before ElementDataFile that is no field",
            };
            return Err(self.wrong(found, "lines of the form Key = value"));
        };
        let key = text(&line[..sign]).trim().to_owned();
        let value = text(&line[sign + 1..]).trim().to_owned();
        if key.eq_ignore_ascii_case("Comment") {
            return Ok(None);
        }
        match self.fields.insert(key.to_lowercase(), value) {
            None => Ok(Some(key)),
            Some(_) => Err(self.wrong(format!("{key} twice in the header"), "every field once")),
        }
    }

    /// An error about the file.
    pub(super) fn wrong(&self, found: impl Into<String>, expected: impl Into<String>) -> Error {
        Error::format(&self.path, found, expected)
    }

    /// The value of a field, where the header has it.
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.fields.get(&key.to_lowercase()).map(String::as_str)
    }

    fn required(&self, key: &str) -> Result<&str> {
        let missing = || self.wrong(format!("a header without {key}"), "a complete MetaImage header");
        self.get(key).ok_or_else(missing)
    }

    /// A whole number, where the header has the field.
    pub(super) fn number(&self, key: &str) -> Result<Option<i64>> {
        let Some(text) = self.get(key) else { return Ok(None) };
        let wrong = |_| self.wrong(format!("{key} = {text}"), "a whole number");
        text.parse().map(Some).map_err(wrong)
    }

    /// Whether a field is true; false where the header lacks it.
    pub(super) fn flag(&self, key: &str) -> Result<bool> {
        let text = self.get(key).unwrap_or("False");
        match text.to_ascii_lowercase().as_str() {
            "true" | "t" | "1" => Ok(true),
            "false" | "f" | "0" => Ok(false),
            _ => Err(self.wrong(format!("{key} = {text}"), "True or False")),
        }
    }

    /// The extents, x first.
    pub(super) fn extents(&self) -> Result<Vec<u64>> {
        let (count, text) = (self.required("NDims")?, self.required("DimSize")?);
        let extents: Option<Vec<u64>> = text.split_whitespace().map(|word| word.parse().ok()).collect();
        let extents = extents.filter(|extents| count.parse() == Ok(extents.len()));
        extents
            .ok_or_else(|| self.wrong(format!("DimSize = {text}"), format!("{count} extents, as NDims says")))
    }

    /// The edges of a voxel, x first, where the header has them.
    pub(super) fn edges(&self, axes: usize) -> Result<Option<Vec<f64>>> {
        let keys = ["ElementSpacing", "ElementSize"];
        let Some((key, text)) = keys.iter().find_map(|key| Some((key, self.get(key)?))) else {
            return Ok(None);
        };
        let edges: Option<Vec<f64>> = text.split_whitespace().map(|word| word.parse().ok()).collect();
        let edges = edges.filter(|edges| edges.len() == axes);
        let wrong = || self.wrong(format!("{key} = {text}"), format!("{axes} numbers, one for each axis"));
        edges.map(Some).ok_or_else(wrong)
    }

    /// The number type. `MET_LONG` has 4 bytes, as in ITK.
    pub(super) fn number_type(&self) -> Result<Dtype> {
        let text = self.required("ElementType")?;
        Ok(match text.strip_suffix("_ARRAY").unwrap_or(text) {
            "MET_UCHAR" => Dtype::U8,
            "MET_CHAR" | "MET_ASCII_CHAR" => Dtype::I8,
            "MET_USHORT" => Dtype::U16,
            "MET_SHORT" => Dtype::I16,
            "MET_UINT" | "MET_ULONG" => Dtype::U32,
            "MET_INT" | "MET_LONG" => Dtype::I32,
            "MET_ULONG_LONG" => Dtype::U64,
            "MET_LONG_LONG" => Dtype::I64,
            "MET_FLOAT" => Dtype::F32,
            "MET_DOUBLE" => Dtype::F64,
            _ => {
                let expected = "MET_UCHAR, MET_USHORT, MET_FLOAT or another type of whole or real numbers";
                return Err(self.wrong(format!("ElementType = {text}"), expected));
            }
        })
    }

    /// Whether the most significant byte of a number comes first; two fields may say so.
    pub(super) fn big_endian(&self) -> Result<bool> {
        let keys = ["BinaryDataByteOrderMSB", "ElementByteOrderMSB"];
        let [data, element] = keys.map(|key| self.get(key).map(|_| self.flag(key)).transpose());
        match (data?, element?) {
            (Some(data), Some(element)) if data != element => {
                Err(self.wrong(format!("{} and {} that disagree", keys[0], keys[1]), "one byte order"))
            }
            (data, element) => Ok(data.or(element).unwrap_or(false)),
        }
    }

    /// Where the voxels are: `LOCAL`, or the name of a file.
    pub(super) fn data_file(&self) -> Result<&str> {
        self.required(LAST)
    }
}

/// The name of a number type.
pub(super) fn type_name(dtype: Dtype) -> &'static str {
    match dtype {
        Dtype::U8 => "MET_UCHAR",
        Dtype::I8 => "MET_CHAR",
        Dtype::U16 => "MET_USHORT",
        Dtype::I16 => "MET_SHORT",
        Dtype::U32 => "MET_UINT",
        Dtype::I32 => "MET_INT",
        Dtype::U64 => "MET_ULONG_LONG",
        Dtype::I64 => "MET_LONG_LONG",
        Dtype::F32 => "MET_FLOAT",
        Dtype::F64 => "MET_DOUBLE",
    }
}
