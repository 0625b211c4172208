//! The options that choose one volume of a file that holds several.
use crate::io::{Pick, Role, Selection};
use crate::train::config::Pair;

/// Which channel and time point of a file are read.
#[derive(clap::Args)]
pub struct SelectionOptions {
    /// The channel to read where a file has several: its number, counted from 0, or its name.
    #[arg(long, value_name = "CHANNEL")]
    channel: Option<Pick>,
    /// The time point to read where a file has several, counted from 0.
    #[arg(long, value_name = "NUMBER")]
    time: Option<Pick>,
}

impl SelectionOptions {
    /// Sets channel and time point of the raw volumes of pairs, where they were given.
    pub(super) fn apply(&self, pairs: &mut [Pair]) {
        for pair in pairs {
            pair.channel = self.channel.clone().or(pair.channel.take());
            pair.time = self.time.clone().or(pair.time.take());
        }
    }

    /// Whether either was given.
    pub(super) fn is_given(&self) -> bool {
        self.channel.is_some() || self.time.is_some()
    }

    /// The volume that is wanted for a role.
    pub(super) fn of(&self, role: Role) -> Selection {
        Selection { role, channel: self.channel.clone(), time: self.time.clone() }
    }
}
