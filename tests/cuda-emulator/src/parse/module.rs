//! Module scope: directives, variables, and the heads of kernels (PTX ISA, sections 11.1 to 11.5).

use super::Parser;
use super::ast::{Kernel, Module, Param, Space};
use super::lexer::Token;
use crate::error::LoadError;

/// Linkage words before a variable or a kernel.
#[derive(Default)]
struct Linkage {
    external: bool,
}

impl<'a> Parser<'a> {
    pub fn module(&mut self) -> Result<Module, LoadError> {
        let mut module = Module::default();
        let mut linkage = Linkage::default();
        while let Token::Word(word) = self.peek() {
            self.next();
            match word {
                ".version" => module.version = self.version()?,
                ".target" => module.target = self.target()?,
                ".address_size" => drop(self.integer()?),
                ".file" => self.skip_line(),
                ".section" => self.skip_section()?,
                ".visible" | ".weak" | ".common" => {}
                ".extern" => linkage.external = true,
                ".entry" => module.kernels.push(self.kernel()?),
                ".func" => return Err(self.unexpected("no '.func': calls are not supported; function")),
                _ => {
                    let space = self.space_of(word)?;
                    let external = std::mem::take(&mut linkage).external;
                    module.variables.extend(self.variables(space, external)?);
                }
            }
        }
        if self.peek() == Token::End { Ok(module) } else { Err(self.unexpected("a directive")) }
    }

    /// `9.5`: the dot and the digits are tokens of their own.
    fn version(&mut self) -> Result<u32, LoadError> {
        let major = self.integer()?;
        self.expect('.')?;
        Ok((10 * major + self.integer()?) as u32)
    }

    fn target(&mut self) -> Result<u32, LoadError> {
        let name = self.word()?;
        let digits = name.strip_prefix("sm_").map(|d| d.trim_end_matches(|c: char| !c.is_ascii_digit()));
        let target = digits.and_then(|d| d.parse().ok());
        while self.accept(',') {
            self.word()?;
        }
        target.ok_or_else(|| self.unexpected(&format!("a target sm_NN, not {name}")))
    }

    pub fn space_of(&self, word: &str) -> Result<Space, LoadError> {
        match word {
            ".global" | ".const" => Ok(Space::Global),
            ".shared" => Ok(Space::Shared),
            ".local" => Ok(Space::Local),
            _ => Err(LoadError::syntax(self.line(), &format!("directive '{word}'"))),
        }
    }

    /// Line information takes its whole line.
    pub fn skip_line(&mut self) {
        let line = self.tokens[self.at - 1].line;
        while self.peek() != Token::End && self.line() == line {
            self.next();
        }
    }

    /// Debug sections: braces without an effect on execution.
    fn skip_section(&mut self) -> Result<(), LoadError> {
        while !matches!(self.peek(), Token::Punct('{') | Token::End) {
            self.next();
        }
        self.expect('{')?;
        while !matches!(self.peek(), Token::Punct('}') | Token::End) {
            self.next();
        }
        self.expect('}')
    }

    fn kernel(&mut self) -> Result<Kernel, LoadError> {
        let mut kernel = Kernel { name: self.word()?.to_owned(), ..Kernel::default() };
        if self.accept('(') && !self.accept(')') {
            loop {
                self.param(&mut kernel)?;
                if !self.accept(',') {
                    break;
                }
            }
            self.expect(')')?;
        }
        self.performance_directives(&mut kernel)?;
        self.body(&mut kernel)?;
        Ok(kernel)
    }

    fn param(&mut self, kernel: &mut Kernel) -> Result<(), LoadError> {
        if !self.accept_word(".param") {
            return Err(self.unexpected("'.param'"));
        }
        let head = self.variable_head()?;
        let name = self.word()?.to_owned();
        let size = self.dimensions()? * head.ty.bytes();
        let offset = kernel.param_bytes.next_multiple_of(head.align);
        kernel.params.push(Param { name, offset, size });
        kernel.param_bytes = offset + size;
        Ok(())
    }

    /// `.maxntid 256, 1, 1` and the like, between a kernel's head and its body (section 11.4).
    fn performance_directives(&mut self, kernel: &mut Kernel) -> Result<(), LoadError> {
        while let Token::Word(word) = self.peek() {
            self.next();
            let mut product = 1;
            while matches!(self.peek(), Token::Integer(_)) {
                product *= self.integer()? as u32;
                if !self.accept(',') {
                    break;
                }
            }
            match word {
                ".maxntid" | ".reqntid" => kernel.max_threads = Some(product),
                ".minnctapersm" | ".maxnctapersm" | ".maxnreg" | ".noreturn" => {}
                _ => return Err(LoadError::syntax(self.line(), &format!("directive '{word}'"))),
            }
        }
        Ok(())
    }
}
