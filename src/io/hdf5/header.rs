//! The one thing that the decoding crate drops of a data set's header: the flags of its chunks' layout (HDF5 File Format
//! Specification 3.0, IV.A.1 and IV.A.2.i).
use std::ops::Range;

/// The type of the message that holds the layout.
const LAYOUT: u16 = 8;
/// The type of the message that says where more messages are.
const CONTINUATION: u16 = 16;
/// Runs of messages that are followed, at most; a damaged file may lead round in circles.
const MOST_RUNS: usize = 1024;

/// How the messages of a header are written.
struct Style {
    /// Whether they are those of an object header of version 2.
    new: bool,
    /// Bytes before the body of a message.
    prefix: usize,
    offset_size: usize,
    length_size: usize,
}

/// The flags of a chunked layout of version 4 or later in the object header at `address` of the bytes of an HDF5 file
/// without its user block. Zero for other layouts; `None` where no layout is found.
pub(super) fn chunk_flags(file: &[u8], address: u64, offset_size: u8, length_size: u8) -> Option<u8> {
    let (mut style, first) = first_run(file, usize::try_from(address).ok()?)?;
    (style.offset_size, style.length_size) = (offset_size.into(), length_size.into());
    let mut runs = vec![first];
    let mut at = 0;
    while at < runs.len().min(MOST_RUNS) {
        let mut rest = file.get(runs[at].clone())?;
        while let Some((kind, body)) = next_message(&mut rest, &style) {
            match kind {
                LAYOUT if body.first()? >= &4 && body.get(1) == Some(&2) => return body.get(2).copied(),
                LAYOUT => return Some(0),
                CONTINUATION => runs.push(continued(body, &style)?),
                _ => {}
            }
        }
        at += 1;
    }
    None
}

/// How the messages of the header at `start` are written, and where the first of them are.
fn first_run(file: &[u8], start: usize) -> Option<(Style, Range<usize>)> {
    let header = file.get(start..)?;
    if !header.starts_with(b"OHDR") {
        let length = little_endian(header.get(8..12)?)?;
        let style = Style { new: false, prefix: 8, offset_size: 0, length_size: 0 };
        return Some((style, start + 16..(start + 16).checked_add(length)?));
    }
    let flags = *header.get(5)?;
    let times = if flags & 0x20 != 0 { 16 } else { 0 };
    let limits = if flags & 0x10 != 0 { 4 } else { 0 };
    let at = 6 + times + limits;
    let width = 1 << (flags & 3);
    let length = little_endian(header.get(at..at + width)?)?;
    let prefix = if flags & 4 != 0 { 6 } else { 4 };
    let begin = start + at + width;
    Some((Style { new: true, prefix, offset_size: 0, length_size: 0 }, begin..begin.checked_add(length)?))
}

/// Takes the next message off a run: its type and body.
fn next_message<'a>(rest: &mut &'a [u8], style: &Style) -> Option<(u16, &'a [u8])> {
    let prefix = rest.get(..style.prefix)?;
    let (kind, size) = match style.new {
        true => (u16::from(prefix[0]), [prefix[1], prefix[2]]),
        false => (u16::from_le_bytes([prefix[0], prefix[1]]), [prefix[2], prefix[3]]),
    };
    let end = style.prefix + usize::from(u16::from_le_bytes(size));
    let body = rest.get(style.prefix..end)?;
    *rest = &rest[end..];
    Some((kind, body))
}

/// Where the messages are that a continuation leads to; version 2 has a signature before and a checksum behind them.
fn continued(body: &[u8], style: &Style) -> Option<Range<usize>> {
    let start = little_endian(body.get(..style.offset_size)?)?;
    let length = little_endian(body.get(style.offset_size..style.offset_size + style.length_size)?)?;
    let end = start.checked_add(length)?;
    match style.new {
        true => Some(start.checked_add(4)?..end.checked_sub(4)?),
        false => Some(start..end),
    }
}

fn little_endian(bytes: &[u8]) -> Option<usize> {
    let number = bytes
        .iter()
        .rev()
        .try_fold(0u64, |number, &byte| number.checked_mul(256).map(|shifted| shifted | u64::from(byte)))?;
    usize::try_from(number).ok()
}
