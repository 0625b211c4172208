//! OME-TIFF: an XML document in the first page names axes and voxel size.
use std::path::Path;

use quick_xml::events::{BytesStart, Event};
use quick_xml::{Reader, XmlVersion};

use super::Stack;
use super::meta::Axes;
use crate::error::{Error, Result};
use crate::io::unit::micrometres;
use crate::volume::Spacing;

/// The attributes of the `Pixels` element that matter here.
#[derive(Default)]
struct Pixels {
    sizes: [Option<u64>; 3],
    edges: [Option<f64>; 3],
}

pub(super) fn interpret(path: &Path, text: &str) -> Result<Stack> {
    let images = pixels(text).map_err(|e| {
        Error::format(path, format!("OME metadata that cannot be read ({e})"), "well-formed XML")
    })?;
    let [image] = &images[..] else {
        let found = format!("{} images in its OME metadata", images.len());
        return Err(Error::format(path, found, "one: save the stack alone"));
    };
    let [planes, channels, times] = image.sizes.map(|size| size.unwrap_or(1));
    Axes { planes, channels, times }.require_one_volume(path)?;
    let spacing = match image.edges {
        [None, None, None] | [_, None, None] => None,
        [z, y, x] => {
            let across = x.or(y).unwrap_or(1.0);
            Spacing::checked([z, y, x].map(|edge| edge.unwrap_or(across)))
        }
    };
    Ok(Stack { planes: planes as usize, spacing, flavour: "OME-TIFF" })
}

fn pixels(text: &str) -> Result<Vec<Pixels>, quick_xml::Error> {
    let mut reader = Reader::from_str(text);
    let mut images = Vec::new();
    loop {
        match reader.read_event()? {
            Event::Start(element) | Event::Empty(element) if element.local_name().as_ref() == "Pixels" => {
                images.push(Pixels::read(&element)?);
            }
            Event::Eof => return Ok(images),
            _ => {}
        }
    }
}

impl Pixels {
    fn read(element: &BytesStart) -> Result<Self, quick_xml::Error> {
        let attribute = |name: &str| -> Result<Option<String>, quick_xml::Error> {
            let found = element.try_get_attribute(name)?.map(|a| a.normalized_value(XmlVersion::default()));
            Ok(found.transpose()?.map(|text| text.into_owned()))
        };
        let mut pixels = Pixels::default();
        for (size, name) in pixels.sizes.iter_mut().zip(["SizeZ", "SizeC", "SizeT"]) {
            *size = attribute(name)?.and_then(|text| text.parse().ok());
        }
        for (edge, axis) in pixels.edges.iter_mut().zip(["Z", "Y", "X"]) {
            let length = attribute(&format!("PhysicalSize{axis}"))?.and_then(|text| text.parse::<f64>().ok());
            let unit = attribute(&format!("PhysicalSize{axis}Unit"))?;
            let unit = unit.map_or(Some(1.0), |unit| micrometres(&unit));
            *edge =
                length.zip(unit).map(|(length, unit)| length * unit).filter(|&e| e.is_finite() && e > 0.0);
        }
        Ok(pixels)
    }
}
