//! What the parser makes of a PTX module: variables, kernels, and instructions with resolved registers.

use std::collections::HashMap;

/// Fundamental types (PTX ISA, section 5.2), and the packed and alternate formats of section 5.2.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Type {
    B8,
    B16,
    B32,
    B64,
    U8,
    U16,
    U32,
    U64,
    S8,
    S16,
    S32,
    S64,
    F16,
    F16x2,
    Bf16,
    Bf16x2,
    Tf32,
    F32,
    F64,
    Pred,
}

impl Type {
    pub fn parse(name: &str) -> Option<Type> {
        use Type::*;
        Some(match name {
            "b8" => B8,
            "b16" => B16,
            "b32" => B32,
            "b64" => B64,
            "u8" => U8,
            "u16" => U16,
            "u32" => U32,
            "u64" => U64,
            "s8" => S8,
            "s16" => S16,
            "s32" => S32,
            "s64" => S64,
            "f16" => F16,
            "f16x2" => F16x2,
            "bf16" => Bf16,
            "bf16x2" => Bf16x2,
            "tf32" => Tf32,
            "f32" => F32,
            "f64" => F64,
            "pred" => Pred,
            _ => return None,
        })
    }

    pub fn bytes(self) -> usize {
        use Type::*;
        match self {
            B8 | U8 | S8 | Pred => 1,
            B16 | U16 | S16 | F16 | Bf16 => 2,
            B32 | U32 | S32 | F16x2 | Bf16x2 | Tf32 | F32 => 4,
            B64 | U64 | S64 | F64 => 8,
        }
    }

    pub fn is_signed(self) -> bool {
        matches!(self, Type::S8 | Type::S16 | Type::S32 | Type::S64)
    }
}

/// State spaces (PTX ISA, section 5.1). Constant memory lives among the global allocations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Space {
    Global,
    Shared,
    Local,
    Param,
    Generic,
}

#[derive(Debug, Clone)]
pub struct Variable {
    pub name: String,
    pub space: Space,
    pub align: usize,
    pub size: usize,
    /// Initial bytes; the rest is zero. `None` without an initialiser (global memory then starts as zero as well).
    pub init: Option<Vec<u8>>,
    /// `.extern .shared`: starts where the static shared memory ends.
    pub external: bool,
}

#[derive(Debug, Clone)]
pub struct Param {
    pub name: String,
    pub offset: usize,
    pub size: usize,
}

/// Number of a register within its kernel.
pub type Register = usize;

#[derive(Debug, Clone, PartialEq)]
pub enum Operand {
    Register(Register),
    /// `%tid.x` and its kin.
    Special(String),
    Integer(i64),
    Single(u32),
    Double(u64),
    /// A variable, parameter, or label, and a byte offset.
    Symbol(String, i64),
    /// `[base + offset]`.
    Address(Box<Operand>, i64),
    Vector(Vec<Operand>),
    Not(Register),
    /// `a|b`: two destinations.
    Pair(Box<Operand>, Box<Operand>),
    /// `_`.
    Sink,
}

#[derive(Debug, Clone)]
pub struct Instruction {
    /// Guard predicate, and whether it is negated.
    pub guard: Option<(Register, bool)>,
    pub opcode: String,
    pub operands: Vec<Operand>,
    pub line: u32,
    pub text: String,
}

#[derive(Debug, Clone, Default)]
pub struct Kernel {
    pub name: String,
    pub params: Vec<Param>,
    pub param_bytes: usize,
    pub registers: Vec<Type>,
    pub variables: Vec<Variable>,
    pub instructions: Vec<Instruction>,
    /// Label to the number of the instruction that it stands before.
    pub labels: HashMap<String, usize>,
    /// `.branchtargets` lists of `brx.idx`.
    pub branch_tables: HashMap<String, Vec<String>>,
    /// From `.maxntid` or `.reqntid`.
    pub max_threads: Option<u32>,
}

#[derive(Debug, Clone, Default)]
pub struct Module {
    /// `.version 7.0` gives 70.
    pub version: u32,
    /// `.target sm_80` gives 80.
    pub target: u32,
    pub variables: Vec<Variable>,
    pub kernels: Vec<Kernel>,
}
