//! One instruction while it is decoded: its modifiers, and its operands as register slots.

use super::Result;
use super::lanes::Slot;
use super::program::{Builder, Special};
use crate::numeric::Round;
use crate::parse::ast::{Instruction, Operand, Type};

/// The dotted parts of an opcode that were not yet understood.
pub struct Mods<'k> {
    rest: Vec<&'k str>,
}

impl<'k> Mods<'k> {
    pub fn take(&mut self, name: &str) -> bool {
        let found = self.rest.iter().position(|part| *part == name);
        if let Some(at) = found {
            self.rest.remove(at);
        }
        found.is_some()
    }

    /// The first of several that is there.
    pub fn take_any(&mut self, names: &[&'static str]) -> Option<&'static str> {
        names.iter().copied().find(|name| self.take(name))
    }

    /// The next part that is a type.
    pub fn take_type(&mut self) -> Result<Type> {
        let at = self.rest.iter().position(|part| Type::parse(part).is_some());
        let at = at.ok_or("no type among the modifiers")?;
        Ok(Type::parse(self.rest.remove(at)).expect("found as a type"))
    }

    /// The next part, whatever it is.
    pub fn take_next(&mut self) -> Option<&'k str> {
        (!self.rest.is_empty()).then(|| self.rest.remove(0))
    }

    pub fn take_round(&mut self) -> Option<Round> {
        let name = self.take_any(&["rn", "rz", "rm", "rp", "rna"])?;
        Some(match name {
            "rn" => Round::Nearest,
            "rz" => Round::Zero,
            "rm" => Round::Down,
            "rp" => Round::Up,
            _ => Round::Away,
        })
    }

    pub fn finish(&self) -> Result<()> {
        match self.rest.first() {
            None => Ok(()),
            Some(part) => Err(format!("unknown modifier '.{part}'")),
        }
    }
}

pub struct Site<'a, 'k> {
    pub builder: &'a mut Builder<'k>,
    pub instruction: &'k Instruction,
    /// The opcode up to its first dot.
    pub name: &'k str,
    pub mods: Mods<'k>,
}

/// A predicate operand: its number, and a mask that negates it.
#[derive(Clone, Copy)]
pub struct Predicate {
    pub index: usize,
    pub flip: u32,
}

impl<'a, 'k> Site<'a, 'k> {
    pub fn new(builder: &'a mut Builder<'k>, instruction: &'k Instruction) -> Self {
        let mut parts = instruction.opcode.split('.');
        let name = parts.next().unwrap_or("");
        Site { builder, instruction, name, mods: Mods { rest: parts.collect() } }
    }

    pub fn operand(&self, at: usize) -> Result<&'k Operand> {
        self.instruction.operands.get(at).ok_or(format!("operand {} is missing", at + 1))
    }

    pub fn operands(&self) -> usize {
        self.instruction.operands.len()
    }

    /// A destination register of exactly the type's width.
    pub fn dst(&mut self, at: usize, ty: Type) -> Result<Slot> {
        let operand = self.operand(at)?;
        self.register(operand, ty)
    }

    /// A register whose cells fit the type: 64 bits for 64, up to 32 for the rest.
    pub fn register(&mut self, operand: &Operand, ty: Type) -> Result<Slot> {
        match operand {
            Operand::Register(register) => {
                let declared = self.builder.register_type(*register);
                let fits = match declared {
                    Type::Pred => false,
                    _ => declared.bytes() >= ty.bytes() && (declared.bytes() == 8) == (ty.bytes() == 8),
                };
                if fits {
                    Ok(self.builder.slot(*register))
                } else {
                    Err(format!("a register of type {declared:?} where {ty:?} was expected"))
                }
            }
            Operand::Sink => Ok(self.builder.scratch()),
            other => Err(format!("{other:?} where a register was expected")),
        }
    }

    /// A source as a slot; immediates and addresses become constants.
    pub fn src(&mut self, at: usize, ty: Type) -> Result<Slot> {
        let operand = self.operand(at)?;
        self.source(operand, ty)
    }

    pub fn source(&mut self, operand: &Operand, ty: Type) -> Result<Slot> {
        let wide = ty.bytes() == 8;
        match operand {
            Operand::Integer(value) if ty == Type::F32 || ty == Type::F64 => {
                Err(format!("integer {value} where {ty:?} was expected"))
            }
            Operand::Integer(value) => Ok(self.builder.constant(*value as u64, wide)),
            Operand::Single(bits) if ty.bytes() == 4 => Ok(self.builder.constant(u64::from(*bits), false)),
            Operand::Double(bits) if ty.bytes() == 8 => Ok(self.builder.constant(*bits, true)),
            Operand::Special(name) => {
                let special = Special::parse(name)?;
                if wide {
                    return Err(format!("'{name}' where {ty:?} was expected"));
                }
                Ok(self.builder.special(special))
            }
            Operand::Symbol(name, offset) => {
                let address = self.builder.address_of(name)?.1.wrapping_add_signed(*offset);
                Ok(self.builder.constant(address, wide))
            }
            Operand::Single(_) | Operand::Double(_) => {
                Err(format!("a float immediate where {ty:?} was expected"))
            }
            other => self.register(other, ty),
        }
    }

    /// `N` sources of one type from operand `first` on.
    pub fn sources<const N: usize>(&mut self, first: usize, ty: Type) -> Result<[Slot; N]> {
        let mut slots = [0; N];
        for (at, slot) in slots.iter_mut().enumerate() {
            *slot = self.src(first + at, ty)?;
        }
        Ok(slots)
    }

    pub fn predicate(&self, operand: &Operand) -> Result<Predicate> {
        let (register, flip) = match operand {
            Operand::Register(register) => (*register, 0),
            Operand::Not(register) => (*register, u32::MAX),
            Operand::Sink => return Ok(Predicate { index: self.builder.scratch_predicate(), flip: 0 }),
            other => return Err(format!("{other:?} where a predicate was expected")),
        };
        let index = self.builder.predicate(register)?;
        Ok(Predicate { index, flip })
    }

    pub fn predicate_at(&self, at: usize) -> Result<Predicate> {
        self.predicate(self.operand(at)?)
    }

    /// The elements of `{a, b}`, or the operand itself.
    pub fn elements(&self, at: usize) -> Result<&'k [Operand]> {
        Ok(match self.operand(at)? {
            Operand::Vector(elements) => elements,
            single => std::slice::from_ref(single),
        })
    }

    /// The target of a branch.
    pub fn label(&self, at: usize) -> Result<u32> {
        match self.operand(at)? {
            Operand::Symbol(name, 0) => self.builder.label(name),
            other => Err(format!("{other:?} where a label was expected")),
        }
    }
}
