//! Which volume of a file is wanted, where the file holds several.
use std::convert::Infallible;
use std::fmt;
use std::path::Path;
use std::str::FromStr;

use crate::error::{Error, Result};

/// What a file is opened for; decides the default data set of a file that holds several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Intensities (`raw`).
    Raw,
    /// Labels (`label`, `segmentation`).
    Labels,
    /// The probability of membrane (`predictions`, `boundary`); never a data set of labels.
    Boundary,
}

/// One channel or time point, as the user names it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(untagged)]
pub enum Pick {
    /// Counted from 0.
    Number(usize),
    /// By the name that the file's metadata give it.
    Name(String),
}

impl FromStr for Pick {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(text.parse().map_or_else(|_| Pick::Name(text.to_owned()), Pick::Number))
    }
}

impl fmt::Display for Pick {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Pick::Number(number) => write!(f, "{number}"),
            Pick::Name(name) => write!(f, "{name:?}"),
        }
    }
}

/// The volume that is wanted of a file: what it is for and, where there are several, its channel and time point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    /// What the volume is for.
    pub role: Role,
    /// The channel; without one the file has to have a single channel.
    pub channel: Option<Pick>,
    /// The time point; without one the file has to have a single time point.
    pub time: Option<Pick>,
}

impl From<Role> for Selection {
    fn from(role: Role) -> Self {
        Selection { role, channel: None, time: None }
    }
}

/// An axis of a file that is none of a volume's three, along which one position has to be chosen.
pub(super) struct Extra<'a> {
    /// `channel` or `time`: the option that chooses, without its dashes.
    pub(super) option: &'static str,
    /// How a person calls several positions: `channels` or `time points`.
    pub(super) plural: &'static str,
    /// How many positions there are.
    pub(super) count: usize,
    /// Their names, where the file has them; otherwise empty.
    pub(super) names: &'a [String],
}

impl<'a> Extra<'a> {
    pub(super) fn channels(count: usize, names: &'a [String]) -> Self {
        Extra { option: "channel", plural: "channels", count, names }
    }

    pub(super) fn times(count: usize) -> Self {
        Extra { option: "time", plural: "time points", count, names: &[] }
    }

    /// The position that the user chose, or the only one. `hint` is what else a person may have meant.
    ///
    /// # Errors
    /// There are several and none was chosen, or the chosen one is not there.
    pub(super) fn choose(&self, path: &Path, pick: Option<&Pick>, hint: &str) -> Result<usize> {
        let found = match pick {
            None if self.count == 1 => return Ok(0),
            None => format!("{} {}{}", self.count, self.plural, self.listed()),
            Some(pick) => match self.position(pick) {
                Some(position) => return Ok(position),
                None => {
                    format!("no {} {pick} among {} {}{}", self.option, self.count, self.plural, self.listed())
                }
            },
        };
        let last = self.count.saturating_sub(1);
        Err(Error::format(path, found, format!("a choice: --{} NUMBER, from 0 to {last}{hint}", self.option)))
    }

    fn position(&self, pick: &Pick) -> Option<usize> {
        // Of two with one name the user has to choose by number.
        let called = |name: &str| {
            let names = self.names.iter().take(self.count);
            let mut alike = names.enumerate().filter(|(_, there)| there.eq_ignore_ascii_case(name));
            alike.next().filter(|_| alike.next().is_none()).map(|(position, _)| position)
        };
        match pick {
            Pick::Number(number) if *number < self.count => Some(*number),
            Pick::Number(number) => called(&number.to_string()),
            Pick::Name(name) => called(name),
        }
    }

    /// The names in brackets, with their numbers.
    fn listed(&self) -> String {
        if self.names.iter().all(String::is_empty) {
            return String::new();
        }
        let named: Vec<String> =
            self.names.iter().enumerate().map(|(number, name)| format!("{number} {name}")).collect();
        format!(" ({})", named.join(", "))
    }
}
