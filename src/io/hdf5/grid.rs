//! Files that keep each channel, time point and resolution of one recording as a data set of its own: BigDataViewer and
//! Imaris. The full resolution alone is offered; the others are read where the user names them.
use std::path::Path;

use hdf5_reader::group::Group;
use hdf5_reader::{Dataset, Hdf5File};

use super::attribute::text_of;
use crate::error::{Error, Result};
use crate::io::spec::Candidate;
use crate::io::unit::micrometres;
use crate::io::{Extra, Selection};
use crate::volume::{Dtype, Shape, Spacing};

/// The programs whose files have such grids of data sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    /// `t00000/s00/0/cells`: time point, setup, level; unsigned numbers of 16 bits that are stored as signed ones.
    BigDataViewer,
    /// `DataSet/ResolutionLevel 0/TimePoint 0/Channel 0/Data`, padded to whole chunks.
    Imaris,
}

/// The place of a data set in such a grid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) family: Family,
    time: usize,
    channel: usize,
    /// 0 for the full resolution.
    pub(super) level: usize,
}

impl Member {
    /// The place that a data set's path tells.
    pub(super) fn of(name: &str) -> Option<Self> {
        let number = |part: &str, before: &str| -> Option<usize> { part.strip_prefix(before)?.parse().ok() };
        let parts: Vec<&str> = name.trim_matches('/').split('/').collect();
        match parts[..] {
            [time, setup, level, "cells"] => Some(Member {
                family: Family::BigDataViewer,
                time: number(time, "t")?,
                channel: number(setup, "s")?,
                level: number(level, "")?,
            }),
            ["DataSet", level, time, channel, "Data"] => Some(Member {
                family: Family::Imaris,
                time: number(time, "TimePoint ")?,
                channel: number(channel, "Channel ")?,
                level: number(level, "ResolutionLevel ")?,
            }),
            _ => None,
        }
    }

    /// What the stored numbers are: BigDataViewer's are unsigned.
    pub(super) fn dtype(&self, stored: Dtype) -> Dtype {
        match (self.family, stored) {
            (Family::BigDataViewer, Dtype::I16) => Dtype::U16,
            _ => stored,
        }
    }

    fn channel_name(&self, file: &Hdf5File) -> String {
        let imaris = || text_of(&file.group(&format!("DataSetInfo/Channel {}", self.channel)).ok()?, "Name");
        match self.family {
            Family::BigDataViewer => format!("s{:02}", self.channel),
            Family::Imaris => imaris().unwrap_or_default(),
        }
    }
}

/// The data set of the selected channel and time point, where all candidates are of one grid; else `None`.
///
/// # Errors
/// There are several channels or time points and none was chosen, or the chosen one is not there.
pub(super) fn choose(
    path: &Path,
    file: &Hdf5File,
    candidates: &[Candidate],
    selection: &Selection,
) -> Result<Option<String>> {
    let members: Option<Vec<Member>> = candidates.iter().map(|there| Member::of(&there.name)).collect();
    let Some(members) = members.filter(|members| !members.is_empty()) else { return Ok(None) };
    let channels = distinct(&members, |member| member.channel);
    let times = distinct(&members, |member| member.time);
    let names: Vec<String> = channels.iter().map(|member| member.channel_name(file)).collect();
    let hint = format!("; its data sets are {} and the like", candidates[0]);
    let channel = Extra::channels(channels.len(), &names).choose(path, selection.channel.as_ref(), &hint)?;
    let time = Extra::times(times.len()).choose(path, selection.time.as_ref(), &hint)?;
    let wanted = (channels[channel].channel, times[time].time);
    let found =
        members.iter().position(|member| (member.channel, member.time) == wanted).ok_or_else(|| {
            let found = format!("no data set of channel {} at time point {}", wanted.0, wanted.1);
            Error::format(path, found, "a channel and a time point that were recorded together")
        })?;
    Ok(Some(candidates[found].name.clone()))
}

/// One member for each number that `key` gives, in the order of the numbers.
fn distinct(members: &[Member], key: impl Fn(&Member) -> usize) -> Vec<Member> {
    let mut distinct = members.to_vec();
    distinct.sort_by_key(&key);
    distinct.dedup_by_key(|member| key(member));
    distinct
}

/// The extents of the image inside an Imaris data set, z, y, x, and the voxel size; the rest of the data set is padding.
///
/// # Errors
/// The extents that the file states are no numbers, or greater than the data set.
pub(super) fn imaris(
    place: &Path,
    file: &Hdf5File,
    name: &str,
    dataset: &Dataset,
) -> Result<Option<(Shape, Option<Spacing>)>> {
    let group = name.trim_matches('/').strip_suffix("/Data").and_then(|group| file.group(group).ok());
    let Some(group) = group else { return Ok(None) };
    let texts = ["ImageSizeZ", "ImageSizeY", "ImageSizeX"].map(|name| text_of(&group, name));
    if texts.iter().all(Option::is_none) {
        return Ok(None);
    }
    let sizes = texts.clone().map(|text| text.and_then(|text| text.trim().parse::<usize>().ok()));
    let [Some(z), Some(y), Some(x)] = sizes else {
        let found = format!("ImageSizeZ, Y and X of {texts:?}");
        return Err(Error::format(place, found, "three numbers of voxels"));
    };
    let (shape, stored) = ([z, y, x], dataset.shape());
    if stored.len() != 3 || (0..3).any(|axis| shape[axis] as u64 > stored[axis]) {
        let found = format!("an image of {z} x {y} x {x} in a data set of {stored:?}");
        return Err(Error::format(place, found, "one that is not greater than its data set"));
    }
    Ok(Some((shape, imaris_spacing(file, shape))))
}

/// The recorded box divided by its voxels.
fn imaris_spacing(file: &Hdf5File, shape: Shape) -> Option<Spacing> {
    let image = file.group("DataSetInfo/Image").ok()?;
    let unit = text_of(&image, "Unit").map_or(Some(1.0), |unit| micrometres(&unit))?;
    let edge = |image: &Group, xyz: usize, voxels: usize| -> Option<f64> {
        let end = |name: &str| text_of(image, &format!("{name}{xyz}"))?.trim().parse::<f64>().ok();
        Some((end("ExtMax")? - end("ExtMin")?) * unit / voxels as f64)
    };
    let [z, y, x] = shape;
    Spacing::checked([edge(&image, 2, z)?, edge(&image, 1, y)?, edge(&image, 0, x)?])
}
