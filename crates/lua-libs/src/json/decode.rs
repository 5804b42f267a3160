//! From JSON to a Lua value, without recursion: as lenient, and with the same complaints, as scripts know it.
//!
//! Invariant: for each level there is a table on Lua's stack, and above an object's the key whose value is read.

use std::ffi::c_int;

use super::Settings;
use crate::call::{Call, Failure, Level};
use crate::number;

#[derive(Clone, Copy, PartialEq)]
enum Token {
    ObjectBegin,
    ObjectEnd,
    ArrayBegin,
    ArrayEnd,
    /// Its text is in the scratch's buffer.
    String,
    Number(f64),
    Boolean(bool),
    Null,
    Colon,
    Comma,
    End,
    /// Something that is no token, and what about it is wrong.
    Error(&'static str),
}

impl Token {
    fn name(self) -> &'static str {
        match self {
            Self::ObjectBegin => "T_OBJ_BEGIN",
            Self::ObjectEnd => "T_OBJ_END",
            Self::ArrayBegin => "T_ARR_BEGIN",
            Self::ArrayEnd => "T_ARR_END",
            Self::String => "T_STRING",
            Self::Number(_) => "T_NUMBER",
            Self::Boolean(_) => "T_BOOLEAN",
            Self::Null => "T_NULL",
            Self::Colon => "T_COLON",
            Self::Comma => "T_COMMA",
            Self::End => "T_END",
            Self::Error(what) => what,
        }
    }
}

struct Parser<'a> {
    text: &'a [u8],
    /// Where the next token is looked for.
    at: usize,
    /// Where the last one began, or what was wrong with it is.
    found_at: usize,
    lenient: bool,
    depth: i64,
}

pub fn decode(call: &mut Call<'_>) -> Result<c_int, Failure> {
    if call.arguments() != 1 {
        return Err(Failure::argument(1, "expected 1 argument"));
    }
    let text = call.string(1)?;
    if text.len() >= 2 && (text[0] == 0 || text[1] == 0) {
        return Err(Failure::text("JSON parser does not support UTF-16 or UTF-32"));
    }
    let settings: &Settings = call.settings();
    let mut parser = Parser {
        text,
        at: 0,
        found_at: 0,
        lenient: settings.decode_invalid.get(),
        depth: settings.decode_depth.get().into(),
    };
    let first = parser.next(call);
    parser.value(call, first)?;
    while let Some(level) = call.scratch.levels.pop() {
        parser.go_on(call, level)?;
    }
    match parser.next(call) {
        Token::End => Ok(1),
        other => Err(parser.unexpected("the end", other)),
    }
}

