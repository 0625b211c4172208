//! How far the work is: a bar on a terminal, plain lines elsewhere, nothing when asked to be quiet.
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{HumanDuration, ProgressBar, ProgressState, ProgressStyle};

use crate::pipeline::Observer;

/// Seconds between two plain lines.
const INTERVAL: Duration = Duration::from_secs(10);

/// Shows the network's progress over one volume on stderr.
pub struct Progress {
    name: String,
    kind: Kind,
}

enum Kind {
    Bar(ProgressBar),
    Lines(Lines),
    Quiet,
}

impl Progress {
    /// For the volume of this name.
    pub fn new(name: String) -> Self {
        let kind = match (tracing::enabled!(tracing::Level::INFO), std::io::stderr().is_terminal()) {
            (false, _) => Kind::Quiet,
            (true, true) => Kind::Bar(ProgressBar::hidden()),
            (true, false) => Kind::Lines(Lines::new(0)),
        };
        Self { name, kind }
    }
}

impl Observer for Progress {
    fn network_begins(&mut self, voxels: u64) {
        match &mut self.kind {
            Kind::Bar(bar) => *bar = terminal_bar(&self.name, voxels),
            Kind::Lines(lines) => *lines = Lines::new(voxels),
            Kind::Quiet => {}
        }
    }

    fn network_at(&mut self, voxels: u64) {
        match &mut self.kind {
            Kind::Bar(bar) => bar.set_position(voxels),
            Kind::Lines(lines) => {
                if let Some(line) = lines.at(voxels) {
                    tracing::info!("{}: {line}", self.name);
                }
            }
            Kind::Quiet => {}
        }
    }

    fn network_ends(&mut self) {
        if let Kind::Bar(bar) = &self.kind {
            bar.finish_and_clear();
        }
    }
}

fn terminal_bar(name: &str, voxels: u64) -> ProgressBar {
    const TEMPLATE: &str = "{prefix} {wide_bar} {percent:>3} %  {pace}";
    // The mean over the whole run: the network finishes voxels in bursts, from which no pace can be told.
    let pace = |state: &ProgressState, text: &mut dyn std::fmt::Write| {
        // A bar that cannot be drawn is no reason to stop.
        let _ = text.write_str(&pace(state.pos(), state.len().unwrap_or_default(), state.elapsed()));
    };
    let style = ProgressStyle::with_template(TEMPLATE).expect("a template of this file");
    let bar = ProgressBar::new(voxels).with_style(style.with_key("pace", pace));
    bar.set_prefix(name.to_owned());
    bar
}

/// Voxels per second and the time left.
fn pace(done: u64, voxels: u64, elapsed: Duration) -> String {
    if done == 0 {
        return String::new();
    }
    let rate = done as f64 / elapsed.as_secs_f64().max(1e-3);
    let left = Duration::from_secs_f64(voxels.saturating_sub(done) as f64 / rate);
    format!("{:.2} Mvoxel/s, {} left", rate / 1e6, HumanDuration(left))
}

/// Plain lines, one every [`INTERVAL`].
struct Lines {
    voxels: u64,
    start: Instant,
    last: Instant,
}

impl Lines {
    fn new(voxels: u64) -> Self {
        let now = Instant::now();
        Self { voxels, start: now, last: now }
    }

    fn at(&mut self, done: u64) -> Option<String> {
        if self.last.elapsed() < INTERVAL || done == 0 {
            return None;
        }
        self.last = Instant::now();
        let percent = 100 * done / self.voxels;
        Some(format!("{percent} %, {}", pace(done, self.voxels, self.start.elapsed())))
    }
}
