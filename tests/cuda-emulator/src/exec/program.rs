//! From a parsed kernel to a program: register slots, constants, addresses of variables, decoded instructions.

use super::lanes::{LANES, Registers, Slot};
use super::site::Site;
use super::{Action, Decoded, Result, decode};
use crate::count::{Class, Pipe};
use crate::error::LoadError;
use crate::parse::ast::{Kernel, Operand, Register, Space, Type, Variable};
use std::collections::HashMap;

/// A decoded instruction with its guard.
pub struct Inst {
    pub action: Action,
    /// Guard predicate (the last one is always true) and negation.
    pub guard: usize,
    pub flip: u32,
    pub class: Class,
    pub multiply_adds: Option<(Pipe, u32)>,
}

/// Where an instruction stands in the PTX text.
pub struct Place {
    pub line: u32,
    pub text: String,
}

pub struct Program {
    pub name: String,
    pub code: Vec<Inst>,
    pub places: Vec<Place>,
    pub slots: usize,
    pub predicates: usize,
    pub constants: Vec<(Slot, u64, bool)>,
    pub specials: Vec<(Slot, Special)>,
    pub param_bytes: usize,
    /// Offset and size of each parameter.
    pub params: Vec<(usize, usize)>,
    pub shared_bytes: usize,
    pub local_bytes: usize,
    /// An estimate: the registers declared, at most what a thread can have.
    pub registers: u32,
    pub max_threads: u32,
}

/// Special registers (PTX ISA, chapter 10) whose value does not change while a block runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Special {
    Tid(usize),
    Ntid(usize),
    Ctaid(usize),
    Nctaid(usize),
    Lane,
    Warp,
    Warps,
    Sm,
    Sms,
    MaskEq,
    MaskLt,
    MaskLe,
    MaskGt,
    MaskGe,
    DynamicShared,
    TotalShared,
}

impl Special {
    pub fn parse(name: &str) -> Result<Special> {
        let axis = |letter: &str| "xyz".find(letter).filter(|_| letter.len() == 1);
        if let Some((base, letter)) = name.split_once('.') {
            let axis = axis(letter).ok_or(format!("unknown special register '{name}'"))?;
            match base {
                "%tid" => return Ok(Special::Tid(axis)),
                "%ntid" => return Ok(Special::Ntid(axis)),
                "%ctaid" => return Ok(Special::Ctaid(axis)),
                "%nctaid" => return Ok(Special::Nctaid(axis)),
                _ => {}
            }
        }
        Ok(match name {
            "%laneid" => Special::Lane,
            "%warpid" => Special::Warp,
            "%nwarpid" => Special::Warps,
            "%smid" => Special::Sm,
            "%nsmid" => Special::Sms,
            "%lanemask_eq" => Special::MaskEq,
            "%lanemask_lt" => Special::MaskLt,
            "%lanemask_le" => Special::MaskLe,
            "%lanemask_gt" => Special::MaskGt,
            "%lanemask_ge" => Special::MaskGe,
            "%dynamic_smem_size" => Special::DynamicShared,
            "%total_smem_size" => Special::TotalShared,
            _ => return Err(format!("unknown special register '{name}'")),
        })
    }
}

/// Names of the module's variables, with their space and address.
pub type Symbols = HashMap<String, (Space, u64)>;

/// Hands out slots while a kernel is decoded.
pub struct Builder<'k> {
    kernel: &'k Kernel,
    register_slots: Vec<usize>,
    symbols: Symbols,
    slots: usize,
    predicates: usize,
    constants: HashMap<(u64, bool), Slot>,
    specials: HashMap<Special, Slot>,
    scratch: Option<Slot>,
}

impl<'k> Builder<'k> {
    fn new(kernel: &'k Kernel, symbols: Symbols) -> Self {
        let (mut slots, mut predicates) = (0, 0);
        let place = |ty: &Type| {
            let counter = if *ty == Type::Pred { &mut predicates } else { &mut slots };
            let at = *counter;
            *counter += if ty.bytes() == 8 { 2 } else { 1 };
            at
        };
        let register_slots = kernel.registers.iter().map(place).collect();
        let (constants, specials) = (HashMap::new(), HashMap::new());
        Builder { kernel, register_slots, symbols, slots, predicates, constants, specials, scratch: None }
    }

