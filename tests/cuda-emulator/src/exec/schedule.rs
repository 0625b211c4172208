//! One warp: its groups of lanes that share a program counter, and which of them runs.
//!
//! The group with the least program counter runs, until it reaches another group's and they merge: compilers lay
//! code out so that this reconverges where paths meet. Lanes that arrive early at a barrier or at a `.sync`
//! instruction wait for the rest (PTX ISA, sections 9.7.9 and 9.7.13); if the rest can never arrive, that is a fault.

use super::lanes::{FULL, LANES, Registers};
use super::launch::Launch;
use super::program::{Inst, Program, Special, special_lanes, thread_of};
use super::{Action, Env, Members};
use crate::check::{Fault, Kind};

/// Backward branches after which other warps get their turn, for kernels that wait in a loop.
const SLICE: u32 = 4096;

#[derive(Debug, Clone, Copy)]
struct Group {
    pc: u32,
    mask: u32,
    /// Arrived early where all must arrive together.
    waiting: bool,
}

/// Bytes that `cp.async` is on its way to.
#[derive(Debug, Clone, Copy)]
pub struct PendingCopy {
    pub lane: usize,
    pub group: u32,
    pub at: usize,
    pub bytes: usize,
}

pub struct Warp {
    pub registers: Registers,
    pub index: usize,
    /// Lanes that the block's size gives this warp.
    pub exists: u32,
    /// Lanes that did not exit.
    pub live: u32,
    groups: Vec<Group>,
    /// Local memory, lane after lane.
    pub local: Vec<u8>,
    pub pending: Vec<PendingCopy>,
    /// Copy groups that each lane has committed.
    pub committed: [u32; LANES],
}

/// Why a warp stopped running.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// All its live lanes arrived at the barrier of this instruction.
    Barrier(usize),
    Slice,
    Finished,
}

/// Why a group stopped running.
enum Pause {
    Reselect,
    Stop(Stop),
}

impl Warp {
    pub fn new(program: &Program, index: usize, threads: usize) -> Warp {
        let here = threads.saturating_sub(index * LANES).min(LANES);
        Warp {
            registers: program.registers(),
            index,
            exists: if here == LANES { FULL } else { (1 << here) - 1 },
            live: 0,
            groups: Vec::new(),
            local: vec![0; program.local_bytes * LANES],
            pending: Vec::new(),
            committed: [0; LANES],
        }
    }

    /// As a new block finds it.
    pub fn start(&mut self, launch: &Launch, block: [u32; 3]) {
        self.live = self.exists;
        self.groups.clear();
        self.groups.push(Group { pc: 0, mask: self.exists, waiting: false });
        self.pending.clear();
        self.committed = [0; LANES];
        for &(slot, special) in &launch.program.specials {
            let value = |lane| self.special(special, launch, block, lane);
            let values = special_lanes(value);
            self.registers.set::<u32>(slot, &values, FULL);
        }
    }

    fn special(&self, special: Special, launch: &Launch, block: [u32; 3], lane: usize) -> u32 {
        let number = self.index * LANES + lane;
        match special {
            Special::Tid(axis) => thread_of(number, launch.block)[axis],
            Special::Ntid(axis) => launch.block[axis],
            Special::Ctaid(axis) => block[axis],
            Special::Nctaid(axis) => launch.grid[axis],
            Special::Lane => lane as u32,
            Special::Warp => self.index as u32,
            Special::Warps => launch.threads().div_ceil(LANES) as u32,
            Special::Sm => (launch.block_number(block) % u64::from(launch.multiprocessors)) as u32,
            Special::Sms => launch.multiprocessors,
            Special::MaskEq => 1 << lane,
            Special::MaskLt => (1 << lane) - 1,
            Special::MaskLe => FULL >> (31 - lane),
            Special::MaskGt => !(FULL >> (31 - lane)),
            Special::MaskGe => !((1u32 << lane) - 1),
            Special::DynamicShared => launch.dynamic_shared as u32,
            Special::TotalShared => launch.shared_bytes() as u32,
        }
    }

