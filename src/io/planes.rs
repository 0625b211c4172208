//! A stack kept as single planes: a folder of 2D images, or a pattern such as `scan/z*.tif`. Planes follow the numbers in
//! their names.
use std::cmp::Ordering;
use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::{Selection, png, tiff};
use crate::error::{Error, Result};
use crate::volume::{Bytes, Origin, Sample, Shape, Store, Volume, for_dtype, owned_bytes};

/// Whether a path names planes: a folder, or a pattern.
pub(super) fn is_planes(path: &Path) -> bool {
    (path.is_dir() && !is_store(path)) || (is_pattern(path) && !path.exists())
}

/// Whether a folder is a store of chunks, not of planes.
fn is_store(path: &Path) -> bool {
    has_ending(path, &["zarr", "n5"])
}

fn is_pattern(path: &Path) -> bool {
    path.file_name()
        .is_some_and(|name| name.as_encoded_bytes().iter().any(|byte| matches!(byte, b'*' | b'?')))
}

/// Whether a folder holds the planes of one stack: several images, the first and the last of which are single planes.
pub(super) fn is_stack(folder: &Path) -> bool {
    let Ok(files) = files(folder) else { return false };
    files.len() > 1 && [&files[0], &files[files.len() - 1]].into_iter().all(|file| is_single(file))
}

fn is_single(file: &Path) -> bool {
    if is_png(file) { true } else { tiff::is_single_plane(file) }
}

/// Whether `file` is one of the planes.
pub(super) fn hold(path: &Path, file: &Path) -> bool {
    let files = files(path).unwrap_or_default();
    files.iter().any(|plane| same_file::is_same_file(plane, file).unwrap_or(false))
}

/// Opens the planes as one volume in memory.
///
/// # Errors
/// There are fewer than two, their names do not count them, one is no 2D image, or they differ in size or type.
pub(super) fn open(path: &Path, selection: &Selection) -> Result<Volume> {
    let files = files(path)?;
    if files.len() < 2 {
        let found = format!("a folder or pattern with {} TIFF or PNG files", files.len());
        let expected = "the planes of one stack, each a 2D image in a file of its own";
        return Err(Error::format(path, found, expected));
    }
    require_one_run(path, &files)?;
    let first = plane(&files[0], selection)?;
    let [_, rows, columns] = first.shape();
    let shape = [files.len(), rows, columns];
    super::check_shape(path, &shape.map(|extent| extent as u64), first.dtype())?;
    let bytes = for_dtype!(first.dtype(), S => all::<S>(&files, &first, selection)?);
    let origin = Origin::file(
        path,
        format!("{} planes of {}", files.len(), first.origin.format),
        first.origin.compression.clone(),
        false,
    );
    let store = Store::contiguous(bytes, 0, shape, first.dtype(), false);
    Ok(Volume { shape, dtype: first.dtype(), spacing: first.spacing(), origin, store })
}

/// The numbers of all planes, which have to be like the first.
fn all<S: Sample>(files: &[PathBuf], first: &Volume, selection: &Selection) -> Result<Bytes> {
    let planes = files.par_iter().map(|file| {
        let plane = like(plane(file, selection)?, first, &files[0])?;
        Ok(plane.read::<S>([0; 3], plane.shape()).into_raw_vec_and_offset().0)
    });
    Ok(owned_bytes(planes.collect::<Result<Vec<Vec<S>>>>()?.concat()))
}

fn plane(file: &Path, selection: &Selection) -> Result<Volume> {
    if is_png(file) { png::open(file, selection) } else { tiff::open_plane(file, selection) }
}

/// The plane, if it has the size and type of the first one.
fn like(plane: Volume, first: &Volume, first_file: &Path) -> Result<Volume> {
    let key = |volume: &Volume| (volume.shape(), volume.dtype());
    if key(&plane) == key(first) {
        return Ok(plane);
    }
    let describe = |volume: &Volume| {
        let [_, rows, columns]: Shape = volume.shape();
        format!("{rows} x {columns} (y, x) {}", volume.dtype())
    };
    let expected = format!("{}, as {}", describe(first), first_file.display());
    Err(Error::format(plane.name(), describe(&plane), expected))
}

/// The images of a folder or pattern, in the order of the numbers in their names.
fn files(path: &Path) -> Result<Vec<PathBuf>> {
    let (folder, pattern) = match path.is_dir() {
        true => (path, None),
        false => (
            path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new(".")),
            path.file_name(),
        ),
    };
    let failed = |source| Error::io(folder, source);
    let entries = fs::read_dir(folder).map_err(failed)?;
    let mut files = Vec::new();
    for entry in entries {
        let file = entry.map_err(failed)?.path();
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let wanted =
            pattern.is_none_or(|pattern| matches(pattern.to_string_lossy().as_bytes(), name.as_bytes()));
        if wanted && !name.starts_with('.') && is_image(&file) && file.is_file() {
            files.push(file);
        }
    }
    files.sort_by(|a, b| by_number(&a.to_string_lossy(), &b.to_string_lossy()));
    Ok(files)
}