    pub fn register_type(&self, register: Register) -> Type {
        self.kernel.registers[register]
    }

    pub fn slot(&self, register: Register) -> Slot {
        self.register_slots[register]
    }

    pub fn predicate(&self, register: Register) -> Result<usize> {
        match self.register_type(register) {
            Type::Pred => Ok(self.register_slots[register]),
            other => Err(format!("a register of type {other:?} where a predicate was expected")),
        }
    }

    /// Always true; the number after the declared ones.
    pub fn always(&self) -> usize {
        self.predicates
    }

    /// Written, never read.
    pub fn scratch_predicate(&self) -> usize {
        self.predicates + 1
    }

    fn new_slots(&mut self, wide: bool) -> Slot {
        let slot = self.slots;
        self.slots += if wide { 2 } else { 1 };
        slot
    }

    /// Written, never read.
    pub fn scratch(&mut self) -> Slot {
        match self.scratch {
            Some(slot) => slot,
            None => {
                let slot = self.new_slots(true);
                *self.scratch.insert(slot)
            }
        }
    }

    pub fn constant(&mut self, value: u64, wide: bool) -> Slot {
        let value = if wide { value } else { value & 0xffff_ffff };
        if let Some(slot) = self.constants.get(&(value, wide)) {
            return *slot;
        }
        let slot = self.new_slots(wide);
        self.constants.insert((value, wide), slot);
        slot
    }

    pub fn special(&mut self, special: Special) -> Slot {
        if let Some(slot) = self.specials.get(&special) {
            return *slot;
        }
        let slot = self.new_slots(false);
        self.specials.insert(special, slot);
        slot
    }

    /// Space and address of a variable or parameter.
    pub fn address_of(&self, name: &str) -> Result<(Space, u64)> {
        if let Some(param) = self.kernel.params.iter().find(|param| param.name == name) {
            return Ok((Space::Param, param.offset as u64));
        }
        self.symbols.get(name).copied().ok_or(format!("unknown symbol '{name}'"))
    }

    pub fn label(&self, name: &str) -> Result<u32> {
        self.kernel.labels.get(name).map(|at| *at as u32).ok_or(format!("unknown label '{name}'"))
    }

    pub fn branch_table(&self, name: &str) -> Result<Vec<u32>> {
        let targets = self.kernel.branch_tables.get(name).ok_or(format!("unknown table '{name}'"))?;
        targets.iter().map(|target| self.label(target)).collect()
    }
}

/// Decodes a kernel of a module whose global variables have the given addresses.
pub fn build(
    kernel: &Kernel,
    variables: &[Variable],
    globals: &Symbols,
) -> std::result::Result<Program, LoadError> {
    let mut symbols = globals.clone();
    let shared_bytes = place_shared(kernel, variables, &mut symbols);
    let local_bytes = place_local(kernel, &mut symbols);
    let mut builder = Builder::new(kernel, symbols);
    let mut code = Vec::with_capacity(kernel.instructions.len() + 1);
    for instruction in &kernel.instructions {
        let guard = match instruction.guard {
            None => Ok((builder.always(), 0)),
            Some((register, negated)) => {
                builder.predicate(register).map(|index| (index, if negated { u32::MAX } else { 0 }))
            }
        };
        let decoded = guard.and_then(|guard| Ok((guard, decode(&mut Site::new(&mut builder, instruction))?)));
        let ((guard, flip), decoded) = decoded.map_err(|reason| LoadError::Instruction {
            kernel: kernel.name.clone(),
            line: instruction.line,
            text: instruction.text.clone(),
            reason,
        })?;
        let Decoded { action, class, multiply_adds } = decoded;
        code.push(Inst { action, guard, flip, class, multiply_adds });
    }
    Ok(finish(builder, code, shared_bytes, local_bytes))
}

