//! What a running kernel can do wrong, and how it is told: once per kernel, instruction and kind, on stderr,
//! naming the kernel, the PTX line, the block and the thread.
//!
//! `CUDA_EMULATOR_EXIT_CODE=N` makes the process that met a fault end with N, whatever it thought of the error.

use std::collections::HashSet;
use std::fmt;
use std::sync::{Mutex, OnceLock};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    OutOfBounds,
    Misaligned,
    UseAfterFree,
    Uninitialised,
    SharedRace,
    GlobalRace,
    DivergentBarrier,
    UnwaitedCopy,
    Divergence,
    Trap,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::OutOfBounds => "out-of-bounds access",
            Kind::Misaligned => "misaligned access",
            Kind::UseAfterFree => "use after free",
            Kind::Uninitialised => "read of memory that nothing wrote",
            Kind::SharedRace => "race in shared memory",
            Kind::GlobalRace => "race between blocks in global memory",
            Kind::DivergentBarrier => "divergent barrier",
            Kind::UnwaitedCopy => "asynchronous copy not waited for",
            Kind::Divergence => "lanes missing at a warp-wide instruction",
            Kind::Trap => "trap",
        }
    }
}

/// A fault as the instruction sees it.
#[derive(Debug)]
pub struct Fault {
    pub kind: Kind,
    pub lane: usize,
    pub detail: String,
}

pub type Step = Result<(), Box<Fault>>;

impl Fault {
    pub fn new(kind: Kind, lane: usize, detail: String) -> Box<Fault> {
        Box::new(Fault { kind, lane, detail })
    }
}

/// A fault with the place where it happened.
#[derive(Debug, Clone)]
pub struct Report {
    pub kind: Kind,
    pub kernel: String,
    pub line: u32,
    pub instruction: String,
    pub block: [u32; 3],
    pub thread: [u32; 3],
    pub detail: String,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [bx, by, bz] = self.block;
        let [tx, ty, tz] = self.thread;
        write!(
            f,
            "{}: {}; kernel {}, PTX line {}: `{}`, block ({bx},{by},{bz}), thread ({tx},{ty},{tz})",
            self.kind.name(),
            self.detail,
            self.kernel,
            self.line,
            self.instruction
        )
    }
}

/// What was told so far in this process.
#[derive(Default)]
struct Told {
    places: HashSet<(String, u32, Kind)>,
    faults: u64,
}

fn told() -> &'static Mutex<Told> {
    static TOLD: OnceLock<Mutex<Told>> = OnceLock::new();
    TOLD.get_or_init(|| {
        // SAFETY: `summary` is a plain function that takes nothing.
        unsafe { atexit(summary) };
        Mutex::default()
    })
}

/// Tells a fault, unless its place was told before.
pub fn tell(report: &Report) {
    let mut told = told().lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    told.faults += 1;
    if told.places.insert((report.kernel.clone(), report.line, report.kind)) {
        eprintln!("cuda-emulator: {report}");
    }
}

/// Tells what the host does wrong.
pub fn tell_misuse(what: &str) {
    told().lock().unwrap_or_else(|poisoned| poisoned.into_inner()).faults += 1;
    eprintln!("cuda-emulator: {what}");
}

unsafe extern "C" {
    fn atexit(function: extern "C" fn()) -> i32;
    fn _exit(code: i32) -> !;
}

extern "C" fn summary() {
    let told = told().lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    eprintln!(
        "cuda-emulator: {} launches or copies failed, launches at {} places",
        told.faults,
        told.places.len()
    );
    let code = std::env::var("CUDA_EMULATOR_EXIT_CODE").ok().and_then(|code| code.parse().ok());
    if let Some(code) = code {
        // SAFETY: ends the process; nothing of this library needs cleaning up.
        unsafe { _exit(code) }
    }
}
