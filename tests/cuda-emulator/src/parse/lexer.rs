//! Tokens of a PTX module (PTX ISA, chapter 4, "Syntax"): words with their dotted modifiers, numbers, punctuation.
//! `ld.global.v4.f32` and `%tid.x` are one word each; `::` belongs to the word it stands in (`.shared::cta`).

use crate::error::LoadError;

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Token<'a> {
    Word(&'a str),
    Integer(i64),
    /// `0f3F800000`: the bits of a single.
    Single(u32),
    /// `0d3FF0000000000000`: the bits of a double.
    Double(u64),
    Text(&'a str),
    Punct(char),
    End,
}

/// A token, where it starts and ends in the source, and its line (from 1).
#[derive(Debug, Clone, Copy)]
pub struct Spanned<'a> {
    pub token: Token<'a>,
    pub start: usize,
    pub end: usize,
    pub line: u32,
}

pub fn tokens(source: &str) -> Result<Vec<Spanned<'_>>, LoadError> {
    let mut lexer = Lexer { source, at: 0, line: 1 };
    let mut all = Vec::with_capacity(source.len() / 4);
    loop {
        lexer.skip_blanks();
        let (start, line) = (lexer.at, lexer.line);
        let token = lexer.next_token()?;
        all.push(Spanned { token, start, end: lexer.at, line });
        if token == Token::End {
            return Ok(all);
        }
    }
}

struct Lexer<'a> {
    source: &'a str,
    at: usize,
    line: u32,
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        &self.source[self.at..]
    }

    fn advance(&mut self, bytes: usize) -> &'a str {
        let taken = &self.source[self.at..self.at + bytes];
        self.line += taken.bytes().filter(|&b| b == b'\n').count() as u32;
        self.at += bytes;
        taken
    }

    fn skip_blanks(&mut self) {
        loop {
            let rest = self.rest();
            let blank = rest.len() - rest.trim_start().len();
            let comment = if rest[blank..].starts_with("//") {
                rest[blank..].find('\n').unwrap_or(rest.len() - blank)
            } else if rest[blank..].starts_with("/*") {
                rest[blank..].find("*/").map_or(rest.len() - blank, |end| end + 2)
            } else {
                0
            };
            if blank + comment == 0 {
                return;
            }
            self.advance(blank + comment);
        }
    }

    fn next_token(&mut self) -> Result<Token<'a>, LoadError> {
        let rest = self.rest();
        let Some(first) = rest.chars().next() else { return Ok(Token::End) };
        if first.is_ascii_digit() {
            return self.number();
        }
        if is_word_start(rest) {
            let length = word_length(rest);
            return Ok(Token::Word(self.advance(length)));
        }
        if first == '"' {
            let end = rest[1..].find('"').ok_or_else(|| self.error("string without an end"))?;
            return Ok(Token::Text(&self.advance(end + 2)[1..=end]));
        }
        self.advance(first.len_utf8());
        Ok(Token::Punct(first))
    }

    fn number(&mut self) -> Result<Token<'a>, LoadError> {
        let rest = self.rest();
        let length = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
        let text = self.advance(length);
        let token = match text.get(..2) {
            Some("0f" | "0F") => u32::from_str_radix(&text[2..], 16).map(Token::Single),
            Some("0d" | "0D") => u64::from_str_radix(&text[2..], 16).map(Token::Double),
            _ => integer(text).map(Token::Integer),
        };
        token.map_err(|_| self.error(&format!("number '{text}'")))
    }

    fn error(&self, what: &str) -> LoadError {
        LoadError::syntax(self.line, what)
    }
}

fn integer(text: &str) -> Result<i64, std::num::ParseIntError> {
    let digits = text.trim_end_matches('U');
    let (digits, radix) = match digits.get(..2) {
        Some("0x" | "0X") => (&digits[2..], 16),
        Some("0b" | "0B") => (&digits[2..], 2),
        _ if digits.len() > 1 && digits.starts_with('0') => (&digits[1..], 8),
        _ => (digits, 10),
    };
    u64::from_str_radix(digits, radix).map(|value| value as i64)
}

fn is_word_start(rest: &str) -> bool {
    let mut bytes = rest.bytes();
    let first = bytes.next().unwrap_or(b' ');
    let second = bytes.next().unwrap_or(b' ');
    first.is_ascii_alphabetic()
        || matches!(first, b'_' | b'$')
        || (matches!(first, b'%' | b'.') && (second.is_ascii_alphabetic() || matches!(second, b'_' | b'$')))
}

fn word_length(rest: &str) -> usize {
    let bytes = rest.as_bytes();
    let mut at = 1;
    while at < bytes.len() {
        let in_word = bytes[at].is_ascii_alphanumeric() || matches!(bytes[at], b'_' | b'$' | b'.');
        if bytes[at..].starts_with(b"::") {
            at += 2;
        } else if in_word {
            at += 1;
        } else {
            break;
        }
    }
    at
}
