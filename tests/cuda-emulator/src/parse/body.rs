//! Bodies of kernels: scopes, register declarations, labels, instructions (PTX ISA, sections 4.3 and 11.6).
//! Inline assembly opens scopes of its own, whose registers hide those outside.

use super::Parser;
use super::ast::{Instruction, Kernel, Operand, Register, Type};
use super::lexer::Token;
use crate::error::LoadError;
use std::collections::HashMap;

type Scopes = Vec<HashMap<String, Register>>;

impl<'a> Parser<'a> {
    pub fn body(&mut self, kernel: &mut Kernel) -> Result<(), LoadError> {
        self.expect('{')?;
        let mut scopes: Scopes = vec![HashMap::new()];
        while !scopes.is_empty() {
            match self.peek() {
                Token::Punct('{') => {
                    self.next();
                    scopes.push(HashMap::new());
                }
                Token::Punct('}') => {
                    self.next();
                    scopes.pop();
                }
                Token::Punct(';') => drop(self.next()),
                Token::Word(word) if word.starts_with('.') => self.directive(word, kernel, &mut scopes)?,
                Token::Word(name) if self.peek_after() == Token::Punct(':') => self.label(name, kernel)?,
                Token::Word(_) | Token::Punct('@') => {
                    let instruction = self.instruction(&scopes)?;
                    kernel.instructions.push(instruction);
                }
                _ => return Err(self.unexpected("a statement")),
            }
        }
        Ok(())
    }

    fn directive(&mut self, word: &str, kernel: &mut Kernel, scopes: &mut Scopes) -> Result<(), LoadError> {
        self.next();
        match word {
            ".reg" => self.registers(kernel, scopes),
            ".loc" => {
                self.skip_line();
                Ok(())
            }
            ".pragma" => {
                self.next();
                self.expect(';')
            }
            _ => {
                let space = self.space_of(word)?;
                let found = self.variables(space, false)?;
                kernel.variables.extend(found);
                Ok(())
            }
        }
    }

    /// `.reg .b32 %r<15>;` declares %r0 to %r14, `.reg .f32 a, b;` each by name.
    fn registers(&mut self, kernel: &mut Kernel, scopes: &mut Scopes) -> Result<(), LoadError> {
        let head = self.variable_head()?;
        let scope = scopes.last_mut().expect("the body's own scope");
        let mut declare = |name: String, registers: &mut Vec<Type>| {
            scope.insert(name, registers.len());
            registers.push(head.ty);
        };
        loop {
            let name = self.word()?;
            if self.accept('<') {
                for number in 0..self.integer()? {
                    declare(format!("{name}{number}"), &mut kernel.registers);
                }
                self.expect('>')?;
            } else {
                declare(name.to_owned(), &mut kernel.registers);
            }
            if !self.accept(',') {
                return self.expect(';');
            }
        }
    }

    /// `name:`, or `name: .branchtargets a, b, c;`.
    fn label(&mut self, name: &str, kernel: &mut Kernel) -> Result<(), LoadError> {
        self.next();
        self.expect(':')?;
        if !self.accept_word(".branchtargets") {
            kernel.labels.insert(name.to_owned(), kernel.instructions.len());
            return Ok(());
        }
        let mut targets = vec![self.word()?.to_owned()];
        while self.accept(',') {
            targets.push(self.word()?.to_owned());
        }
        kernel.branch_tables.insert(name.to_owned(), targets);
        self.expect(';')
    }

    fn instruction(&mut self, scopes: &Scopes) -> Result<Instruction, LoadError> {
        let (start, line) = (self.tokens[self.at].start, self.line());
        let guard = self.guard(scopes)?;
        let opcode = self.word()?.to_owned();
        let mut operands = Vec::new();
        while !self.accept(';') {
            operands.push(self.operand(scopes)?);
            if !self.accept(',') && self.peek() != Token::Punct(';') {
                return Err(self.unexpected("',' or ';'"));
            }
        }
        let text = self.source[start..self.tokens[self.at - 1].start].split_whitespace();
        let text = text.collect::<Vec<_>>().join(" ");
        Ok(Instruction { guard, opcode, operands, line, text })
    }

    fn guard(&mut self, scopes: &Scopes) -> Result<Option<(Register, bool)>, LoadError> {
        if !self.accept('@') {
            return Ok(None);
        }
        let negated = self.accept('!');
        let name = self.word()?;
        let register = find(scopes, name).ok_or_else(|| self.undeclared(name))?;
        Ok(Some((register, negated)))
    }

    fn operand(&mut self, scopes: &Scopes) -> Result<Operand, LoadError> {
        let first = self.simple_operand(scopes)?;
        if self.accept('|') {
            let second = self.simple_operand(scopes)?;
            return Ok(Operand::Pair(Box::new(first), Box::new(second)));
        }
        Ok(first)
    }

    fn simple_operand(&mut self, scopes: &Scopes) -> Result<Operand, LoadError> {
        match self.peek() {
            Token::Punct('[') => self.address(scopes),
            Token::Punct('{') => self.vector(scopes),
            Token::Punct('!') => {
                self.next();
                let name = self.word()?;
                find(scopes, name).map(Operand::Not).ok_or_else(|| self.undeclared(name))
            }
            Token::Punct('-') | Token::Integer(_) => self.integer().map(Operand::Integer),
            Token::Single(bits) => {
                self.next();
                Ok(Operand::Single(bits))
            }
            Token::Double(bits) => {
                self.next();
                Ok(Operand::Double(bits))
            }
            Token::Word(_) => self.named(scopes),
            _ => Err(self.unexpected("an operand")),
        }
    }

    /// A register, special register, or symbol with an optional offset.
    fn named(&mut self, scopes: &Scopes) -> Result<Operand, LoadError> {
        let name = self.word()?;
        if let Some(register) = find(scopes, name) {
            return Ok(Operand::Register(register));
        }
        if name == "_" {
            return Ok(Operand::Sink);
        }
        if name == "WARP_SZ" {
            return Ok(Operand::Integer(32));
        }
        if name.starts_with('%') {
            return Ok(Operand::Special(name.to_owned()));
        }
        let offset = self.offset()?;
        Ok(Operand::Symbol(name.to_owned(), offset))
    }

    fn offset(&mut self) -> Result<i64, LoadError> {
        match self.peek() {
            Token::Punct('+') => {
                self.next();
                self.integer()
            }
            Token::Punct('-') => self.integer(),
            _ => Ok(0),
        }
    }

    fn address(&mut self, scopes: &Scopes) -> Result<Operand, LoadError> {
        self.expect('[')?;
        let base = self.simple_operand(scopes)?;
        let offset = self.offset()?;
        self.expect(']')?;
        Ok(Operand::Address(Box::new(base), offset))
    }

    fn vector(&mut self, scopes: &Scopes) -> Result<Operand, LoadError> {
        self.expect('{')?;
        let mut elements = vec![self.simple_operand(scopes)?];
        while self.accept(',') {
            elements.push(self.simple_operand(scopes)?);
        }
        self.expect('}')?;
        Ok(Operand::Vector(elements))
    }

    fn undeclared(&self, name: &str) -> LoadError {
        LoadError::syntax(self.line(), &format!("register '{name}' is not declared"))
    }
}

fn find(scopes: &Scopes, name: &str) -> Option<Register> {
    scopes.iter().rev().find_map(|scope| scope.get(name).copied())
}
