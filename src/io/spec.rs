//! How a volume is named: a path whose ending tells the format, and, after a colon, a data set inside the file.
use std::fmt;
use std::path::{Path, PathBuf};

use super::Role;
use crate::error::{Error, Result};
use crate::volume::Dtype;

/// The formats, told apart by the ending of a file's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Tiff,
    Hdf5,
    Npy,
    Npz,
}

impl Format {
    fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "tif" | "tiff" | "btf" | "tf2" | "tf8" => Some(Format::Tiff),
            "h5" | "hdf5" | "hdf" | "he5" | "ims" => Some(Format::Hdf5),
            "npy" => Some(Format::Npy),
            "npz" => Some(Format::Npz),
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
                Err(Error::format(spec, found, "a name ending in .tif, .tiff, .h5, .hdf5, .npy or .npz"))
            }
        }
    }
}

/// The name of a data set with its file, as the user writes it.
pub(super) fn place(path: &Path, dataset: &str) -> PathBuf {
    let mut place = path.to_owned().into_os_string();
    place.push(format!(":{dataset}"));
    place.into()
}

/// A data set that may be wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    /// The groups that it lies in and its own name, with slashes between.
    pub(super) name: String,
    /// The extents of all its axes.
    pub(super) extents: Vec<u64>,
    pub(super) dtype: Dtype,
    /// Whether it is one volume, without a choice of a channel or time point.
    pub(super) single: bool,
}

impl Candidate {
    /// The name without groups.
    fn last(&self) -> &str {
        self.name.rsplit('/').next().unwrap_or_default()
    }

    /// Whether the name speaks of intensities or labels, which no boundary map is.
    fn is_no_boundary(&self) -> bool {
        let last = self.last().to_lowercase();
        let mut words = last.split(|letter: char| !letter.is_alphanumeric());
        words.any(|word| {
            ["raw", "label", "segment"].iter().any(|other| word.starts_with(other)) || word == "seg"
        })
    }
}

impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let extents: Vec<String> = self.extents.iter().map(u64::to_string).collect();
        write!(f, "{} ({} {})", self.name, extents.join(" x "), self.dtype)
    }
}

/// All candidates with their shapes, for messages.
pub(super) fn listed(candidates: &[Candidate]) -> String {
    let all: Vec<String> = candidates.iter().map(Candidate::to_string).collect();
    all.join(", ")
}

/// Chooses the data set that a role stands for: by its name, alone or inside groups, or as the only one. A boundary map
/// is never one whose name speaks of labels or raw intensities.
pub(super) fn choose(path: &Path, candidates: &[Candidate], role: Role) -> Result<String> {
    let wanted = default_names(role);
    let whole = wanted.iter().find_map(|name| candidates.iter().find(|there| there.name == *name));
    if let Some(chosen) = whole.or_else(|| wanted.iter().find_map(|name| only_one_called(name, candidates))) {
        return Ok(chosen.name.clone());
    }
    match candidates {
        [] => Err(Error::format(path, "no data set of three axes", "a 3D volume: z, y, x")),
        [one] if role != Role::Boundary || !one.is_no_boundary() => Ok(one.name.clone()),
        several => {
            let found = match several {
                [one] => format!("the data set {one} alone"),
                _ => format!("the data sets {}", listed(several)),
            };
            let example = place(path, &several[0].name);
            let expected =
                format!("one called {}, or a choice as in {}", wanted.join(" or "), example.display());
            Err(Error::format(path, found, expected))
        }
    }
}

/// The data set of this name inside a group, where there are not several.
fn only_one_called<'a>(name: &str, candidates: &'a [Candidate]) -> Option<&'a Candidate> {
    let mut called = candidates.iter().filter(|there| there.last() == name);
    called.next().filter(|_| called.next().is_none())
}

/// The names that a role stands for, the likeliest first.
fn default_names(role: Role) -> &'static [&'static str] {
    match role {
        Role::Raw => &["raw"],
        Role::Labels => &["label", "labels", "segmentation"],
        Role::Boundary => {
            &["predictions", "prediction", "boundary", "boundaries", "membrane", "probabilities"]
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