    /// Groups at the same place become one.
    fn merge(&mut self) {
        let mut at = 0;
        while at < self.groups.len() {
            let pc = self.groups[at].pc;
            while let Some(other) = (at + 1..self.groups.len()).find(|&other| self.groups[other].pc == pc) {
                let gone = self.groups.swap_remove(other);
                self.groups[at].mask |= gone.mask;
                self.groups[at].waiting = false;
            }
            at += 1;
        }
    }

    /// The barrier where the warp stopped is behind it.
    pub fn release(&mut self) {
        for group in &mut self.groups {
            group.pc += 1;
            group.waiting = false;
        }
    }

    /// A lane that waits, where, and the lanes that wait with it.
    pub fn waiting_lane(&self) -> Option<(usize, usize)> {
        let group = self.groups.first()?;
        Some((group.mask.trailing_zeros() as usize, group.pc as usize))
    }
}

/// Runs a warp until all its lanes stop at a barrier, end, or used up their slice.
pub fn run(env: &mut Env) -> Result<Stop, Box<Fault>> {
    let mut budget = SLICE;
    loop {
        if env.warp.groups.len() > 1 {
            env.warp.merge();
        }
        let runnable = env.warp.groups.iter().enumerate().filter(|(_, group)| !group.waiting);
        let Some((current, _)) = runnable.min_by_key(|(_, group)| group.pc) else {
            return if env.warp.groups.is_empty() { Ok(Stop::Finished) } else { Err(stuck(env)) };
        };
        if let Pause::Stop(stop) = run_group(env, current, &mut budget)? {
            return Ok(stop);
        }
    }
}

/// All groups wait at different places.
fn stuck(env: &mut Env) -> Box<Fault> {
    let groups = &env.warp.groups;
    let (first, rest) = (groups[0], &groups[1..]);
    env.pc = first.pc as usize;
    let program = env.launch.program;
    let kind = match program.code[env.pc].action {
        Action::Barrier(_) => Kind::DivergentBarrier,
        _ => Kind::Divergence,
    };
    let others: Vec<String> = rest
        .iter()
        .map(|group| {
            format!("lanes {:#x} wait at line {}", group.mask, program.places[group.pc as usize].line)
        })
        .collect();
    let exited = env.warp.exists & !env.warp.live;
    let mut detail = format!("lanes {:#x} wait here", first.mask);
    if !others.is_empty() {
        detail += &format!(", {}", others.join(", "));
    }
    if exited != 0 {
        detail += &format!(", lanes {exited:#x} have exited");
    }
    Fault::new(kind, first.mask.trailing_zeros() as usize, detail)
}

fn run_group(env: &mut Env, current: usize, budget: &mut u32) -> Result<Pause, Box<Fault>> {
    let launch = env.launch;
    let code: &[Inst] = &launch.program.code;
    let mut group = env.warp.groups[current];
    let alone = env.warp.groups.len() == 1;
    let ahead = env.warp.groups.iter().map(|other| other.pc).filter(|pc| *pc > group.pc);
    let limit = ahead.min().unwrap_or(u32::MAX);
    loop {
        let inst = &code[group.pc as usize];
        env.pc = group.pc as usize;
        let mask = group.mask & (env.warp.registers.predicates[inst.guard] ^ inst.flip);
        match &inst.action {
            Action::Run(exec) => {
                count(env, inst, mask);
                if mask != 0 {
                    exec(env, mask)?;
                }
                group.pc += 1;
            }
            Action::Sync(members, exec) => {
                if mask != 0 && !arrived(env, *members, mask)? {
                    group.waiting = true;
                    env.warp.groups[current] = group;
                    return Ok(Pause::Reselect);
                }
                count(env, inst, mask);
                if mask != 0 {
                    exec(env, mask)?;
                }
                group.pc += 1;
            }
            Action::Branch(target) => {
                count(env, inst, mask);
                if mask != 0 && mask != group.mask {
                    env.warp.groups.push(Group { pc: *target, mask, waiting: false });
                    env.warp.groups[current] = Group { pc: group.pc + 1, mask: group.mask & !mask, ..group };
                    return Ok(Pause::Reselect);
                }
                let backward = mask != 0 && *target <= group.pc;
                group.pc = if mask == 0 { group.pc + 1 } else { *target };
                *budget -= u32::from(backward);
                if *budget == 0 || !alone {
                    env.warp.groups[current] = group;
                    let out_of_time = *budget == 0;
                    return Ok(if out_of_time { Pause::Stop(Stop::Slice) } else { Pause::Reselect });
                }
            }
            Action::Table(slot, targets) => {
                count(env, inst, mask);
                env.warp.groups[current] = Group { pc: group.pc + 1, mask: group.mask & !mask, ..group };
                jump(env, *slot, targets, mask)?;
                return Ok(Pause::Reselect);
            }
            Action::Exit => {
                count(env, inst, mask);
                exit(env.warp, current, group, mask);
                return Ok(Pause::Reselect);
            }
            Action::Barrier(_) => {
                if mask != 0 {
                    return Ok(arrive(env.warp, current, group, mask));
                }
                group.pc += 1;
            }
        }
        if group.pc == limit {
            env.warp.groups[current] = group;
            return Ok(Pause::Reselect);
        }
    }
}