fn has_ending(file: &Path, endings: &[&str]) -> bool {
    file.extension().is_some_and(|ending| endings.iter().any(|known| ending.eq_ignore_ascii_case(known)))
}

fn is_png(file: &Path) -> bool {
    has_ending(file, &["png"])
}

fn is_image(file: &Path) -> bool {
    is_png(file) || has_ending(file, &["tif", "tiff"])
}

/// Whether a name fits a pattern, in which `*` stands for any characters and `?` for one. Where a run of characters does not
/// fit behind the last `*`, that takes one more of them.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n, mut star) = (0, 0, None);
    while n < name.len() {
        match (pattern.get(p), star) {
            (Some(b'*'), _) => {
                star = Some((p, n));
                p += 1;
            }
            (Some(&c), _) if c == b'?' || c == name[n] => (p, n) = (p + 1, n + 1),
            (_, Some((at, from))) => {
                star = Some((at, from + 1));
                (p, n) = (at + 1, from + 1);
            }
            _ => return false,
        }
    }
    pattern[p..].iter().all(|&c| c == b'*')
}

/// A name in runs of digits and runs of other characters.
fn parts(name: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = name;
    while let Some(first) = rest.chars().next() {
        let digits = first.is_ascii_digit();
        let end = rest.find(|c: char| c.is_ascii_digit() != digits).unwrap_or(rest.len());
        let (part, behind) = rest.split_at(end);
        parts.push(part);
        rest = behind;
    }
    parts
}

fn is_number(part: &str) -> bool {
    part.starts_with(|c: char| c.is_ascii_digit())
}

/// The order of names in which runs of digits count as numbers, so that `z10` comes behind `z9`.
fn by_number(a: &str, b: &str) -> Ordering {
    // A longer number is the greater one, once its zeros in front are gone.
    fn value(part: &str) -> (usize, &str) {
        let digits = part.trim_start_matches('0');
        (digits.len(), digits)
    }
    let (a_parts, b_parts) = (parts(a), parts(b));
    let mut orders =
        a_parts.iter().zip(&b_parts).map(|(one, other)| match is_number(one) && is_number(other) {
            true => value(one).cmp(&value(other)),
            false => one.cmp(other),
        });
    let first = orders.find(|&order| order != Ordering::Equal);
    first.unwrap_or_else(|| a_parts.len().cmp(&b_parts.len()).then_with(|| a.cmp(b)))
}

/// An error where the names of files do not count the planes of one stack: they may be of two channels, or one of another
/// kind. Numbers that are missing are warned of, as a plane that is not there moves all planes behind it.
fn require_one_run(path: &Path, files: &[PathBuf]) -> Result<()> {
    let stems: Vec<String> = files
        .iter()
        .map(|file| file.file_stem().unwrap_or_default().to_string_lossy().into_owned())
        .collect();
    let names: Vec<Vec<&str>> = stems.iter().map(|stem| parts(stem)).collect();
    let Some(numbers) = counted(&names) else {
        let found = format!(
            "names that do not count one run of planes, {:?} to {:?}",
            stems[0],
            stems[stems.len() - 1]
        );
        let expected =
            "planes of one channel that differ in a number; a pattern such as 'scan/GFP_z*.tif' names them";
        return Err(Error::format(path, found, expected));
    };
    let steps: Vec<u64> = numbers.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).collect();
    let least = steps.iter().min().copied().unwrap_or(1);
    if let Some(gap) = steps.iter().position(|&step| step != least) {
        let (before, after) = (numbers[gap], numbers[gap + 1]);
        tracing::warn!(
            "{}: planes are numbered {before} and then {after}; are some missing?",
            path.display()
        );
    }
    Ok(())
}

/// The last of the numbers in names that is another in each of them, if the names are alike but for their numbers.
fn counted(names: &[Vec<&str>]) -> Option<Vec<u64>> {
    let alike = |one: &str, other: &str| one == other || (is_number(one) && is_number(other));
    let first = &names[0];
    let all_alike = names.iter().all(|name| {
        name.len() == first.len() && name.iter().zip(first).all(|(part, other)| alike(part, other))
    });
    if !all_alike {
        return None;
    }
    (0..first.len()).rev().filter(|&k| is_number(first[k])).find_map(|k| {
        let numbers: Option<Vec<u64>> = names.iter().map(|name| name[k].parse().ok()).collect();
        numbers.filter(|numbers| numbers.iter().collect::<HashSet<_>>().len() == numbers.len())
    })
}