impl Parser<'_> {
    fn unexpected(&self, expected: &str, found: Token) -> Failure {
        let (found, character) = (found.name(), self.found_at + 1);
        Failure::text(format!("Expected {expected} but found {found} at character {character}"))
    }

    /// Goes on with the table on top: it ends, or its next value begins.
    fn go_on(&mut self, call: &mut Call<'_>, mut level: Level) -> Result<(), Failure> {
        let end = if level.array { Token::ArrayEnd } else { Token::ObjectEnd };
        if level.done > 0 {
            store(call, level);
        }
        let mut token = self.next(call);
        if token == end {
            return Ok(());
        }
        if level.done > 0 {
            if token != Token::Comma {
                let expected =
                    if level.array { "comma or array end" } else { "comma or object end" };
                return Err(self.unexpected(expected, token));
            }
            token = self.next(call);
        }
        if !level.array {
            if token != Token::String {
                return Err(self.unexpected("object key string", token));
            }
            call.push_out()?;
            token = self.next(call);
            if token != Token::Colon {
                return Err(self.unexpected("colon", token));
            }
            token = self.next(call);
        }
        level.done += 1;
        call.scratch.levels.push(level);
        self.value(call, token)
    }

    /// Pushes the value that begins with the token; a table empty, with a level for what it holds.
    fn value(&mut self, call: &mut Call<'_>, token: Token) -> Result<(), Failure> {
        match token {
            Token::String => call.push_out(),
            Token::Number(value) => call.push_number(value),
            Token::Boolean(value) => call.push_boolean(value),
            Token::Null => call.push_null_pointer(),
            Token::ObjectBegin | Token::ArrayBegin => {
                let depth = call.scratch.levels.len() as i64 + 1;
                if depth > self.depth || !call.make_room(4) {
                    return Err(Failure::text(format!(
                        "Found too many nested data structures ({depth}) at character {}",
                        self.at
                    )));
                }
                call.push_table()?;
                let array = token == Token::ArrayBegin;
                call.scratch.levels.push(Level { array, done: 0, size: 0 });
                Ok(())
            }
            other => Err(self.unexpected("value", other)),
        }
    }

    fn next(&mut self, call: &mut Call<'_>) -> Token {
        while matches!(self.text.get(self.at), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
        self.found_at = self.at;
        let rest = &self.text[self.at..];
        // A zero byte ends the text, as the end does.
        let Some(first) = rest.first().filter(|byte| **byte != 0) else { return Token::End };
        let (token, length) = match first {
            b'{' => (Token::ObjectBegin, 1),
            b'}' => (Token::ObjectEnd, 1),
            b'[' => (Token::ArrayBegin, 1),
            b']' => (Token::ArrayEnd, 1),
            b':' => (Token::Colon, 1),
            b',' => (Token::Comma, 1),
            b'"' => return self.string(call),
            _ if self.begins_number(rest) => match number::parse(rest) {
                Some((value, length)) if self.lenient || !beyond_json(rest) => {
                    (Token::Number(value), length)
                }
                _ => (Token::Error("invalid number"), 0),
            },
            _ if rest.starts_with(b"true") => (Token::Boolean(true), 4),
            _ if rest.starts_with(b"false") => (Token::Boolean(false), 5),
            _ if rest.starts_with(b"null") => (Token::Null, 4),
            _ => (Token::Error("invalid token"), 0),
        };
        self.at += length;
        token
    }

    fn begins_number(&self, rest: &[u8]) -> bool {
        match rest[0] {
            b'-' | b'0'..=b'9' => true,
            b'+' => self.lenient,
            _ => self.lenient && is_named(rest),
        }
    }

    /// Reads a string into the scratch's buffer.
    fn string(&mut self, call: &mut Call<'_>) -> Token {
        let out = &mut call.scratch.out;
        out.clear();
        let mut at = self.at + 1;
        loop {
            let rest = self.text.get(at..).unwrap_or_default();
            let plain = rest.iter().take_while(|byte| !matches!(**byte, b'"' | b'\\' | 0)).count();
            out.extend_from_slice(&rest[..plain]);
            at += plain;
            self.found_at = at;
            let escape = match rest.get(plain) {
                Some(b'"') => break,
                Some(b'\\') => &rest[plain + 1..],
                _ => return Token::Error("unexpected end of string"),
            };
            let plain = match escape.first() {
                Some(b'u') => match unicode(escape) {
                    Some((character, length)) => {
                        let mut bytes = [0; 4];
                        out.extend_from_slice(character.encode_utf8(&mut bytes).as_bytes());
                        at += 1 + length;
                        continue;
                    }
                    None => return Token::Error("invalid unicode escape code"),
                },
                Some(b'b') => 8,
                Some(b't') => b'\t',
                Some(b'n') => b'\n',
                Some(b'f') => 12,
                Some(b'r') => b'\r',
                Some(same @ (b'"' | b'\\' | b'/')) => *same,
                _ => return Token::Error("invalid escape code"),
            };
            out.push(plain);
            at += 2;
        }
        self.found_at = self.at;
        self.at = at + 1;
        Token::String
    }
}

/// Puts the value on top into the table of the level.
fn store(call: &mut Call<'_>, level: Level) {
    if level.array {
        call.set_element(level.done as c_int);
    } else {
        call.set_field();
    }
}

fn is_named(text: &[u8]) -> bool {
    number::starts_with(text, b"inf") || number::starts_with(text, b"nan")
}

/// Whether what `strtod` reads here is more than JSON's grammar knows, as far as the library looks.
fn beyond_json(text: &[u8]) -> bool {
    let text = text.strip_prefix(b"-").unwrap_or(text);
    match text {
        [b'0', next, ..] => next.is_ascii_digit() || next.eq_ignore_ascii_case(&b'x'),
        [b'0'..=b'9', ..] => false,
        _ => is_named(text),
    }
}

/// The character of an escape from its `u` on, surrogate pairs in one, and how long it is.
fn unicode(text: &[u8]) -> Option<(char, usize)> {
    let unit = |text: &[u8]| {
        let digits = text.strip_prefix(b"u")?.get(..4)?;
        digits
            .iter()
            .try_fold(0, |value, digit| Some(value << 4 | char::from(*digit).to_digit(16)?))
    };
    let high = unit(text)?;
    if !(0xd800..0xdc00).contains(&high) {
        return Some((char::from_u32(high)?, 5));
    }
    let low = unit(text.get(5..)?.strip_prefix(b"\\")?)?;
    if !(0xdc00..0xe000).contains(&low) {
        return None;
    }
    Some((char::from_u32(0x10000 + (high - 0xd800) * 0x400 + low - 0xdc00)?, 11))
}
