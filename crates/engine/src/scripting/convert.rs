//! What scripts return, as replies in the client's protocol. The other way is in `push`.

use mlua::{Function, Lua, Table, Value};
use respire_resp::{Out, Proto};

use super::arguments::number_text;
use super::guard::Plain;

/// Tables that are inside each other in a reply, at most. Lua's own stack, on which Redis works, has room for a few more.
const NESTED_MAX: usize = 7000;

/// A table with one field.
pub(super) fn field(lua: &Lua, name: &str, value: Value) -> mlua::Result<Value> {
    let table = lua.create_table_with_capacity(0, 1)?;
    table.raw_set(name, value)?;
    Ok(Value::Table(table))
}

/// An error that a script returned.
#[derive(Debug, Default)]
pub(super) struct Returned {
    /// Its text, if there was one; the first, if there were several.
    pub(super) error: Option<Vec<u8>>,
    /// It has been counted where it happened.
    pub(super) counted: bool,
}

/// Writes what is no table; `script` is the protocol that the script has chosen.
pub(super) fn plain(out: &mut Out, script: Proto, value: Plain<'_>) {
    match value {
        Plain::Text(text) => out.bulk(text),
        Plain::Number(number) => out.int(truncated(number)),
        Plain::Boolean(value) if script == Proto::Resp3 => out.bool(value),
        Plain::Boolean(true) => out.int(1),
        Plain::Boolean(false) | Plain::Nil => out.null(),
    }
}

/// What is still to be written of a table.
enum Frame {
    /// The elements from this index on; so many were announced.
    Elements { table: Table, next: usize, len: usize },
    /// The pairs of a map behind this key, or the members of a set, whose values are not written.
    Pairs { table: Table, key: Value, value: Option<Value>, members: bool },
}

/// Writes what scripts return. It keeps its place in nested tables in a list of its own: scripts may nest them deeper than
/// a thread's stack is.
pub(super) struct Writer<'o> {
    out: &'o mut Out,
    /// The script's own protocol, which decides what becomes of booleans.
    script: Proto,
    /// Lua's `next`.
    next: &'o Function,
    returned: Returned,
    frames: Vec<Frame>,
}

impl<'o> Writer<'o> {
    pub(super) fn new(out: &'o mut Out, script: Proto, next: &'o Function) -> Self {
        Self { out, script, next, returned: Returned::default(), frames: Vec::new() }
    }

    /// Writes a value.
    pub(super) fn write(mut self, value: Value) -> mlua::Result<Returned> {
        self.begin(value)?;
        while let Some(frame) = self.frames.last_mut() {
            let next = match frame {
                Frame::Elements { next, len, .. } if *next > *len => None,
                Frame::Elements { table, next, .. } => {
                    *next += 1;
                    Some(table.raw_get(*next - 1)?)
                }
                Frame::Pairs { table, key, value, members } => match value.take() {
                    Some(value) => Some(value),
                    None => {
                        let next: (Value, Value) = self.next.call((&*table, &*key))?;
                        *key = next.0.clone();
                        *value = (!*members).then_some(next.1);
                        (!next.0.is_nil()).then_some(next.0)
                    }
                },
            };
            match next {
                Some(value) => self.begin(value)?,
                None => drop(self.frames.pop()),
            }
        }
        Ok(self.returned)
    }

    fn begin(&mut self, value: Value) -> mlua::Result<()> {
        match value {
            Value::Table(table) => return self.table(table),
            Value::String(text) => self.out.bulk(&text.as_bytes()),
            Value::Number(number) => plain(self.out, self.script, Plain::Number(number)),
            Value::Integer(number) => self.out.int(number),
            Value::Boolean(value) => plain(self.out, self.script, Plain::Boolean(value)),
            _ => self.out.null(),
        }
        Ok(())
    }

