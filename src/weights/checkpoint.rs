//! PyTorch checkpoints as the authors write them, read without Python.
//!
//! A zip archive with one folder: `data.pkl`, the pickled dict, and `data/<key>`, the flat storages of its
//! tensors, without compression. The dict is a state dict or holds one as `model_state_dict`.
//! Source: PyTorch's `torch/serialization.py`.
use std::collections::BTreeMap;
use std::io::{Cursor, Read};
use std::path::Path;

use half::{bf16, f16};
use zip::{CompressionMethod, ZipArchive};

use super::assemble;
use super::pickle::{self, Found, Kind, Pickle, Storage, Tensor};
use crate::error::{Error, Result};

/// Longest pickle that is run; this network's takes 7 kB.
const MAX_PICKLE_LEN: usize = 1 << 20;

/// Reads the content of a checkpoint into the flat order; `origin` names it in errors.
///
/// # Errors
/// As [`super::Weights::from_bytes`].
pub fn read(origin: &Path, bytes: &[u8]) -> Result<Vec<f32>> {
    let error = |found: String| Error::format(origin, found, "a PyTorch state dict of 3DCellSegNet");
    let mut archive = Archive::open(bytes).map_err(error)?;
    let pickle = archive.pickle().map_err(error)?;
    let tensors = state_dict(&pickle).map_err(error)?;
    assemble(
        origin,
        &tensors,
        |tensor| &tensor.shape,
        |name, tensor| archive.values(tensor).map_err(|found| error(format!("{name}: {found}"))),
    )
}

/// The named tensors, without the prefix `module.` that `DataParallel` puts before all of them.
fn state_dict(pickle: &Pickle) -> Found<BTreeMap<String, &Tensor>> {
    let outer = pickle.items(pickle.root()).ok_or("an object that is no dict")?;
    let inner = outer.iter().find(|(key, _)| *key == "model_state_dict");
    let items = match inner {
        Some(&(_, id)) => pickle.items(id).ok_or("a model_state_dict that is no dict")?,
        None => outer,
    };
    let parallel = items.iter().all(|(name, _)| name.starts_with("module."));
    let mut tensors = BTreeMap::new();
    for (name, id) in items {
        let tensor = pickle.tensor(id).ok_or_else(|| format!("{name}, which is no tensor"))?;
        let name = if parallel { &name["module.".len()..] } else { name };
        tensors.insert(name.to_owned(), tensor);
    }
    Ok(tensors)
}

/// The zip archive of a checkpoint.
struct Archive<'a> {
    zip: ZipArchive<Cursor<&'a [u8]>>,
    /// The folder that holds everything, with its slash.
    folder: String,
}

impl<'a> Archive<'a> {
    fn open(bytes: &'a [u8]) -> Found<Self> {
        let zip = ZipArchive::new(Cursor::new(bytes)).map_err(|e| format!("a broken zip archive ({e})"))?;
        let folder = zip
            .file_names()
            .filter_map(|name| Some(name.ok()?.strip_suffix("data.pkl")?.to_owned()))
            .find(|folder| folder.ends_with('/'))
            .ok_or("a zip archive without data.pkl")?;
        let mut archive = Archive { zip, folder };
        // Written since PyTorch 2.1; older files are little-endian.
        if archive.zip.index_for_name(&format!("{}byteorder", archive.folder)).is_some()
            && archive.entry("byteorder", 16)? != b"little"
        {
            return Err("big-endian values".to_owned());
        }
        Ok(archive)
    }

    fn pickle(&mut self) -> Found<Pickle> {
        pickle::run(&self.entry("data.pkl", MAX_PICKLE_LEN)?)
    }

    /// The content of an entry of at most `max_len` bytes. Memory is bounded by the archive's own length, because
    /// the entry is not compressed.
    fn entry(&mut self, name: &str, max_len: usize) -> Found<Vec<u8>> {
        let path = format!("{}{name}", self.folder);
        let unreadable = |e: &dyn std::fmt::Display| format!("unreadable entry {path} ({e})");
        let mut entry = self.zip.by_name(&path).map_err(|e| unreadable(&e))?;
        if entry.compression() != CompressionMethod::Stored {
            return Err(format!("compressed entry {path}"));
        }
        if entry.size() > max_len as u64 {
            return Err(format!("entry {path} of {} bytes instead of at most {max_len}", entry.size()));
        }
        let mut content = Vec::new();
        entry.read_to_end(&mut content).map_err(|e| unreadable(&e))?;
        Ok(content)
    }

    /// The values of a tensor in the order of its shape.
    fn values(&mut self, tensor: &Tensor) -> Found<Vec<f32>> {
        let Storage { kind, key, len } = &tensor.storage;
        let width = match kind {
            Kind::BFloat16 | Kind::Half => 2,
            Kind::Float => 4,
            Kind::Double => 8,
            Kind::Other(name) => return Err(format!("values of type {name}")),
        };
        let expected = len.checked_mul(width).ok_or_else(|| format!("a storage of {len} values"))?;
        let bytes = self.entry(&format!("data/{key}"), expected)?;
        if bytes.len() != expected {
            return Err(format!("storage {key} of {} bytes instead of {expected}", bytes.len()));
        }
        let indices = indices(tensor).ok_or("values beyond the end of their storage")?;
        Ok(indices.into_iter().map(|i| number(*kind, &bytes[i * width..][..width])).collect())
    }
}

/// Index in the storage of each element of a tensor; `None` where one lies beyond the end. The caller has checked
/// the shape, so the number of elements is small.
fn indices(tensor: &Tensor) -> Option<Vec<usize>> {
    let mut indices = vec![tensor.offset];
    for (&extent, &stride) in tensor.shape.iter().zip(&tensor.strides) {
        let mut finer = Vec::with_capacity(indices.len() * extent);
        for start in indices {
            for step in 0..extent {
                finer.push(start.checked_add(step.checked_mul(stride)?)?);
            }
        }
        indices = finer;
    }
    indices.iter().all(|&i| i < tensor.storage.len).then_some(indices)
}

/// One little-endian value as `f32`.
///
/// # Panics
/// Where `bytes` has another length than a value of this kind: the caller cuts them so.
fn number(kind: Kind, bytes: &[u8]) -> f32 {
    let pair = || [bytes[0], bytes[1]];
    match kind {
        Kind::BFloat16 => bf16::from_le_bytes(pair()).to_f32(),
        Kind::Half => f16::from_le_bytes(pair()).to_f32(),
        Kind::Double => f64::from_le_bytes(bytes.try_into().expect("eight bytes")) as f32,
        Kind::Float | Kind::Other(_) => f32::from_le_bytes(bytes.try_into().expect("four bytes")),
    }
}
