//! Branches, exits, barriers, fences and traps (PTX ISA, sections 9.7.12 and 9.7.13).

use super::lanes::{FULL, Slot};
use super::schedule::Warp;
use super::site::{Predicate, Site};
use super::{Action, Decoded, Members, Result};
use crate::check::{Fault, Kind};
use crate::count::Class;
use crate::parse::ast::{Operand, Type};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReduceOp {
    Count,
    And,
    Or,
}

pub enum BarrierKind {
    /// Wait for the others.
    Sync,
    /// Be counted and go on.
    Arrive,
    /// Wait, and combine a predicate of all threads.
    Reduce { op: ReduceOp, source: Predicate, target: Target },
}

/// Where the result of a reduction goes.
pub enum Target {
    Register(Slot),
    Predicate(usize),
}

pub struct Barrier {
    pub id: Slot,
    /// Threads that take part; all of the block if there is none.
    pub count: Option<Slot>,
    pub kind: BarrierKind,
}

pub fn decode(site: &mut Site) -> Option<Result<Decoded>> {
    let decoded = match site.name {
        "bra" => branch(site),
        "brx" => table(site),
        "ret" | "exit" => exit(site),
        "trap" | "brkpt" => trap(site),
        "bar" | "barrier" => barrier(site),
        "membar" | "fence" => fence(site),
        "nanosleep" => nothing(site),
        "call" => Err("calls of functions are not supported".to_owned()),
        _ => return None,
    };
    Some(decoded.and_then(|decoded| site.mods.finish().map(|()| decoded)))
}

fn control(action: Action) -> Result<Decoded> {
    Ok(Decoded { action, class: Class::Control, multiply_adds: None })
}

fn branch(site: &mut Site) -> Result<Decoded> {
    site.mods.take("uni");
    control(Action::Branch(site.label(0)?))
}

fn table(site: &mut Site) -> Result<Decoded> {
    if !site.mods.take("idx") {
        return Err("brx without .idx".to_owned());
    }
    site.mods.take("uni");
    let index = site.src(0, Type::U32)?;
    match site.operand(1)? {
        Operand::Symbol(name, 0) => control(Action::Table(index, site.builder.branch_table(name)?)),
        other => Err(format!("{other:?} where a table was expected")),
    }
}

fn exit(site: &mut Site) -> Result<Decoded> {
    site.mods.take("uni");
    control(Action::Exit)
}

fn trap(_: &mut Site) -> Result<Decoded> {
    let exec = Box::new(|_: &mut super::Env, mask: u32| {
        let lane = mask.trailing_zeros() as usize;
        Err(Fault::new(Kind::Trap, lane, "the kernel trapped".to_owned()))
    });
    Ok(Decoded::run(Class::Control, exec))
}

/// Instructions of one block see each other's effects at once, and blocks share one coherent memory.
fn fence(site: &mut Site) -> Result<Decoded> {
    site.mods.take_any(&["sc", "acq_rel"]);
    site.mods.take_any(&["cta", "gl", "gpu", "sys"]);
    Ok(Decoded::run(Class::Barrier, Box::new(|_, _| Ok(()))))
}

fn nothing(site: &mut Site) -> Result<Decoded> {
    site.mods.take("u32");
    Ok(Decoded::run(Class::Control, Box::new(|_, _| Ok(()))))
}

fn barrier(site: &mut Site) -> Result<Decoded> {
    if site.mods.take("warp") {
        return warp_barrier(site);
    }
    site.mods.take("cta");
    let what = site.mods.take_any(&["sync", "arrive", "red"]).ok_or("unknown kind of barrier")?;
    site.mods.take("aligned");
    let decoded = if what == "red" { reduction(site) } else { plain_barrier(site, what) }?;
    Ok(Decoded { action: Action::Barrier(decoded), class: Class::Barrier, multiply_adds: None })
}

fn warp_barrier(site: &mut Site) -> Result<Decoded> {
    if !site.mods.take("sync") {
        return Err("unknown kind of warp barrier".to_owned());
    }
    let members = Members::Mask(site.src(0, Type::B32)?);
    Ok(Decoded::sync(Class::Barrier, members, Box::new(|_, _| Ok(()))))
}

fn plain_barrier(site: &mut Site, what: &str) -> Result<Barrier> {
    let id = site.src(0, Type::U32)?;
    let count = if site.operands() > 1 { Some(site.src(1, Type::U32)?) } else { None };
    let kind = if what == "arrive" { BarrierKind::Arrive } else { BarrierKind::Sync };
    Ok(Barrier { id, count, kind })
}

/// `barrier.red.popc.u32 d, a{, b}, p` and `barrier.red.and.pred p, a{, b}, q`.
fn reduction(site: &mut Site) -> Result<Barrier> {
    let op = match site.mods.take_any(&["popc", "and", "or"]) {
        Some("popc") => ReduceOp::Count,
        Some("and") => ReduceOp::And,
        Some(_) => ReduceOp::Or,
        None => return Err("unknown reduction".to_owned()),
    };
    let target = match site.mods.take_type()? {
        Type::U32 => Target::Register(site.dst(0, Type::U32)?),
        _ => Target::Predicate(site.predicate_at(0)?.index),
    };
    let id = site.src(1, Type::U32)?;
    let last = site.operands() - 1;
    let count = if last == 3 { Some(site.src(2, Type::U32)?) } else { None };
    let source = site.predicate_at(last)?;
    Ok(Barrier { id, count, kind: BarrierKind::Reduce { op, source, target } })
}

impl Barrier {
    /// Value of an operand, taken from the first live lane.
    pub fn value(warp: &Warp, slot: Slot) -> u32 {
        warp.registers.get::<u32>(slot)[warp.live.trailing_zeros() as usize & 31]
    }

    /// Threads of the warp for which the reduction's predicate holds.
    pub fn votes(&self, warp: &Warp) -> u32 {
        match &self.kind {
            BarrierKind::Reduce { source, .. } => {
                (warp.registers.predicates[source.index] ^ source.flip) & warp.live
            }
            _ => 0,
        }
    }

    /// Writes the reduction's result: of `threads`, `count` voted.
    pub fn conclude(&self, warp: &mut Warp, count: u32, threads: u32) {
        let BarrierKind::Reduce { op, target, .. } = &self.kind else { return };
        let result = match op {
            ReduceOp::Count => count,
            ReduceOp::And => u32::from(count == threads),
            ReduceOp::Or => u32::from(count > 0),
        };
        let live = warp.live;
        match target {
            Target::Register(slot) => warp.registers.set::<u32>(*slot, &[result; 32], live),
            Target::Predicate(index) => {
                warp.registers.set_predicate(*index, if result != 0 { FULL } else { 0 }, live);
            }
        }
    }
}