    fn table(&mut self, table: Table) -> mlua::Result<()> {
        if self.frames.len() >= NESTED_MAX {
            const LIMIT: &[u8] = b"ERR reached lua stack limit";
            self.out.error(LIMIT);
            self.returned.error.get_or_insert_with(|| LIMIT.to_vec());
            return Ok(());
        }
        if let Value::String(text) = table.raw_get("err")? {
            self.out.error(up_to_zero(&text.as_bytes()));
            if self.returned.error.is_none() {
                self.returned.error = Some(text.as_bytes().to_vec());
                self.returned.counted = is_counted(&table)?;
            }
            return Ok(());
        }
        if let Value::String(text) = table.raw_get("ok")? {
            self.status(&text.as_bytes());
            return Ok(());
        }
        if let Some(number) = number_of(&table.raw_get("double")?) {
            self.out.double(&number_text(number));
            return Ok(());
        }
        if let Value::Table(map) = table.raw_get("map")? {
            self.out.map(pairs_of(&map)?);
            self.frames.push(Frame::Pairs {
                table: map,
                key: Value::Nil,
                value: None,
                members: false,
            });
            return Ok(());
        }
        if let Value::Table(set) = table.raw_get("set")? {
            self.out.set(pairs_of(&set)?);
            self.frames.push(Frame::Pairs {
                table: set,
                key: Value::Nil,
                value: None,
                members: true,
            });
            return Ok(());
        }
        if let Value::String(digits) = table.raw_get("big_number")? {
            self.big_number(&digits.as_bytes());
            return Ok(());
        }
        if let Value::Table(inner) = table.raw_get("verbatim_string")?
            && let Value::String(content) = inner.raw_get("string")?
            && let Value::String(format) = inner.raw_get("format")?
        {
            self.verbatim(&format.as_bytes(), &content.as_bytes());
            return Ok(());
        }
        let mut len = 0;
        while !matches!(table.raw_get::<Value>(len + 1)?, Value::Nil) {
            len += 1;
        }
        self.out.array(len);
        self.frames.push(Frame::Elements { table, next: 1, len });
        Ok(())
    }

    fn status(&mut self, text: &[u8]) {
        self.out.raw(b"+");
        self.out.raw(&line(up_to_zero(text)));
        self.out.raw(b"\r\n");
    }

    fn big_number(&mut self, digits: &[u8]) {
        let digits = line(digits);
        match self.out.proto {
            Proto::Resp2 => self.out.bulk(&digits),
            Proto::Resp3 => {
                self.out.raw(b"(");
                self.out.raw(&digits);
                self.out.raw(b"\r\n");
            }
        }
    }

    fn verbatim(&mut self, format: &[u8], content: &[u8]) {
        let mut three = *b"   ";
        let format = up_to_zero(format);
        let given = &format[..format.len().min(3)];
        three[..given.len()].copy_from_slice(given);
        match self.out.proto {
            Proto::Resp2 => self.out.bulk(content),
            Proto::Resp3 => {
                self.out.raw(format!("={}\r\n", content.len() + 4).as_bytes());
                self.out.raw(&three);
                self.out.raw(b":");
                self.out.raw(content);
                self.out.raw(b"\r\n");
            }
        }
    }
}

fn pairs_of(table: &Table) -> mlua::Result<usize> {
    let mut count = 0;
    table.for_each(|_: Value, _: Value| {
        count += 1;
        Ok(())
    })?;
    Ok(count)
}

/// Whether the error in a table was counted where it happened.
pub(super) fn is_counted(error: &Table) -> mlua::Result<bool> {
    Ok(matches!(error.raw_get("ignore_error_stats_update")?, Value::Boolean(true)))
}

/// Text for a place where there must be no line ends.
fn line(text: &[u8]) -> Vec<u8> {
    text.iter().map(|byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { *byte }).collect()
}

/// Errors and statuses end at a zero byte.
pub(super) fn up_to_zero(text: &[u8]) -> &[u8] {
    text.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// A number, whichever way it comes: whole ones come as integers.
pub(super) fn number_of(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => Some(*number),
        Value::Integer(number) => Some(*number as f64),
        _ => None,
    }
}

/// A number without its fraction, as C converts it: what does not fit is the smallest one.
fn truncated(number: f64) -> i64 {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    if (-LIMIT..LIMIT).contains(&number) { number as i64 } else { i64::MIN }
}

#[test]
fn numbers_lose_their_fraction() {
    for (number, expected) in [(1.9, 1), (-1.9, -1), (1e300, i64::MIN), (f64::NAN, i64::MIN)] {
        assert_eq!(truncated(number), expected);
    }
}
