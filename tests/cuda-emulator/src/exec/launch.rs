//! A launch: the blocks of a grid over all cores of the host.

use super::block::Worker;
use super::program::Program;
use crate::check::Report;
use crate::count::Counts;
use crate::memory::device::Snapshot;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

pub struct Launch<'a> {
    pub program: &'a Program,
    pub grid: [u32; 3],
    pub block: [u32; 3],
    pub params: Vec<u8>,
    pub dynamic_shared: usize,
    pub memory: Snapshot,
    /// Number of the launch in this process.
    pub serial: u64,
    pub multiprocessors: u32,
}

/// Launches are numbered from 1; 0 marks memory that nobody touched.
pub fn next_serial() -> u64 {
    static SERIAL: AtomicU64 = AtomicU64::new(1);
    SERIAL.fetch_add(1, Relaxed)
}

/// What a launch leaves behind.
pub struct Outcome {
    pub counts: Counts,
    pub fault: Option<Box<Report>>,
}

impl Launch<'_> {
    pub fn threads(&self) -> usize {
        self.block.iter().map(|n| *n as usize).product()
    }

    pub fn blocks(&self) -> u64 {
        self.grid.iter().map(|n| u64::from(*n)).product()
    }

    pub fn shared_bytes(&self) -> usize {
        self.program.shared_bytes + self.dynamic_shared
    }

    pub fn block_at(&self, number: u64) -> [u32; 3] {
        let [x, y, _] = self.grid.map(u64::from);
        [number % x, number / x % y, number / x / y].map(|n| n as u32)
    }

    pub fn block_number(&self, [x, y, z]: [u32; 3]) -> u64 {
        let [nx, ny, _] = self.grid.map(u64::from);
        (u64::from(z) * ny + u64::from(y)) * nx + u64::from(x)
    }

    /// Runs all blocks; the first fault stops the rest.
    pub fn run(&self) -> Outcome {
        let (next, stop) = (AtomicU64::new(0), AtomicBool::new(false));
        let total = Mutex::new((Counts { launches: 1, ..Counts::default() }, None));
        let work = || {
            let mut worker = Worker::new(self);
            let mut fault = None;
            while fault.is_none() && !stop.load(Relaxed) {
                let number = next.fetch_add(1, Relaxed);
                if number >= self.blocks() {
                    break;
                }
                fault = worker.run(number).err();
            }
            stop.fetch_or(fault.is_some(), Relaxed);
            let mut total = total.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            total.0.add(&worker.counts);
            total.1 = total.1.take().or(fault);
        };
        let workers = (rayon::current_num_threads() as u64).min(self.blocks());
        if workers <= 1 {
            work();
        } else {
            rayon::scope(|scope| (0..workers).for_each(|_| scope.spawn(|_| work())));
        }
        let (counts, fault) = total.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
        Outcome { counts, fault }
    }
}
