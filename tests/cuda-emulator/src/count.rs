//! What a profiler counts: instructions by class, multiply-adds by pipe, global sectors, bank conflicts, divergence.

use crate::exec::lanes::{LANES, lanes_of};
use serde_json::{Value, json};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum Class {
    Move,
    Integer,
    Compare,
    Convert,
    F32,
    F64,
    Half,
    Special,
    Tensor,
    GlobalLoad,
    GlobalStore,
    SharedLoad,
    SharedStore,
    Local,
    Param,
    Atomic,
    AsyncCopy,
    Collective,
    Barrier,
    Control,
}

/// Names in the order of `Class`.
pub const CLASSES: [&str; 20] = [
    "move",
    "integer",
    "compare",
    "convert",
    "f32",
    "f64",
    "half",
    "special",
    "tensor",
    "global_load",
    "global_store",
    "shared_load",
    "shared_store",
    "local",
    "param",
    "atomic",
    "async_copy",
    "collective",
    "barrier",
    "control",
];

/// Where multiply-adds are carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum Pipe {
    F32,
    F64,
    Half,
    Tensor,
}

pub const PIPES: [&str; 4] = ["f32", "f64", "half", "tensor"];

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    pub launches: u64,
    pub warp_instructions: [u64; CLASSES.len()],
    pub thread_instructions: [u64; CLASSES.len()],
    pub multiply_adds: [u64; PIPES.len()],
    /// Sectors of 32 bytes that global accesses touched, and the fewest that could hold what they asked for.
    pub sectors: u64,
    pub ideal_sectors: u64,
    pub shared_accesses: u64,
    /// Passes over shared memory beyond the first that bank conflicts cost.
    pub extra_wavefronts: u64,
}

impl Counts {
    pub fn add(&mut self, other: &Counts) {
        let pairs = [
            (&mut self.warp_instructions[..], &other.warp_instructions[..]),
            (&mut self.thread_instructions[..], &other.thread_instructions[..]),
            (&mut self.multiply_adds[..], &other.multiply_adds[..]),
        ];
        for (mine, theirs) in pairs {
            mine.iter_mut().zip(theirs).for_each(|(a, b)| *a += b);
        }
        self.launches += other.launches;
        self.sectors += other.sectors;
        self.ideal_sectors += other.ideal_sectors;
        self.shared_accesses += other.shared_accesses;
        self.extra_wavefronts += other.extra_wavefronts;
    }

    pub fn threads(&self) -> u64 {
        self.thread_instructions.iter().sum()
    }

    /// A warp's access to global memory, `bytes` a lane.
    pub fn global_access(&mut self, addresses: &[u64; LANES], mask: u32, bytes: usize) {
        let unit = bytes.trailing_zeros();
        let distinct = distinct(addresses, mask, unit) as u64 * bytes as u64;
        self.ideal_sectors += distinct.div_ceil(32);
        self.sectors += distinct_sectors(addresses, mask);
    }

    /// A warp's access to shared memory: 32 banks of 4 bytes; wider lanes go in halves or quarters of the warp.
    pub fn shared_access(&mut self, addresses: &[u64; LANES], mask: u32, bytes: usize) {
        self.shared_accesses += 1;
        let lanes = LANES / bytes.div_ceil(4);
        for part in 0..LANES / lanes {
            let part_mask = mask & (((1u64 << lanes) - 1) << (part * lanes)) as u32;
            if part_mask != 0 {
                self.extra_wavefronts += wavefronts(addresses, part_mask, bytes) - 1;
            }
        }
    }

    pub fn to_json(&self) -> Value {
        let by_class = |counts: &[u64; CLASSES.len()]| -> Value {
            CLASSES
                .iter()
                .zip(counts)
                .filter(|(_, n)| **n > 0)
                .map(|(k, n)| (k.to_string(), json!(n)))
                .collect()
        };
        let pipes: Value =
            PIPES.iter().zip(&self.multiply_adds).map(|(k, n)| (k.to_string(), json!(n))).collect();
        let warps: u64 = self.warp_instructions.iter().sum();
        json!({
            "launches": self.launches,
            "warp_instructions": by_class(&self.warp_instructions),
            "thread_instructions": by_class(&self.thread_instructions),
            "multiply_adds": pipes,
            "global_sectors": self.sectors,
            "ideal_global_sectors": self.ideal_sectors,
            "shared_accesses": self.shared_accesses,
            "extra_shared_wavefronts": self.extra_wavefronts,
            "average_active_lanes": self.threads() as f64 / warps.max(1) as f64,
        })
    }
}

fn distinct_sectors(addresses: &[u64; LANES], mask: u32) -> u64 {
    distinct(addresses, mask, 5) as u64
}

/// How many values of `address >> unit` the lanes have.
fn distinct(addresses: &[u64; LANES], mask: u32, unit: u32) -> usize {
    let mut keys = [0; LANES];
    let (mut count, mut sorted) = (0, true);
    for lane in lanes_of(mask) {
        let key = addresses[lane] >> unit;
        if count > 0 && keys[count - 1] == key {
            continue;
        }
        sorted &= count == 0 || keys[count - 1] < key;
        keys[count] = key;
        count += 1;
    }
    if sorted {
        return count;
    }
    keys[..count].sort_unstable();
    1 + keys[..count].windows(2).filter(|pair| pair[0] != pair[1]).count()
}

/// Passes that a part of a warp needs: the most distinct words that fall into one bank.
fn wavefronts(addresses: &[u64; LANES], mask: u32, bytes: usize) -> u64 {
    let words = bytes.div_ceil(4) as u64;
    let mut first = [u64::MAX; 32];
    for lane in lanes_of(mask) {
        for word in addresses[lane] / 4..addresses[lane] / 4 + words {
            let held = &mut first[(word % 32) as usize];
            if *held == u64::MAX {
                *held = word;
            } else if *held != word {
                return conflicting_wavefronts(addresses, mask, words);
            }
        }
    }
    1
}

/// As `wavefronts`, where some bank holds several words.
fn conflicting_wavefronts(addresses: &[u64; LANES], mask: u32, words: u64) -> u64 {
    let mut all: Vec<u64> = lanes_of(mask)
        .flat_map(|lane| addresses[lane] / 4..addresses[lane] / 4 + words)
        .map(|word| (word % 32) << 56 | word)
        .collect();
    all.sort_unstable();
    all.dedup();
    all.chunk_by(|a, b| a >> 56 == b >> 56).map(|bank| bank.len() as u64).max().unwrap_or(1)
}
