//! A small TIFF writer, tag by tag, for files that no program should write and some do.

/// The values of a tag.
#[derive(Clone)]
pub enum Values {
    Short(Vec<u16>),
    Long(Vec<u32>),
    Text(String),
}

impl Values {
    fn parts(&self) -> (u16, usize, Vec<u8>) {
        match self {
            Values::Short(values) => (3, values.len(), values.iter().flat_map(|v| v.to_le_bytes()).collect()),
            Values::Long(values) => (4, values.len(), values.iter().flat_map(|v| v.to_le_bytes()).collect()),
            Values::Text(text) => (2, text.len() + 1, [text.as_bytes(), &[0]].concat()),
        }
    }
}

pub type Tags = Vec<(u16, Values)>;

pub fn short(value: u16) -> Values {
    Values::Short(vec![value])
}

pub fn without(mut tags: Tags, tag: u16) -> Tags {
    tags.retain(|entry| entry.0 != tag);
    tags
}

pub fn with(tags: Tags, tag: u16, values: Values) -> Tags {
    let mut tags = without(tags, tag);
    tags.push((tag, values));
    tags
}

/// A page: its tags, its strips, and whether their lengths are stated.
pub struct Page {
    pub tags: Tags,
    pub strips: Vec<Vec<u8>>,
    pub lengths: Lengths,
}

#[derive(Clone, Copy, PartialEq)]
pub enum Lengths {
    Stated,
    Zero,
    Absent,
}

pub fn page(tags: Tags, strip: Vec<u8>) -> Page {
    Page { tags, strips: vec![strip], lengths: Lengths::Stated }
}

/// A little-endian file of these pages. An empty strip is left out: offset 0, length 0.
pub fn file(pages: &[Page]) -> Vec<u8> {
    let mut bytes = b"II*\0\0\0\0\0".to_vec();
    let mut link = 4;
    for page in pages {
        let mut offsets = Vec::new();
        for strip in &page.strips {
            offsets.push(if strip.is_empty() { 0 } else { bytes.len() as u32 });
            bytes.extend(strip);
        }
        let mut tags = with(page.tags.clone(), 273, Values::Long(offsets));
        if page.lengths != Lengths::Absent {
            let length = |strip: &Vec<u8>| if page.lengths == Lengths::Zero { 0 } else { strip.len() as u32 };
            tags.push((279, Values::Long(page.strips.iter().map(length).collect())));
        }
        link = directory(&mut bytes, tags, link);
    }
    bytes
}

/// Appends a directory, to which the word at byte `link` will point; returns where its own link is.
fn directory(bytes: &mut Vec<u8>, mut tags: Tags, link: usize) -> usize {
    tags.sort_by_key(|entry| entry.0);
    let mut entries = Vec::new();
    for (tag, values) in &tags {
        let (kind, count, mut raw) = values.parts();
        if raw.len() > 4 {
            let start = bytes.len() as u32;
            bytes.extend(raw);
            raw = start.to_le_bytes().to_vec();
        }
        raw.resize(4, 0);
        entries.extend(tag.to_le_bytes().into_iter().chain(kind.to_le_bytes()));
        entries.extend((count as u32).to_le_bytes().into_iter().chain(raw));
    }
    let start = bytes.len();
    bytes[link..link + 4].copy_from_slice(&(start as u32).to_le_bytes());
    bytes.extend((tags.len() as u16).to_le_bytes());
    bytes.extend(entries);
    bytes.extend([0; 4]);
    bytes.len() - 4
}
