//! The weights of a network, and their files.
//!
//! Two kinds of files are understood, told apart by their content: safetensors with the authors' parameter
//! names ([`safetensors`]), the program's own format, and PyTorch checkpoints as the authors write them
//! ([`checkpoint`]). Whatever the file, a [`Weights`] is complete: every tensor is there with the network's
//! shape, every value is finite and no variance is negative.
pub mod checkpoint;
pub mod metadata;
mod pickle;
pub mod safetensors;

use std::collections::BTreeMap;
use std::path::Path;

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::error::{Error, Result};
use crate::io::aside;
use crate::network::layout::{self, Parameter};

pub use metadata::Metadata;
pub use safetensors::Precision;

/// Largest model file that is read: fifty times the size of this network, small beside a machine's memory.
const MAX_FILE_LEN: u64 = 256 << 20;

/// All parameters and statistics of one network, flat, in the order of [`crate::network::layout`].
#[derive(Clone, Debug, PartialEq)]
pub struct Weights {
    /// [`crate::network::layout::total_len`] values.
    pub values: Vec<f32>,
    /// What the model expects and where it comes from.
    pub metadata: Metadata,
}

impl Weights {
    /// The tensor of this name.
    ///
    /// # Panics
    /// Where the network has no such tensor: names are the program's own.
    pub fn get(&self, name: &str) -> &[f32] {
        let range = layout::range_of(name).unwrap_or_else(|| panic!("no tensor {name}"));
        &self.values[range]
    }

    /// Reads a safetensors file or a PyTorch checkpoint.
    ///
    /// # Errors
    /// Where the file cannot be read, or does not hold this network's weights: see [`Weights::from_bytes`].
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let len = std::fs::metadata(path).map_err(|e| Error::io(path, e))?.len();
        if len > MAX_FILE_LEN {
            return Err(Error::format(
                path,
                format!("{len} bytes"),
                format!("a model file of at most {MAX_FILE_LEN}"),
            ));
        }
        Self::from_bytes(path, &std::fs::read(path).map_err(|e| Error::io(path, e))?)
    }

    /// Reads the content of a safetensors file or a PyTorch checkpoint; `origin` names it in errors.
    ///
    /// # Errors
    /// Where the content is corrupt, cut short or of another kind; where a tensor is missing, unexpected or of
    /// another shape; where a value is not finite or a variance negative.
    pub fn from_bytes(origin: impl AsRef<Path>, bytes: &[u8]) -> Result<Self> {
        let origin = origin.as_ref();
        match bytes {
            [b'P', b'K', 3, 4, ..] => {
                let values = checkpoint::read(origin, bytes)?;
                Ok(Weights { values, metadata: Metadata::default() })
            }
            [0x80, 2, ..] => Err(Error::format(
                origin,
                "a checkpoint in PyTorch's legacy format (before 1.6)",
                "one saved again by torch.save of PyTorch 1.6 or later, or safetensors",
            )),
            [_, _, _, _, _, _, _, _, b'{', ..] => safetensors::read(origin, bytes),
            _ => Err(Error::format(
                origin,
                format!("{} bytes that are no model", bytes.len()),
                "safetensors or a PyTorch checkpoint",
            )),
        }
    }

    /// Writes a safetensors file that PyTorch's `load_state_dict` accepts. The file appears complete or not at
    /// all; equal weights give equal bytes.
    ///
    /// # Errors
    /// Where the file cannot be written, or a value is too large for `precision`.
    pub fn save(&self, path: impl AsRef<Path>, precision: Precision) -> Result<()> {
        aside::write(path.as_ref(), &safetensors::encode(self, precision)?)
    }

    /// Weights before training, as PyTorch initialises this network: convolutions and their biases uniform in
    /// plus or minus 1/sqrt(fan in), batch norms as the identity. The same seed gives the same weights everywhere.
    pub fn initial(seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut values = Vec::with_capacity(layout::total_len());
        let mut bound = 0.0;
        for (parameter, _) in layout::tensors() {
            match constant(parameter) {
                Some(value) => values.extend(std::iter::repeat_n(value, parameter.len())),
                None => {
                    // A bias follows its kernel and shares its bound.
                    bound = kernel_bound(parameter).unwrap_or(bound);
                    values.extend((0..parameter.len()).map(|_| uniform(&mut rng, bound)));
                }
            }
        }
        Weights { values, metadata: Metadata::default() }
    }
}

