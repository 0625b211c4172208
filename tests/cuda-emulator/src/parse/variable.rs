//! Declarations of variables and parameters (PTX ISA, section 5.4): `.global .align 16 .b8 name[64] = {1, 2};`.

use super::Parser;
use super::ast::{Space, Type, Variable};
use super::lexer::Token;
use crate::error::LoadError;

/// What stands before a variable's name.
pub struct Head {
    pub ty: Type,
    pub align: usize,
}

impl<'a> Parser<'a> {
    /// `.align 16 .b8`, `.u32`, `.u64 .ptr .global .align 16`: everything before the name.
    pub fn variable_head(&mut self) -> Result<Head, LoadError> {
        let (mut ty, mut align, mut lanes, mut pointer) = (None, None, 1, false);
        while let Token::Word(word) = self.peek() {
            match word {
                ".align" => {
                    self.next();
                    let value = self.integer()? as usize;
                    // After `.ptr` it speaks of what is pointed to.
                    if !pointer {
                        align = Some(value);
                    }
                    continue;
                }
                ".ptr" => pointer = true,
                ".global" | ".const" | ".shared" | ".local" if pointer => {}
                ".v2" => lanes = 2,
                ".v4" => lanes = 4,
                _ => match word.strip_prefix('.').and_then(Type::parse) {
                    Some(found) if ty.is_none() => ty = Some(found),
                    _ if word.starts_with('.') => return Err(self.unexpected("a type")),
                    _ => break,
                },
            }
            self.next();
        }
        let ty = ty.ok_or_else(|| self.unexpected("a type"))?;
        if lanes != 1 {
            return Err(self.unexpected("a scalar type"));
        }
        Ok(Head { ty, align: align.unwrap_or(ty.bytes()) })
    }

    /// `[4][8]` after a name: the number of elements; 0 for `[]`.
    pub fn dimensions(&mut self) -> Result<usize, LoadError> {
        let mut elements = 1;
        while self.accept('[') {
            if self.accept(']') {
                elements = 0;
                continue;
            }
            elements *= self.integer()? as usize;
            self.expect(']')?;
        }
        Ok(elements)
    }

    /// The declarations of one statement, whose state space was read already.
    pub fn variables(&mut self, space: Space, external: bool) -> Result<Vec<Variable>, LoadError> {
        let head = self.variable_head()?;
        let mut all = Vec::new();
        loop {
            let name = self.word()?.to_owned();
            let elements = self.dimensions()?;
            let size = elements * head.ty.bytes();
            let init = if self.accept('=') { Some(self.initialiser(head.ty)?) } else { None };
            let size = init.as_ref().map_or(size, |bytes: &Vec<u8>| size.max(bytes.len()));
            all.push(Variable { name, space, align: head.align, size, init, external });
            if !self.accept(',') {
                break;
            }
        }
        self.expect(';')?;
        Ok(all)
    }

    /// Numbers, in braces or not. Addresses of other variables are not supported.
    fn initialiser(&mut self, ty: Type) -> Result<Vec<u8>, LoadError> {
        let mut bytes = Vec::new();
        if !self.accept('{') {
            self.initial_value(ty, &mut bytes)?;
            return Ok(bytes);
        }
        loop {
            if self.peek() == Token::Punct('{') {
                bytes.extend(self.initialiser(ty)?);
            } else {
                self.initial_value(ty, &mut bytes)?;
            }
            if !self.accept(',') {
                break;
            }
        }
        self.expect('}')?;
        Ok(bytes)
    }

    fn initial_value(&mut self, ty: Type, bytes: &mut Vec<u8>) -> Result<(), LoadError> {
        let value = match self.peek() {
            Token::Single(bits) => u64::from(bits),
            Token::Double(bits) => bits,
            _ => {
                let value = self.integer()?;
                bytes.extend(&value.to_le_bytes()[..ty.bytes()]);
                return Ok(());
            }
        };
        self.next();
        bytes.extend(&value.to_le_bytes()[..ty.bytes()]);
        Ok(())
    }
}
