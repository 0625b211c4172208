//! The parts of an OME-XML document that say where the planes of a stack are and how large its voxels are.
use quick_xml::events::{BytesStart, Event};
use quick_xml::{Reader, XmlVersion};

use crate::io::unit::micrometres;

type Xml<T> = Result<T, quick_xml::Error>;

/// What a document says.
#[derive(Default)]
pub(super) struct Document {
    /// The number of this file, where it has one.
    pub(super) uuid: Option<String>,
    /// The file that has the metadata, where this one has but a reference.
    pub(super) companion: Option<String>,
    pub(super) images: Vec<Image>,
}

/// A `Pixels` element.
pub(super) struct Image {
    /// Planes, channels and time points.
    pub(super) sizes: [usize; 3],
    /// Edges of a voxel in micrometres: z, y, x.
    pub(super) edges: [Option<f64>; 3],
    /// The axes of the planes, fastest first: 0 is z, 1 channels, 2 time.
    pub(super) order: [usize; 3],
    /// Names of the channels, empty where they have none.
    pub(super) channels: Vec<String>,
    pub(super) data: Vec<TiffData>,
}

/// A `TiffData` element: pages from one on for planes from one on.
#[derive(Default)]
pub(super) struct TiffData {
    /// The first page, counted from 0.
    pub(super) page: Option<usize>,
    /// The first plane: z, channel, time.
    pub(super) first: [usize; 3],
    pub(super) count: Option<usize>,
    /// The file that holds the pages, by its number and by its name.
    pub(super) uuid: Option<String>,
    pub(super) file: Option<String>,
}

impl TiffData {
    /// Whether it names nothing, which stands for all pages in order.
    pub(super) fn is_empty(&self) -> bool {
        self.page.is_none() && self.count.is_none() && self.first == [0; 3] && self.file.is_none()
    }

    /// Whether both name the same file.
    pub(super) fn is_beside(&self, other: &TiffData) -> bool {
        (&self.uuid, &self.file) == (&other.uuid, &other.file)
    }
}

impl Document {
    /// Reads a document.
    pub(super) fn read(text: &str) -> Xml<Self> {
        let mut reader = Reader::from_str(text.trim_start_matches('\u{feff}'));
        let mut document = Document::default();
        let mut in_uuid = false;
        loop {
            match reader.read_event()? {
                Event::Start(element) => {
                    in_uuid = element.local_name().as_ref() == "UUID";
                    document.enter(&element)?;
                }
                Event::Empty(element) => document.enter(&element)?,
                Event::Text(text) if in_uuid => document.name_file(&text),
                Event::End(_) => in_uuid = false,
                Event::Eof => return Ok(document),
                _ => {}
            }
        }
    }

    fn enter(&mut self, element: &BytesStart) -> Xml<()> {
        let image = self.images.last_mut();
        match (element.local_name().as_ref(), image) {
            ("OME", _) => self.uuid = attribute(element, "UUID")?,
            ("BinaryOnly", _) => self.companion = attribute(element, "MetadataFile")?,
            ("Pixels", _) => self.images.push(Image::read(element)?),
            ("Channel", Some(image)) => image.channels.push(attribute(element, "Name")?.unwrap_or_default()),
            ("TiffData", Some(image)) => image.data.push(TiffData::read(element)?),
            ("UUID", Some(image)) => {
                if let Some(data) = image.data.last_mut() {
                    data.file = attribute(element, "FileName")?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Notes the number of the file that holds the pages named last.
    fn name_file(&mut self, text: &str) {
        let data = self.images.last_mut().and_then(|image| image.data.last_mut());
        if let Some(data) = data.filter(|_| !text.trim().is_empty()) {
            data.uuid = Some(text.trim().to_owned());
        }
    }
}

impl Image {
    fn read(element: &BytesStart) -> Xml<Self> {
        let mut image = Image {
            sizes: [1; 3],
            edges: [None; 3],
            order: [0, 1, 2],
            channels: Vec::new(),
            data: Vec::new(),
        };
        for (size, name) in image.sizes.iter_mut().zip(["SizeZ", "SizeC", "SizeT"]) {
            *size = number(element, name)?.unwrap_or(1).max(1);
        }
        for (edge, axis) in image.edges.iter_mut().zip(["Z", "Y", "X"]) {
            let text = attribute(element, &format!("PhysicalSize{axis}"))?;
            let length = text.and_then(|text| text.trim().parse::<f64>().ok());
            let unit = attribute(element, &format!("PhysicalSize{axis}Unit"))?;
            let unit = unit.map_or(Some(1.0), |unit| micrometres(&unit));
            *edge =
                length.zip(unit).map(|(length, unit)| length * unit).filter(|e| e.is_finite() && *e > 0.0);
        }
        if let Some(order) = attribute(element, "DimensionOrder")?.as_deref().and_then(axis_order) {
            image.order = order;
        }
        Ok(image)
    }
}

/// The axes behind x and y in a DimensionOrder such as `XYZCT`.
fn axis_order(text: &str) -> Option<[usize; 3]> {
    let axes = text.strip_prefix("XY")?;
    let order: Vec<usize> = axes.chars().map(|axis| "ZCT".find(axis)).collect::<Option<_>>()?;
    let order: [usize; 3] = order.try_into().ok()?;
    (0..3).all(|axis| order.contains(&axis)).then_some(order)
}

impl TiffData {
    fn read(element: &BytesStart) -> Xml<Self> {
        let first = |name| Ok::<_, quick_xml::Error>(number(element, name)?.unwrap_or(0));
        Ok(TiffData {
            page: number(element, "IFD")?,
            first: [first("FirstZ")?, first("FirstC")?, first("FirstT")?],
            count: number(element, "PlaneCount")?,
            uuid: None,
            file: None,
        })
    }
}

fn attribute(element: &BytesStart, name: &str) -> Xml<Option<String>> {
    let found = element.try_get_attribute(name)?.map(|a| a.normalized_value(XmlVersion::default()));
    Ok(found.transpose()?.map(|text| text.into_owned()))
}

fn number(element: &BytesStart, name: &str) -> Xml<Option<usize>> {
    Ok(attribute(element, name)?.and_then(|text| text.trim().parse().ok()))
}
