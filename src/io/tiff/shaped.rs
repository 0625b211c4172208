//! The note that tifffile leaves for arrays without other metadata: their shape and, where they were given, the letters of
//! their axes.
use std::path::Path;

use super::page::Pages;
use super::series::{self, Axes, Plane, Stack};
use crate::error::{Error, Result};
use crate::io::Selection;

#[derive(serde::Deserialize)]
struct Note {
    shape: Vec<usize>,
    axes: Option<String>,
}

/// Whether a text is such a note.
pub(super) fn is_note(text: &str) -> bool {
    text.starts_with('{') && text.contains("\"shape\"")
}

pub(super) fn interpret(pages: &Pages, text: &str, selection: &Selection) -> Result<Stack> {
    let path = pages.file.path;
    let note: Note = serde_json::from_str(text).map_err(|e| {
        Error::format(path, format!("a shape note that cannot be read ({e})"), "{\"shape\": [z, y, x]}")
    })?;
    let first = &pages.list[0];
    let outer = note.outer(path, [first.height, first.width], first.samples)?;
    let announced = outer.iter().map(|axis| axis.1).try_fold(1usize, usize::checked_mul);
    let announced = announced.ok_or_else(|| note.unclear(path))?;
    let outer = match appended(pages, announced)? {
        true => vec![('Z', pages.list.len())],
        false => {
            series::require_planes(pages, announced, "tifffile")?;
            outer
        }
    };
    if note.shape.len() == 2 && pages.list.len() == 1 {
        return Err(series::single_image(path, first));
    }
    stack(path, &note, &outer, first.samples, selection)
}

/// Whether each page is a plane that was appended with a note of its own. Larger arrays of one file are refused.
fn appended(pages: &Pages, announced: usize) -> Result<bool> {
    let count = pages.list.len();
    let notes = pages.list.iter().filter(|page| page.has_note).count();
    if notes <= 1 || announced >= count {
        return Ok(false);
    }
    match announced {
        1 if notes == count => Ok(true),
        _ => {
            let found = format!("{notes} arrays of {announced} planes each, one behind the other");
            Err(Error::format(pages.file.path, found, "one 3D stack: save each in a file of its own"))
        }
    }
}

/// The volume among the outer axes.
fn stack(
    path: &Path,
    note: &Note,
    outer: &[(char, usize)],
    samples: usize,
    selection: &Selection,
) -> Result<Stack> {
    let extent = |letter| outer.iter().find(|axis| axis.0 == letter).map_or(1, |axis| axis.1);
    let repeated = |k: usize| outer[..k].iter().any(|axis| axis.0 == outer[k].0);
    if (0..outer.len()).any(|k| !"ZCT".contains(outer[k].0) || repeated(k))
        || (samples > 1 && extent('C') > 1)
    {
        return Err(note.unclear(path));
    }
    let axes =
        Axes { planes: extent('Z'), channels: extent('C') * samples, times: extent('T'), channel_names: &[] };
    let (channel, time) = axes.choose(path, selection)?;
    let (page_channel, sample) = (channel / samples, channel % samples);
    let plane = |z| {
        let place = |letter| [z, page_channel, time]["ZCT".find(letter).unwrap_or(0)];
        let page = outer.iter().fold(0, |page, &(letter, extent)| page * extent + place(letter));
        Plane { page, sample }
    };
    let planes = (0..axes.planes).map(plane).collect();
    Ok(Stack { planes, spacing: None, flavour: "TIFF" })
}

impl Note {
    /// The axes of more than one position before y and x, outermost first. Without letters a single one is z.
    fn outer(&self, path: &Path, size: [usize; 2], samples: usize) -> Result<Vec<(char, usize)>> {
        let letters = self.axes.as_deref().unwrap_or_default().to_ascii_uppercase();
        let inner = self.inner(size, samples).ok_or_else(|| self.unclear(path))?;
        let named = letters.chars().count() == self.shape.len();
        let letter = |k| if named { letters.chars().nth(k).unwrap_or('Q') } else { 'Q' };
        let mut outer: Vec<(char, usize)> =
            self.shape.iter().enumerate().map(|(k, &extent)| (letter(k), extent)).collect();
        outer.drain(inner..);
        if samples > 1 {
            // Samples that have pages' planes of their own stand before y and x.
            outer.retain(|&(letter, _)| letter != 'S');
        }
        outer.retain(|&(_, extent)| extent != 1);
        if let [(letter @ ('Q' | 'I'), _)] = &mut outer[..] {
            *letter = 'Z';
        }
        Ok(outer)
    }

    /// How many axes lie before those of a page: y, x, and the samples behind them or before them.
    fn inner(&self, [height, width]: [usize; 2], samples: usize) -> Option<usize> {
        let planar = [samples, height, width];
        let chunky = [height, width, samples];
        let ends = |page: &[usize]| self.shape.ends_with(page).then(|| self.shape.len() - page.len());
        match samples {
            1 => ends(&[height, width]).or_else(|| ends(&chunky)),
            _ => ends(&chunky).or_else(|| ends(&planar)),
        }
    }

    fn unclear(&self, path: &Path) -> Error {
        let axes = self.axes.as_ref().map_or(String::new(), |axes| format!(" with the axes {axes}"));
        let found = format!("an array of shape {:?}{axes}", self.shape);
        let expected =
            "a 3D stack, z, y, x, or axes named by letters: metadata={'axes': 'ZCYX'} in tifffile.imwrite";
        Error::format(path, found, expected)
    }
}
