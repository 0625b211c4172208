//! Safetensors: a JSON header with names, types, shapes and byte ranges, then the raw little-endian values.
//! Source: the format's description at <https://github.com/huggingface/safetensors>.
use std::collections::BTreeMap;
use std::path::Path;

use half::{bf16, f16};
use safetensors::tensor::{TensorInfo, TensorView};
use safetensors::{Dtype, SafeTensors};
use serde::Serialize;

use super::{Metadata, Weights, assemble};
use crate::error::{Error, Result};
use crate::network::layout;

/// How kernels are stored. Biases and batch norms are always `f32`: together they are 1 % of the file, and a
/// variance may exceed the range of `f16`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// Half the size; values are rounded to 11 bits.
    F16,
    /// As computed.
    F32,
}

/// Reads the content of a file whose tensors are `f32`, `f16` or `bf16`; `origin` names it in errors.
///
/// # Errors
/// As [`Weights::from_bytes`].
pub fn read(origin: &Path, bytes: &[u8]) -> Result<Weights> {
    let broken =
        |e| Error::format(origin, format!("broken safetensors ({e})"), "a complete safetensors file");
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(broken)?;
    let file = SafeTensors::deserialize(bytes).map_err(broken)?;
    let tensors: BTreeMap<String, TensorView> = file.tensors().into_iter().collect();
    if tensors.contains_key("adam.first") {
        let expected = "a model, such as the run's best.safetensors (train --resume goes on from a state)";
        return Err(Error::format(origin, "the state of a training run", expected));
    }
    let values = assemble(origin, &tensors, TensorView::shape, |name, tensor| decode(origin, name, tensor))?;
    let entries = header.metadata().iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect();
    Ok(Weights { values, metadata: Metadata::from_entries(origin, entries)? })
}

fn decode(origin: &Path, name: &str, tensor: &TensorView) -> Result<Vec<f32>> {
    let pairs = || tensor.data().as_chunks::<2>().0.iter();
    match tensor.dtype() {
        Dtype::F32 => Ok(tensor.data().as_chunks::<4>().0.iter().map(|&b| f32::from_le_bytes(b)).collect()),
        Dtype::F16 => Ok(pairs().map(|&b| f16::from_le_bytes(b).to_f32()).collect()),
        Dtype::BF16 => Ok(pairs().map(|&b| bf16::from_le_bytes(b).to_f32()).collect()),
        other => Err(Error::format(origin, format!("{name} of type {other}"), "F32, F16 or BF16")),
    }
}

/// The header as the format wants it, with sorted keys.
#[derive(Serialize)]
struct Header<'a> {
    #[serde(rename = "__metadata__")]
    metadata: BTreeMap<String, String>,
    #[serde(flatten)]
    tensors: BTreeMap<&'a str, TensorInfo>,
}

/// The bytes of a file. The crate's own writer is not used because it puts metadata in random order.
///
/// # Errors
/// Where a kernel value is too large for `precision`.
pub fn encode(weights: &Weights, precision: Precision) -> Result<Vec<u8>> {
    let counts: Vec<String> = layout::STATISTICS
        .iter()
        .filter_map(|parameter| parameter.name.strip_suffix("running_mean"))
        .map(|module| format!("{module}num_batches_tracked"))
        .collect();
    let mut header = Header { metadata: weights.metadata.entries(), tensors: BTreeMap::new() };
    let mut data = Vec::new();
    // PyTorch insists on these counters although nothing reads them. The widest type goes first, so that every
    // tensor is aligned.
    for name in &counts {
        push(&mut header, &mut data, name, Dtype::I64, &[], &0_i64.to_le_bytes());
    }
    for wide in [true, false] {
        for (parameter, range) in layout::tensors() {
            let dtype = stored_as(parameter.shape, precision);
            if (dtype == Dtype::F32) == wide {
                let bytes = to_bytes(parameter.name, &weights.values[range], dtype)?;
                push(&mut header, &mut data, parameter.name, dtype, parameter.shape, &bytes);
            }
        }
    }
    let mut text = serde_json::to_vec(&header).expect("a header is plain text and numbers");
    text.resize(text.len().next_multiple_of(8), b' ');
    Ok([&(text.len() as u64).to_le_bytes()[..], &text, &data].concat())
}

fn push<'a>(
    header: &mut Header<'a>,
    data: &mut Vec<u8>,
    name: &'a str,
    dtype: Dtype,
    shape: &[usize],
    bytes: &[u8],
) {
    let data_offsets = (data.len(), data.len() + bytes.len());
    header.tensors.insert(name, TensorInfo { dtype, shape: shape.to_vec(), data_offsets });
    data.extend(bytes);
}

fn stored_as(shape: &[usize], precision: Precision) -> Dtype {
    match precision {
        Precision::F16 if shape.len() > 1 => Dtype::F16,
        _ => Dtype::F32,
    }
}

fn to_bytes(name: &str, values: &[f32], dtype: Dtype) -> Result<Vec<u8>> {
    if dtype == Dtype::F32 {
        return Ok(values.iter().flat_map(|v| v.to_le_bytes()).collect());
    }
    let halves: Vec<f16> = values.iter().map(|&v| f16::from_f32(v)).collect();
    match halves.iter().position(|h| !h.is_finite()) {
        None => Ok(halves.iter().flat_map(|h| h.to_le_bytes()).collect()),
        Some(i) => Err(Error::invalid(format!("{name}: {} at element {i} does not fit into f16", values[i]))),
    }
}
