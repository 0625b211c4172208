//! How HDF5 describes a number: the bytes of its datatype message (HDF5 File Format Specification 3.0, IV.A.2.d). The
//! decoding crate keeps no more than the size and the byte order, which is too little for the rarer types.
use std::path::Path;

use crate::error::{Error, Result};
use crate::io::element::{Element, Form, integer};
use crate::io::is_foreign;
use crate::volume::Dtype;

const EXPECTED: &str = "integers of 1, 2, 4 or 8 bytes, or IEEE floating point of 2, 4 or 8";

/// Where sign, exponent and mantissa of a floating-point number lie: bits, exponent's first bit and bits, mantissa's
/// first bit and bits, exponent's bias.
type FloatLayout = (u16, [u8; 4], u32);

const HALF: FloatLayout = (16, [10, 5, 0, 10], 15);
const BRAIN: FloatLayout = (16, [7, 8, 0, 7], 127);
const SINGLE: FloatLayout = (32, [23, 8, 0, 23], 127);
const DOUBLE: FloatLayout = (64, [52, 11, 0, 52], 1023);

/// The element that a datatype message describes. Enumerations are integers; truth values are 0 and 1.
///
/// # Errors
/// The message is of no number, or of one that cannot be read exactly.
pub(super) fn of(place: &Path, message: &[u8]) -> Result<Element> {
    let cut_short = || Error::format(place, "a datatype that is cut short", EXPECTED);
    let head: [u8; 8] = message.get(..8).ok_or_else(cut_short)?.try_into().expect("eight bytes");
    let size = u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize;
    let properties = &message[8..];
    match head[0] & 15 {
        0 => whole(place, &head, size, properties.get(..4).ok_or_else(cut_short)?),
        1 => floating(place, &head, size, properties.get(..12).ok_or_else(cut_short)?),
        8 if is_truth(size, properties) => Ok(Element::plain(Dtype::U8, false)),
        8 if properties.first().is_some_and(|class| class & 15 == 0) => of(place, properties),
        class => {
            let found = format!("elements of {size} bytes of the type {}", class_name(class));
            Err(Error::format(place, found, EXPECTED))
        }
    }
}

/// Whether an enumeration is that of h5py's truth values, one byte FALSE or TRUE.
fn is_truth(size: usize, properties: &[u8]) -> bool {
    let names = |name: &[u8]| properties.windows(name.len()).any(|there| there == name);
    size == 1 && names(b"FALSE\0") && names(b"TRUE\0")
}

fn whole(place: &Path, head: &[u8; 8], size: usize, properties: &[u8]) -> Result<Element> {
    let (swapped, signed) = (is_foreign(head[1] & 1 != 0), head[1] & 8 != 0);
    let (offset, precision) = (number(properties, 0), number(properties, 2));
    let bits = 8 * size as u64;
    let fits = precision > 0 && u64::from(offset) + u64::from(precision) <= bits;
    match integer(size, signed).filter(|_| fits) {
        Some(dtype) if u64::from(precision) == bits => Ok(Element::plain(dtype, swapped)),
        Some(dtype) => {
            let form = Form::Bits { offset: offset.into(), precision: precision.into(), signed };
            Ok(Element { size, dtype, swapped, form })
        }
        None => {
            let found = format!("integers of {precision} bits from bit {offset} on in {size} bytes");
            Err(Error::format(place, found, EXPECTED))
        }
    }
}

fn floating(place: &Path, head: &[u8; 8], size: usize, properties: &[u8]) -> Result<Element> {
    let swapped = is_foreign(head[1] & 1 != 0);
    let bias = u32::from_le_bytes([properties[8], properties[9], properties[10], properties[11]]);
    let parts = [properties[4], properties[5], properties[6], properties[7]];
    let layout = (number(properties, 2), parts, bias);
    // The order of the VAX has bit 6; the highest bit of a mantissa that is not stored is 2 in bits 4 and 5.
    let usual = head[1] & 0x40 == 0
        && (head[1] >> 4) & 3 == 2
        && number(properties, 0) == 0
        && u64::from(head[2]) + 1 == 8 * size as u64;
    match (size, layout) {
        (2, HALF) if usual => Ok(Element::half(Form::Half, swapped)),
        (2, BRAIN) if usual => Ok(Element::half(Form::Brain, swapped)),
        (4, SINGLE) if usual => Ok(Element::plain(Dtype::F32, swapped)),
        (8, DOUBLE) if usual => Ok(Element::plain(Dtype::F64, swapped)),
        _ => {
            let order = if head[1] & 0x40 == 0 { "" } else { " in VAX order" };
            let [_, exponent, _, mantissa] = parts;
            let found = format!(
                "floating point of {size} bytes{order}, not as IEEE lays it out ({exponent} bits of exponent, {mantissa} of mantissa)"
            );
            Err(Error::format(place, found, EXPECTED))
        }
    }
}

fn number(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn class_name(class: u8) -> &'static str {
    match class {
        2 => "time",
        3 => "string",
        4 => "bit field",
        5 => "opaque",
        6 => "compound",
        7 => "reference",
        8 => "enumeration of other than integers",
        9 => "variable length",
        10 => "array",
        11 => "complex",
        _ => "unknown",
    }
}