#[inline(always)]
fn count(env: &mut Env, inst: &Inst, mask: u32) {
    let threads = u64::from(mask.count_ones());
    env.counts.warp_instructions[inst.class as usize] += 1;
    env.counts.thread_instructions[inst.class as usize] += threads;
    if let Some((pipe, each)) = inst.multiply_adds {
        env.counts.multiply_adds[pipe as usize] += threads * u64::from(each);
    }
}

/// Whether all lanes that must take part are here; a fault when one of them has exited.
fn arrived(env: &mut Env, members: Members, mask: u32) -> Result<bool, Box<Fault>> {
    let needed = match members {
        Members::All => FULL,
        Members::Mask(slot) => env.warp.registers.get::<u32>(slot)[mask.trailing_zeros() as usize],
    };
    let missing = needed & env.warp.exists & !mask;
    let gone = missing & !env.warp.live;
    if gone != 0 {
        let lane = mask.trailing_zeros() as usize;
        let detail = format!("lanes {mask:#x} are here, lanes {gone:#x} of the member mask have exited");
        return Err(Fault::new(Kind::Divergence, lane, detail));
    }
    Ok(missing == 0)
}

fn exit(warp: &mut Warp, current: usize, group: Group, mask: u32) {
    warp.live &= !mask;
    let rest = group.mask & !mask;
    if rest == 0 {
        warp.groups.swap_remove(current);
    } else {
        warp.groups[current] = Group { pc: group.pc + 1, mask: rest, waiting: false };
    }
    // Who waits for lanes that are gone looks again.
    warp.groups.iter_mut().for_each(|group| group.waiting = false);
}

/// Lanes arrive at a barrier: the warp stops if they are all that live, else they wait for the others.
fn arrive(warp: &mut Warp, current: usize, group: Group, mask: u32) -> Pause {
    warp.groups[current] = Group { mask, ..group };
    let rest = group.mask & !mask;
    if rest != 0 {
        warp.groups.push(Group { pc: group.pc + 1, mask: rest, waiting: false });
    }
    if mask == warp.live {
        return Pause::Stop(Stop::Barrier(group.pc as usize));
    }
    warp.groups[current].waiting = true;
    Pause::Reselect
}

/// `brx.idx`: every lane goes to the target that its index names.
fn jump(env: &mut Env, slot: usize, targets: &[u32], mask: u32) -> Result<(), Box<Fault>> {
    let indices = *env.warp.registers.get::<u32>(slot);
    env.warp.groups.retain(|group| group.mask != 0);
    for lane in super::lanes::lanes_of(mask) {
        let Some(target) = targets.get(indices[lane] as usize) else {
            let detail = format!("index {} of {} targets", indices[lane], targets.len());
            return Err(Fault::new(Kind::Trap, lane, detail));
        };
        env.warp.groups.push(Group { pc: *target, mask: 1 << lane, waiting: false });
    }
    Ok(())
}
