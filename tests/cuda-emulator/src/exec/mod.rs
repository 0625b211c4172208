//! Execution. Every instruction is decoded once into a closure over its register slots; a warp runs them lane beside
//! lane under a mask. Each file of a family holds both the decoding and the doing of its instructions.

pub mod block;
pub mod control;
pub mod lanes;
pub mod launch;
pub mod program;
pub mod schedule;
pub mod site;

mod approximate;
mod async_copy;
mod atomic;
mod bits;
mod collective;
mod compare;
mod convert;
mod convert_float;
mod float;
mod half;
mod integer;
mod matrix;
mod memory;
mod memory_local;
mod moves;

use crate::check::Step;
use crate::count::{Class, Counts, Pipe};
use crate::memory::global::Stamp;
use crate::memory::shared::Shared;
use launch::Launch;
use schedule::Warp;
use site::Site;

/// What an instruction works on.
pub struct Env<'a> {
    pub warp: &'a mut Warp,
    pub shared: &'a mut Shared,
    pub counts: &'a mut Counts,
    /// Per instruction, the allocation that its last access hit.
    pub hints: &'a mut [u32],
    pub launch: &'a Launch<'a>,
    pub stamp: Stamp,
    pub pc: usize,
}

/// A decoded instruction, run for the lanes of a mask.
pub type Exec = Box<dyn Fn(&mut Env<'_>, u32) -> Step + Send + Sync>;

/// Which lanes must arrive together at a `.sync` instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Members {
    All,
    /// A member mask in a register.
    Mask(lanes::Slot),
}

pub enum Action {
    Run(Exec),
    Sync(Members, Exec),
    Branch(u32),
    Table(lanes::Slot, Vec<u32>),
    Exit,
    Barrier(control::Barrier),
}

/// An instruction's action and how it is counted.
pub struct Decoded {
    pub action: Action,
    pub class: Class,
    /// Multiply-adds a lane, and where.
    pub multiply_adds: Option<(Pipe, u32)>,
}

impl Decoded {
    pub fn run(class: Class, exec: Exec) -> Self {
        Decoded { action: Action::Run(exec), class, multiply_adds: None }
    }

    pub fn sync(class: Class, members: Members, exec: Exec) -> Self {
        Decoded { action: Action::Sync(members, exec), class, multiply_adds: None }
    }

    pub fn with_multiply_adds(self, pipe: Pipe, each: u32) -> Self {
        Decoded { multiply_adds: Some((pipe, each)), ..self }
    }
}

/// Why an instruction cannot be decoded.
pub type Result<T> = std::result::Result<T, String>;

type Family = fn(&mut Site) -> Option<Result<Decoded>>;

/// Each family takes the opcodes that it knows.
const FAMILIES: [Family; 13] = [
    moves::decode,
    integer::decode,
    bits::decode,
    float::decode,
    approximate::decode,
    half::decode,
    compare::decode,
    convert::decode,
    memory::decode,
    atomic::decode,
    async_copy::decode,
    collective::decode,
    matrix::decode,
];

/// Decodes one instruction; an unknown opcode, modifier or operand is an error that names it.
pub fn decode(site: &mut Site) -> Result<Decoded> {
    if let Some(found) = control::decode(site) {
        return found;
    }
    for family in FAMILIES {
        if let Some(found) = family(site) {
            let decoded = found?;
            site.mods.finish()?;
            return Ok(decoded);
        }
    }
    Err(format!("unknown instruction '{}'", site.instruction.opcode))
}
