//! What the axes of an NRRD file are, and how long the edges of a voxel are along them.
use std::path::Path;

use super::header::Header;
use crate::error::Result;
use crate::io::raster::{Axis, Kind};
use crate::io::{unit, unstated};
use crate::volume::Spacing;

/// The axes of the numbers, fastest first.
///
/// # Errors
/// The header does not say which of more than three axes are x, y and z.
pub(super) fn axes(header: &Header) -> Result<Vec<Axis>> {
    let extents = header.extents()?;
    let mut kinds = kinds(header, extents.len())?;
    drop_planes(&extents, &mut kinds);
    if let Some(axis) = fourth_domain(&kinds) {
        kinds[axis] = Some(Kind::Time);
    }
    let of_space = kinds.iter().filter(|kind| matches!(kind, None | Some(Kind::Space))).count();
    if of_space > 3 {
        let found = format!("{} axes, of which the header does not say what they are", extents.len());
        return Err(header.wrong(found, "`kinds: domain domain domain time`, or `list` for channels"));
    }
    let axis = |(&extent, kind): (&u64, Option<Kind>)| Axis { extent, kind: kind.unwrap_or(Kind::Space) };
    Ok(extents.iter().zip(kinds).map(axis).collect())
}

/// What the header says that each axis is; `None` where it does not.
fn kinds(header: &Header, axes: usize) -> Result<Vec<Option<Kind>>> {
    let directions = directions(header, axes)?;
    let words = header.each_axis("kinds", axes)?;
    let kind = |axis: usize| {
        let has_direction = directions.as_ref().map(|directions| directions[axis].is_some());
        let word = words.as_ref().map_or("none", |words| &words[axis]);
        match (word.to_ascii_lowercase().as_str(), has_direction) {
            ("time", _) | ("domain", Some(false)) => Some(Kind::Time),
            ("domain" | "space", _) | ("none" | "???", Some(true)) => Some(Kind::Space),
            ("none" | "???", None) => None,
            _ => Some(Kind::Channel),
        }
    };
    Ok((0..axes).map(kind).collect())
}

/// Passes over the slowest axes of one position of which the header says nothing, where there are more than three.
fn drop_planes(extents: &[u64], kinds: &mut [Option<Kind>]) {
    for axis in (0..kinds.len()).rev() {
        let of_space = kinds.iter().filter(|kind| matches!(kind, None | Some(Kind::Space))).count();
        if of_space > 3 && kinds[axis].is_none() && extents[axis] == 1 {
            kinds[axis] = Some(Kind::Channel);
        }
    }
}

/// The slowest of four axes of space, which is time, as ITK has it in a series of volumes.
fn fourth_domain(kinds: &[Option<Kind>]) -> Option<usize> {
    let of_space = |axis: &usize| matches!(kinds[*axis], Some(Kind::Space));
    let domains: Vec<usize> = (0..kinds.len()).filter(of_space).collect();
    (domains.len() == 4 && kinds.iter().all(Option::is_some)).then(|| domains[3])
}

/// The voxel size along the axes of space, z, y, x.
pub(super) fn spacing(path: &Path, header: &Header, axes: &[Axis]) -> Result<Option<Spacing>> {
    let spatial: Vec<usize> = (0..axes.len()).filter(|&axis| axes[axis].kind == Kind::Space).collect();
    let edges = match directions(header, axes.len())? {
        Some(directions) => lengths(header, &directions)?,
        None => spacings(header, axes.len())?,
    };
    let along: Option<Vec<Edge>> = spatial.iter().rev().map(|&axis| edges.get(axis).cloned()).collect();
    let Some(along) = along.and_then(|along| <[Edge; 3]>::try_from(along).ok()) else { return Ok(None) };
    let lengths = along.each_ref().map(|edge| edge.length);
    if along.iter().all(|edge| edge.unit.is_empty()) {
        return Ok(unstated::spacing(path, lengths));
    }
    let units = along.each_ref().map(|edge| unit::micrometres(&edge.unit));
    let [Some(z), Some(y), Some(x)] = units else {
        tracing::warn!("{}: a voxel size in no unit of length is passed over", path.display());
        return Ok(None);
    };
    Ok(Spacing::checked([lengths[0] * z, lengths[1] * y, lengths[2] * x]))
}

/// The edge of a voxel along one axis.
#[derive(Clone)]
struct Edge {
    /// NaN where it is not stated.
    length: f64,
    /// Empty where it is not stated.
    unit: String,
}

/// The edges in the older way, a number for each axis; none where the header has none.
fn spacings(header: &Header, axes: usize) -> Result<Vec<Edge>> {
    let Some(lengths) = header.each_axis("spacings", axes)? else { return Ok(Vec::new()) };
    let units = header.each_axis("units", axes)?.unwrap_or_else(|| vec![String::new(); axes]);
    let edge = |(length, unit): (String, String)| Edge { length: length.parse().unwrap_or(f64::NAN), unit };
    Ok(lengths.into_iter().zip(units).map(edge).collect())
}

/// The edges as lengths of the vectors that say where the axes point; the dimensions of space have units.
fn lengths(header: &Header, directions: &[Option<Vec<f64>>]) -> Result<Vec<Edge>> {
    let dimensions = directions.iter().flatten().map(Vec::len).max().unwrap_or(0);
    let units = header.each_axis("space units", dimensions)?.unwrap_or_default();
    let same = units.windows(2).all(|pair| pair[0] == pair[1]);
    let factor = |dimension: usize| match (same, units.get(dimension)) {
        (false, Some(unit)) => unit::micrometres(unit).unwrap_or(f64::NAN),
        _ => 1.0,
    };
    let unit = match same {
        true => units.first().cloned().unwrap_or_default(),
        false => "um".into(),
    };
    let length = |vector: &Vec<f64>| {
        vector.iter().enumerate().fold(0.0, |sum: f64, (dimension, part)| match *part == 0.0 {
            true => sum,
            false => sum.hypot(part * factor(dimension)),
        })
    };
    let edge = |vector: &Option<Vec<f64>>| vector.as_ref().map_or(f64::NAN, length);
    Ok(directions.iter().map(|vector| Edge { length: edge(vector), unit: unit.clone() }).collect())
}

/// The vectors that say where the axes point, `None` for those that are not of space.
fn directions(header: &Header, axes: usize) -> Result<Option<Vec<Option<Vec<f64>>>>> {
    let Some(text) = header.get("space directions") else { return Ok(None) };
    let wrong = || {
        let expected = format!("{axes} entries, each `none` or a vector as in (0.5,0,0)");
        header.wrong(format!("space directions: {text}"), expected)
    };
    let mut vectors = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (vector, behind) = first_vector(rest).ok_or_else(wrong)?;
        vectors.push(vector);
        rest = behind.trim_start();
    }
    match vectors.len() == axes {
        true => Ok(Some(vectors)),
        false => Err(wrong()),
    }
}

/// The vector, or the word `none`, at the beginning of a text, and what is behind it.
fn first_vector(text: &str) -> Option<(Option<Vec<f64>>, &str)> {
    match text.strip_prefix('(') {
        Some(inner) => {
            let (inner, behind) = inner.split_once(')')?;
            let numbers = inner.split(',').map(|number| number.trim().parse().ok());
            let vector: Vec<f64> = numbers.collect::<Option<_>>()?;
            let points = vector.iter().any(|part| !part.is_nan());
            Some((points.then_some(vector), behind))
        }
        None => {
            let (word, behind) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
            word.eq_ignore_ascii_case("none").then_some((None, behind))
        }
    }
}
