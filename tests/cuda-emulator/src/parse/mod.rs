//! From PTX text to variables, kernels and instructions. What is not known is an error that names it.
//! Source: PTX ISA, chapters 4 (syntax), 5 (state spaces), 11 (directives).

pub mod ast;
mod body;
mod lexer;
mod module;
mod variable;

use crate::error::LoadError;
use lexer::{Spanned, Token};

/// Parses a whole module.
pub fn parse(source: &str) -> Result<ast::Module, LoadError> {
    let tokens = lexer::tokens(source)?;
    let mut parser = Parser { source, tokens, at: 0 };
    parser.module()
}

/// Walks over the tokens of one module.
struct Parser<'a> {
    source: &'a str,
    tokens: Vec<Spanned<'a>>,
    at: usize,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Token<'a> {
        self.tokens[self.at].token
    }

    fn peek_after(&self) -> Token<'a> {
        self.tokens[(self.at + 1).min(self.tokens.len() - 1)].token
    }

    fn line(&self) -> u32 {
        self.tokens[self.at].line
    }

    fn next(&mut self) -> Token<'a> {
        let token = self.peek();
        if token != Token::End {
            self.at += 1;
        }
        token
    }

    fn accept(&mut self, c: char) -> bool {
        let found = self.peek() == Token::Punct(c);
        if found {
            self.at += 1;
        }
        found
    }

    fn accept_word(&mut self, word: &str) -> bool {
        let found = self.peek() == Token::Word(word);
        if found {
            self.at += 1;
        }
        found
    }

    fn expect(&mut self, c: char) -> Result<(), LoadError> {
        if self.accept(c) { Ok(()) } else { Err(self.unexpected(&format!("'{c}'"))) }
    }

    fn word(&mut self) -> Result<&'a str, LoadError> {
        match self.next() {
            Token::Word(word) => Ok(word),
            _ => {
                self.at -= 1;
                Err(self.unexpected("a name"))
            }
        }
    }

    /// An integer, with its sign.
    fn integer(&mut self) -> Result<i64, LoadError> {
        let negative = self.accept('-');
        match self.peek() {
            Token::Integer(value) => {
                self.at += 1;
                Ok(if negative { value.wrapping_neg() } else { value })
            }
            _ => Err(self.unexpected("an integer")),
        }
    }

    fn unexpected(&self, wanted: &str) -> LoadError {
        let spanned = self.tokens[self.at];
        let found = &self.source[spanned.start..spanned.end];
        LoadError::syntax(spanned.line, &format!("'{found}' where {wanted} was expected"))
    }
}
