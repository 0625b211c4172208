//! PNG, for single planes: 8 or 16 bits of grey.
use std::path::Path;

use ::png::{BitDepth, ColorType, Decoder, Info, Transformations};

use super::mapped::Mapped;
use super::{Extra, Selection};
use crate::error::{Error, Result};
use crate::volume::{Dtype, Origin, Store, Volume, owned_bytes};

/// Opens an image as a volume of one plane in memory.
pub(super) fn open(path: &Path, selection: &Selection) -> Result<Volume> {
    Extra::channels(1, &[]).choose(path, selection.channel.as_ref(), "")?;
    Extra::times(1).choose(path, selection.time.as_ref(), "")?;
    let map = Mapped::open(path)?;
    let broken = |e: ::png::DecodingError| {
        Error::format(path, format!("a PNG that cannot be read ({e})"), "an intact PNG image")
    };
    let mut decoder = Decoder::new(std::io::Cursor::new(map.as_ref()));
    decoder.set_transformations(Transformations::IDENTITY);
    let mut reader = decoder.read_info().map_err(broken)?;
    let (height, width) = (reader.info().height, reader.info().width);
    let dtype = number_type(path, reader.info())?;
    let shape = super::check_shape(path, &[1, height.into(), width.into()], dtype)?;
    let mut bytes = super::room(path, map.as_ref().len(), shape, dtype)?;
    reader.next_frame(&mut bytes).map_err(broken)?;
    // PNG's numbers have their highest byte first.
    let store = Store::contiguous(owned_bytes(bytes), 0, shape, dtype, super::is_foreign(true));
    Ok(Volume { shape, dtype, spacing: None, origin: Origin::file(path, "PNG", "deflate", false), store })
}

fn number_type(path: &Path, info: &Info) -> Result<Dtype> {
    match (info.color_type, info.bit_depth) {
        (ColorType::Grayscale | ColorType::Indexed, BitDepth::Eight) => Ok(Dtype::U8),
        (ColorType::Grayscale, BitDepth::Sixteen) => Ok(Dtype::U16),
        (color, depth) => {
            let found = format!("a PNG of {color:?} with {} bits", depth as u8);
            Err(Error::format(path, found, "8 or 16 bits of grey: export the membrane channel alone"))
        }
    }
}
