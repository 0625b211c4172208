//! Which axes of an array are a volume's z, y and x, and where along its others the wanted volume lies: for the formats
//! whose arrays may have four or five axes.
use std::path::Path;

use super::{Extra, Selection};
use crate::error::{Error, Result};

/// Arrays of more axes than this are refused.
const MOST: usize = 5;
/// A longer axis that no one names is not taken for the channels.
const MOST_CHANNELS: u64 = 16;

/// What an axis of an array runs along, where the file states it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Axis {
    Z,
    Y,
    X,
    Channel,
    Time,
    /// Anything else; only an extent of 1 is of use.
    Other,
}

impl Axis {
    /// The axis that a file calls by a letter or a word.
    pub(super) fn named(name: &str) -> Self {
        match name.trim().to_lowercase().as_str() {
            "z" | "depth" => Axis::Z,
            "y" | "height" => Axis::Y,
            "x" | "width" => Axis::X,
            "c" | "channel" | "channels" => Axis::Channel,
            "t" | "time" => Axis::Time,
            _ => Axis::Other,
        }
    }

    fn letter(self) -> &'static str {
        match self {
            Axis::Z => "z",
            Axis::Y => "y",
            Axis::X => "x",
            Axis::Channel => "c",
            Axis::Time => "t",
            Axis::Other => "?",
        }
    }
}

/// The axes of an array, sorted out. Each number is the position of an axis in the array's shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Axes {
    /// Where z, y and x are.
    pub(super) zyx: [usize; 3],
    channel: Option<usize>,
    time: Option<usize>,
    /// Whether nothing but the extents tells which axis the channels have.
    guessed: bool,
}

/// One volume of an array: the position along each axis, 0 along those of the volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cut {
    pub(super) zyx: [usize; 3],
    pub(super) position: Vec<u64>,
}

impl Axes {
    /// Sorts the axes of an array of these extents; `stated` is what the file says of each.
    ///
    /// # Errors
    /// Three of the axes cannot be z, y and x, or another than those of channels and time is longer than 1.
    pub(super) fn of(place: &Path, extents: &[u64], stated: Option<&[Axis]>) -> Result<Self> {
        let stated = stated.filter(|axes| {
            axes.len() == extents.len() && axes.iter().any(|axis| matches!(axis, Axis::Z | Axis::Y | Axis::X))
        });
        let axes = match stated {
            Some(stated) if extents.len() <= MOST => Self::stated(extents, stated),
            None if extents.len() <= MOST => Self::guessed(extents),
            _ => None,
        };
        axes.ok_or_else(|| {
            let found = format!("an array of {}", described(extents, stated));
            Error::format(
                place,
                found,
                "a 3D volume: z, y, x, with at most an axis of channels and one of time",
            )
        })
    }

    fn stated(extents: &[u64], stated: &[Axis]) -> Option<Self> {
        let all = |wanted: Axis| (0..stated.len()).filter(move |&axis| stated[axis] == wanted);
        let one = |wanted| all(wanted).next().filter(|_| all(wanted).count() == 1);
        let zyx = [one(Axis::Z)?, one(Axis::Y)?, one(Axis::X)?];
        let (channel, time) = (one(Axis::Channel), one(Axis::Time));
        let known = |axis: usize| zyx.contains(&axis) || channel == Some(axis) || time == Some(axis);
        let rest = (0..extents.len()).all(|axis| known(axis) || extents[axis] == 1);
        rest.then_some(Axes { zyx, channel, time, guessed: false })
    }

    /// Drops extents of 1 at both ends. Of four axes that are left, the first has the channels where it is shorter than
    /// the last, as PlantSeg and pytorch-3dunet write them; else the last has. More than [`MOST_CHANNELS`] are none.
    fn guessed(extents: &[u64]) -> Option<Self> {
        let (mut start, mut end) = (0, extents.len());
        while end - start > 3 {
            match (extents[start], extents[end - 1]) {
                (_, 1) => end -= 1,
                (1, _) => start += 1,
                _ => break,
            }
        }
        let channel = match end - start {
            3 => None,
            4 if extents[start].min(extents[end - 1]) > MOST_CHANNELS => return None,
            4 if extents[start] < extents[end - 1] => Some(start),
            4 => Some(end - 1),
            _ => return None,
        };
        let first = if channel == Some(start) { start + 1 } else { start };
        let zyx = [first, first + 1, first + 2];
        Some(Axes { zyx, channel, time: None, guessed: channel.is_some() })
    }

    /// Whether the array is one volume, without a choice of a channel or time point.
    pub(super) fn is_single(&self, extents: &[u64]) -> bool {
        [self.channel, self.time].into_iter().flatten().all(|axis| extents[axis] == 1)
    }

    /// The volume that the selection names.
    ///
    /// # Errors
    /// There are several channels or time points and none was chosen, or the chosen one is not there.
    pub(super) fn choose(&self, place: &Path, extents: &[u64], selection: &Selection) -> Result<Cut> {
        let count = |axis: Option<usize>| axis.map_or(1, |axis| usize::try_from(extents[axis]).unwrap_or(0));
        let hint = match extents.len() {
            3 => String::new(),
            _ => format!("; it is an array of {}", described(extents, self.letters(extents).as_deref())),
        };
        let channels = Extra::channels(count(self.channel), &[]);
        let channel = channels.choose(place, selection.channel.as_ref(), &hint)?;
        let time = Extra::times(count(self.time)).choose(place, selection.time.as_ref(), &hint)?;
        if self.guessed {
            let which = if self.channel < Some(self.zyx[0]) { "first" } else { "last" };
            tracing::info!("{}: the {which} axis of {extents:?} is taken for the channels", place.display());
        }
        let mut position = vec![0; extents.len()];
        for (axis, chosen) in [(self.channel, channel), (self.time, time)] {
            axis.into_iter().for_each(|axis| position[axis] = chosen as u64);
        }
        Ok(Cut { zyx: self.zyx, position })
    }

    /// What each axis was found to be.
    fn letters(&self, extents: &[u64]) -> Option<Vec<Axis>> {
        let mut axes = vec![Axis::Other; extents.len()];
        let known = [Some(self.zyx[0]), Some(self.zyx[1]), Some(self.zyx[2]), self.channel, self.time];
        for (axis, kind) in known.into_iter().zip([Axis::Z, Axis::Y, Axis::X, Axis::Channel, Axis::Time]) {
            axis.into_iter().for_each(|axis| axes[axis] = kind);
        }
        Some(axes)
    }
}

impl Cut {
    /// All of an array of the axes z, y, x.
    pub(super) fn whole() -> Self {
        Cut { zyx: [0, 1, 2], position: vec![0; 3] }
    }

    /// The extents along z, y and x.
    pub(super) fn extents(&self, extents: &[u64]) -> [u64; 3] {
        self.zyx.map(|axis| extents[axis])
    }
}

/// The axes of an array for messages: their number, and extents with names.
fn described(extents: &[u64], axes: Option<&[Axis]>) -> String {
    if extents.is_empty() {
        return "no axes".into();
    }
    let numbers: Vec<String> = extents.iter().map(u64::to_string).collect();
    let letters: Vec<&str> = axes.unwrap_or_default().iter().map(|axis| axis.letter()).collect();
    let named = if letters.is_empty() { String::new() } else { format!(" ({})", letters.join(", ")) };
    format!("{} axes, {}{named}", extents.len(), numbers.join(" x "))
}