fn finish(builder: Builder, mut code: Vec<Inst>, shared_bytes: usize, local_bytes: usize) -> Program {
    let kernel = builder.kernel;
    let mut places: Vec<Place> = kernel
        .instructions
        .iter()
        .map(|instruction| Place { line: instruction.line, text: instruction.text.clone() })
        .collect();
    // A body may end without `ret`.
    let (guard, class) = (builder.always(), Class::Control);
    code.push(Inst { action: Action::Exit, guard, flip: 0, class, multiply_adds: None });
    places.push(Place { line: 0, text: "end of the kernel".to_owned() });
    let declared: usize = kernel.registers.iter().map(|ty| ty.bytes().div_ceil(4)).sum();
    Program {
        name: kernel.name.clone(),
        code,
        places,
        slots: builder.slots,
        predicates: builder.predicates + 2,
        constants: builder.constants.into_iter().map(|((value, wide), slot)| (slot, value, wide)).collect(),
        specials: builder.specials.into_iter().map(|(special, slot)| (slot, special)).collect(),
        param_bytes: kernel.param_bytes,
        params: kernel.params.iter().map(|param| (param.offset, param.size)).collect(),
        shared_bytes,
        local_bytes,
        registers: declared.clamp(16, 255) as u32,
        max_threads: kernel.max_threads.unwrap_or(1024),
    }
}

/// Static shared variables that the kernel names, one after the other; external ones start behind them all.
fn place_shared(kernel: &Kernel, variables: &[Variable], symbols: &mut Symbols) -> usize {
    let mut size: usize = 0;
    let own = kernel.variables.iter().chain(variables).filter(|variable| variable.space == Space::Shared);
    let named: Vec<&Variable> = own.filter(|variable| is_named(kernel, &variable.name)).collect();
    for variable in named.iter().filter(|variable| !variable.external) {
        size = size.next_multiple_of(variable.align);
        symbols.insert(variable.name.clone(), (Space::Shared, size as u64));
        size += variable.size;
    }
    let dynamic = named.iter().filter(|variable| variable.external);
    for variable in dynamic {
        size = size.next_multiple_of(variable.align.max(16));
        symbols.insert(variable.name.clone(), (Space::Shared, size as u64));
    }
    size
}

fn place_local(kernel: &Kernel, symbols: &mut Symbols) -> usize {
    let mut size: usize = 0;
    for variable in kernel.variables.iter().filter(|variable| variable.space == Space::Local) {
        size = size.next_multiple_of(variable.align.max(1));
        symbols.insert(variable.name.clone(), (Space::Local, size as u64));
        size += variable.size;
    }
    size.next_multiple_of(16)
}

fn is_named(kernel: &Kernel, name: &str) -> bool {
    fn names(operand: &Operand, name: &str) -> bool {
        match operand {
            Operand::Symbol(symbol, _) => symbol == name,
            Operand::Address(base, _) => names(base, name),
            Operand::Vector(elements) => elements.iter().any(|element| names(element, name)),
            _ => false,
        }
    }
    let mut instructions = kernel.instructions.iter();
    instructions.any(|instruction| instruction.operands.iter().any(|operand| names(operand, name)))
}

/// Coordinates of a thread of the block from its number.
pub fn thread_of(number: usize, block_size: [u32; 3]) -> [u32; 3] {
    let (number, [x, y, _]) = (number as u32, block_size);
    [number % x, number / x % y, number / x / y]
}

impl Program {
    /// Registers of one warp, constants filled in.
    pub fn registers(&self) -> Registers {
        let mut registers = Registers::new(self.slots.max(2), self.predicates);
        for &(slot, value, wide) in &self.constants {
            if wide {
                registers.fill(slot, value);
            } else {
                registers.fill(slot, value as u32);
            }
        }
        registers.predicates[self.predicates - 2] = u32::MAX;
        registers
    }
}

/// One value a lane for the special registers that differ between lanes, and one for all otherwise.
pub fn special_lanes(value: impl Fn(usize) -> u32) -> [u32; LANES] {
    std::array::from_fn(value)
}
