//! How a volume is named: a path whose ending tells the format, and, after a colon, a data set inside the file.
use std::path::{Path, PathBuf};

use super::Role;
use crate::error::{Error, Result};

/// The formats, told apart by the ending of a file's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Tiff,
    Hdf5,
    Npy,
    Npz,
    MetaImage,
    Nrrd,
}

impl Format {
    fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "tif" | "tiff" | "btf" | "tf2" | "tf8" => Some(Format::Tiff),
            "h5" | "hdf5" | "hdf" | "he5" => Some(Format::Hdf5),
            "npy" => Some(Format::Npy),
            "npz" => Some(Format::Npz),
            "mha" | "mhd" => Some(Format::MetaImage),
            "nrrd" | "nhdr" => Some(Format::Nrrd),
            _ => None,
        }
    }

    fn holds_several(self) -> bool {
        matches!(self, Format::Hdf5 | Format::Npz)
    }
}

/// A file and, where the user named one, the data set inside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Spec {
    pub(super) path: PathBuf,
    pub(super) dataset: Option<String>,
    pub(super) format: Format,
}

impl Spec {
    /// Takes `file.h5:dataset` apart. A colon parts them only behind the ending of a format that holds several data
    /// sets, so that `C:\data\cells.h5` stays whole.
    pub(super) fn parse(spec: &Path) -> Result<Self> {
        let text = spec.to_str().unwrap_or_default();
        for (colon, _) in text.match_indices(':') {
            let (path, dataset) = (Path::new(&text[..colon]), &text[colon + 1..]);
            if let Some(format) = Format::of(path).filter(|format| format.holds_several()) {
                let name = dataset.trim_matches('/');
                if name.is_empty() {
                    return Err(Error::format(spec, "no name after the colon", "the name of a data set"));
                }
                return Ok(Spec { path: path.into(), dataset: Some(name.into()), format });
            }
        }
        match Format::of(spec) {
            Some(format) => Ok(Spec { path: spec.to_owned(), dataset: None, format }),
            None => {
                let found = match spec.extension() {
                    Some(ending) => format!("the unknown ending .{}", ending.display()),
                    None => "a name without an ending".into(),
                };
                Err(Error::format(
                    spec,
                    found,
                    "a name ending in .tif, .tiff, .h5, .hdf5, .npy, .npz, .mha or .nrrd",
                ))
            }
        }
    }

    /// An error where the ending is that of a header which has its voxels in another file; such are read, not written.
    pub(super) fn require_one_file(&self) -> Result<()> {
        let ending = self.path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        let whole = match ending.as_str() {
            "mhd" => "mha",
            "nhdr" => "nrrd",
            _ => return Ok(()),
        };
        let found = format!("the ending .{ending}, of a header with its voxels in another file");
        Err(Error::format(&self.path, found, format!("the ending .{whole}, of one file with both")))
    }
}

/// The name of a data set with its file, as the user writes it.
pub(super) fn place(path: &Path, dataset: &str) -> PathBuf {
    let mut place = path.to_owned().into_os_string();
    place.push(format!(":{dataset}"));
    place.into()
}

/// Chooses the data set that a role stands for among those of three axes: by its name, or as the only one.
pub(super) fn choose(path: &Path, volumes: &[String], role: Role) -> Result<String> {
    let wanted: &[&str] = match role {
        Role::Raw => &["raw"],
        Role::Labels => &["label", "labels", "segmentation"],
        Role::Boundary => {
            &["predictions", "prediction", "boundary", "boundaries", "membrane", "probabilities"]
        }
    };
    let named = wanted.iter().find_map(|name| volumes.iter().find(|volume| volume == name));
    match (named, volumes) {
        (Some(name), _) | (None, [name]) => Ok(name.clone()),
        (None, []) => Err(Error::format(path, "no data set of three axes", "a 3D volume: z, y, x")),
        (None, several) => {
            let found = format!("the data sets {}", several.join(", "));
            let expected =
                format!("{}, or a choice as in {}:{}", wanted.join(" or "), path.display(), several[0]);
            Err(Error::format(path, found, expected))
        }
    }
}

/// The name under which a volume is written where the user gave none.
pub(super) fn default_name(role: Role) -> &'static str {
    match role {
        Role::Raw => "raw",
        Role::Labels => "label",
        Role::Boundary => "predictions",
    }
}
