//! The command line: one file per subcommand.
mod bench;
pub mod cell_options;
mod cluster;
mod convert;
mod demo;
mod evaluate;
mod info;
mod progress;
mod report;
mod segment;
mod selection;
mod selftest;
mod synthesize;
mod train;

use std::num::NonZeroUsize;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

use crate::error::{Error, Result};
use crate::io::aside;
use crate::volume::Shape;

/// From a 3D microscopy volume of cell membranes to one label per cell.
#[derive(Parser)]
#[command(name = "tascan", version, about, propagate_version = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
    /// More about what happens (twice for still more).
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    /// Errors only.
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
    /// Threads to compute with; by default one for each core. No result depends on it.
    #[arg(long, global = true, value_name = "NUMBER")]
    threads: Option<NonZeroUsize>,
}

#[derive(Subcommand)]
enum Command {
    Demo(demo::Args),
    Segment(segment::Args),
    Cluster(cluster::Args),
    Evaluate(evaluate::Args),
    Synthesize(synthesize::Args),
    Train(train::Args),
    Info(info::Args),
    Convert(convert::Args),
    Selftest(selftest::Args),
    Bench(bench::Args),
}

/// Runs one subcommand; an error goes to stderr and makes the exit status 1.
pub fn run(cli: Cli) -> ExitCode {
    end_with_the_reader();
    log_to_stderr(cli.verbose, cli.quiet);
    start_threads(cli.threads);
    aside::remove_on_interrupt();
    let done = match cli.command {
        Command::Demo(args) => demo::run(args),
        Command::Segment(args) => segment::run(args),
        Command::Cluster(args) => cluster::run(args),
        Command::Evaluate(args) => evaluate::run(args),
        Command::Synthesize(args) => synthesize::run(args),
        Command::Train(args) => train::run(args),
        Command::Info(args) => info::run(args),
        Command::Convert(args) => convert::run(args),
        Command::Selftest(args) => selftest::run(args),
        Command::Bench(args) => bench::run(args),
    };
    done.unwrap_or_else(|error| {
        eprintln!("error: {error}");
        ExitCode::FAILURE
    })
}

/// Ends the program, as other tools end, when whoever reads its output does: `tascan info FILE | head -1`.
fn end_with_the_reader() {
    #[cfg(unix)]
    // SAFETY: no thread has started and no signal handler of this program exists.
    unsafe {
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
    }
}

/// Plain lines, without time and place.
fn log_to_stderr(verbose: u8, quiet: bool) {
    let level = match (quiet, verbose) {
        (true, _) => "error",
        (false, 0) => "info",
        (false, 1) => "debug",
        (false, _) => "trace",
    };
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(format!("tascan={level}")))
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .with_level(false)
        .with_target(false)
        .without_time()
        .init();
}

fn start_threads(threads: Option<NonZeroUsize>) {
    let threads = threads.map_or(0, NonZeroUsize::get);
    let started = rayon::ThreadPoolBuilder::new().num_threads(threads).build_global();
    started.expect("nothing has used the threads before");
}

/// Reads the voxels of a block: one number for a cube, or `z,y,x`.
fn parse_block(text: &str) -> Result<Shape> {
    let numbers: Option<Vec<usize>> = text.split(',').map(|number| number.trim().parse().ok()).collect();
    let block = match numbers.as_deref() {
        Some(&[edge]) => Some([edge; 3]),
        Some(&[z, y, x]) => Some([z, y, x]),
        _ => None,
    };
    block.filter(|block| !block.contains(&0)).ok_or_else(|| {
        Error::invalid(format!(
            "block {text:?}: expected one number of voxels or three, z,y,x, for example 128"
        ))
    })
}
