//! LZF, the compression that h5py brings along (filter 32000; format of Marc Lehmann's LibLZF).
use hdf5_reader::error::{Error, Result};

/// The number by which a filter pipeline names it.
pub(super) const FILTER: u16 = 32000;

/// Decompresses a chunk. Each step is a run of literal bytes, or a copy of 3 to 264 bytes that were decompressed before.
///
/// # Errors
/// The bytes end inside a step, or a copy begins before the chunk.
pub(super) fn decompress(mut input: &[u8]) -> Result<Vec<u8>> {
    let mut output = Vec::with_capacity(2 * input.len());
    while let Some((&control, rest)) = input.split_first() {
        input = match control >> 5 {
            0 => literals(rest, usize::from(control) + 1, &mut output)?,
            short => copy(rest, control, usize::from(short), &mut output)?,
        };
    }
    Ok(output)
}

fn literals<'a>(input: &'a [u8], count: usize, output: &mut Vec<u8>) -> Result<&'a [u8]> {
    let (run, rest) = input.split_at_checked(count).ok_or_else(cut_short)?;
    output.extend_from_slice(run);
    Ok(rest)
}

/// A copy whose length, less 2, is `short` or, where that is 7, continues in the next byte; the distance follows.
fn copy<'a>(mut input: &'a [u8], control: u8, short: usize, output: &mut Vec<u8>) -> Result<&'a [u8]> {
    let mut next = || {
        let (&byte, rest) = input.split_first()?;
        input = rest;
        Some(usize::from(byte))
    };
    let more = if short == 7 { next().ok_or_else(cut_short)? } else { 0 };
    let distance = (usize::from(control & 31) << 8) + next().ok_or_else(cut_short)? + 1;
    let start = output.len().checked_sub(distance).ok_or_else(cut_short)?;
    for at in start..start + short + more + 2 {
        // The copy may run into what it writes itself.
        output.push(output[at]);
    }
    Ok(input)
}

fn cut_short() -> Error {
    Error::DecompressionError("LZF data that are cut short or damaged".into())
}