/// The value that a batch norm starts from; `None` for the tensors of a convolution.
fn constant(parameter: &Parameter) -> Option<f32> {
    let (module, kind) = parameter.name.rsplit_once('.')?;
    let normalises = module.contains("norm");
    match kind {
        "weight" | "running_var" if normalises => Some(1.0),
        "bias" | "running_mean" if normalises => Some(0.0),
        _ => None,
    }
}

/// 1/sqrt(fan in) of a convolution's kernel: `kaiming_uniform_` with a = sqrt(5). PyTorch counts the fan in over
/// all but the first axis, for transposed convolutions too.
fn kernel_bound(parameter: &Parameter) -> Option<f32> {
    let fan_in: usize = parameter.shape[1..].iter().product();
    (parameter.shape.len() > 1).then(|| 1.0 / (fan_in as f32).sqrt())
}

/// Uniform in [-bound, bound).
fn uniform(rng: &mut impl Rng, bound: f32) -> f32 {
    bound * (2.0 * rng.random::<f32>() - 1.0)
}

/// Puts the tensors that a file offers into the flat order, after checking that they are this network's.
///
/// `shape` gives a tensor's shape, `read` its values; `read` is only called where the shape is right.
fn assemble<T>(
    origin: &Path,
    tensors: &BTreeMap<String, T>,
    shape: impl Fn(&T) -> &[usize],
    mut read: impl FnMut(&str, &T) -> Result<Vec<f32>>,
) -> Result<Vec<f32>> {
    check_names(origin, tensors)?;
    let mut values = Vec::with_capacity(layout::total_len());
    for (parameter, _) in layout::tensors() {
        let tensor = &tensors[parameter.name];
        if shape(tensor) != parameter.shape {
            return Err(Error::format(
                origin,
                format!("{} of shape {:?}", parameter.name, shape(tensor)),
                format!("shape {:?}", parameter.shape),
            ));
        }
        let data = read(parameter.name, tensor)?;
        check_values(origin, parameter.name, &data)?;
        values.extend(data);
    }
    Ok(values)
}

/// Whether PyTorch counts batches under this name: a number that the network does not use.
fn is_batch_count(name: &str) -> bool {
    name.strip_suffix("num_batches_tracked")
        .is_some_and(|module| layout::range_of(&format!("{module}running_mean")).is_some())
}

/// All of the network's tensors and no others.
fn check_names<T>(origin: &Path, tensors: &BTreeMap<String, T>) -> Result<()> {
    let missing: Vec<&str> = layout::tensors()
        .map(|(parameter, _)| parameter.name)
        .filter(|&n| !tensors.contains_key(n))
        .collect();
    let unexpected: Vec<&str> = tensors
        .keys()
        .map(String::as_str)
        .filter(|name| layout::range_of(name).is_none() && !is_batch_count(name))
        .collect();
    if missing.is_empty() && unexpected.is_empty() {
        return Ok(());
    }
    let mut found = Vec::new();
    for (what, names) in [("missing", &missing), ("unexpected", &unexpected)] {
        if !names.is_empty() {
            found.push(format!("{} {what} tensors ({})", names.len(), names.join(", ")));
        }
    }
    Err(Error::format(origin, found.join(" and "), "the tensors of 3DCellSegNet"))
}

/// Finite values, and variances that are not negative.
fn check_values(origin: &Path, name: &str, values: &[f32]) -> Result<()> {
    let is_variance = name.ends_with("running_var");
    match values.iter().position(|v| !v.is_finite() || is_variance && *v < 0.0) {
        None => Ok(()),
        Some(i) => Err(Error::format(
            origin,
            format!("{} at element {i} of {name}", values[i]),
            if is_variance { "finite variances, not negative" } else { "finite values" },
        )),
    }
}
