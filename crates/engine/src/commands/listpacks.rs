//! DEBUG LISTPACK: how a value lies in its listpack, element by element. Values of other forms have none to be shown.

use std::borrow::Cow;
use std::fmt::Write;
use std::ops::ControlFlow;

use respire_datatypes::collection::Collection;
use respire_datatypes::hashes::Form;
use respire_datatypes::listpack::{Item, Listpack};

use crate::ctx::Ctx;
use crate::error::{Error, Outcome};

/// Bytes of a text that are shown.
const SHOWN: usize = 64;

pub(super) fn show(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let key = ctx.key(2);
    let db = ctx.data.held.shard(key.shard).db(ctx.data.db);
    let entry = db.find(&key, ctx.data.now_ms).live().ok_or(Error::NO_SUCH_KEY)?;
    let pack = entry.collection().and_then(listpack_of);
    let pack = pack.ok_or(Error::fixed("ERR Not a listpack encoded object."))?;
    let mut text = format!("{} bytes, {} elements\n", pack.bytes(), pack.len());
    let mut next = pack.first();
    let mut index = 0;
    while let Some(pos) = next {
        let (offset, bytes) = pack.place(pos);
        let (form, shown) = match pack.get(pos) {
            Item::Int(value) => ("integer", value.to_string()),
            Item::Bytes(text) if text.len() > SHOWN => {
                ("string", format!("\"{}...\"", text[..SHOWN].escape_ascii()))
            }
            Item::Bytes(text) => ("string", format!("\"{}\"", text.escape_ascii())),
        };
        // Writing to a string never fails.
        let _ = writeln!(text, "{index}: offset {offset}, {bytes} bytes, {form} {shown}");
        next = pack.next(pos);
        index += 1;
    }
    ctx.out.verbatim("txt", text.as_bytes());
    Ok(())
}

/// The listpack that a collection is kept in, if it is.
fn listpack_of(collection: &Collection) -> Option<Cow<'_, Listpack>> {
    match collection {
        Collection::Hash(hash) => match hash.form() {
            Form::Pack(pack) | Form::Timed(pack) => Some(Cow::Borrowed(pack)),
            Form::Table => None,
        },
        Collection::Set(set) => set.as_listpack().map(Cow::Borrowed),
        Collection::ZSet(zset) => zset.as_listpack().map(Cow::Borrowed),
        Collection::List(list) if list.encoding() == "listpack" => {
            // Its block has neither head nor end of its own.
            let mut pack = Listpack::new();
            list.for_each(0, |element| {
                element.with_bytes(|text| pack.push_back(text));
                ControlFlow::Continue(())
            });
            Some(Cow::Owned(pack))
        }
        Collection::List(_) | Collection::Stream(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Permission;
    use crate::harness::Harness;

    #[test]
    fn elements_are_shown_where_they_lie() {
        let mut h =
            Harness::with_settings(|settings| settings.enable_debug_command = Permission::Yes);
        let lines = |reply: String| -> Vec<String> {
            reply.lines().skip(1).filter(|line| !line.is_empty()).map(str::to_owned).collect()
        };
        h.run(&["HSET", "h", "f\n", "v", "n", "70000"]);
        let as_hash = lines(h.line("DEBUG LISTPACK h"));
        assert_eq!(
            as_hash,
            [
                "22 bytes, 4 elements",
                "0: offset 6, 4 bytes, string \"f\\n\"",
                "1: offset 10, 3 bytes, string \"v\"",
                "2: offset 13, 3 bytes, string \"n\"",
                "3: offset 16, 5 bytes, integer 70000",
            ]
        );
        h.run(&["RPUSH", "l", "f\n", "v", "n", "70000"]);
        assert_eq!(lines(h.line("DEBUG LISTPACK l")), as_hash, "a list has the same form");
        h.run(&["SADD", "s", "f\n", "v", "n", "70000"]);
        assert_eq!(lines(h.line("DEBUG LISTPACK s")), as_hash, "and a set");
        h.line("ZADD z 1 a");
        assert_eq!(lines(h.line("DEBUG LISTPACK z")).len(), 3);
        h.line("HPEXPIRE h 1000 FIELDS 1 v");
        h.line("HPEXPIRE h 1000 FIELDS 1 n");
        assert_eq!(lines(h.line("DEBUG LISTPACK h")).len(), 7, "with a time for each field");
        let long = "x".repeat(65);
        h.run(&["RPUSH", "long", &long]);
        assert!(h.line("DEBUG LISTPACK long").contains(&format!("\"{}...\"", &long[1..])));

        h.line("SET t x");
        h.line("SADD i 1 2");
        h.line("CONFIG SET list-max-listpack-size 2");
        h.line("RPUSH q 1 2 3");
        for other in ["t", "i", "q"] {
            let reply = h.line(&format!("DEBUG LISTPACK {other}"));
            assert_eq!(reply, "-ERR Not a listpack encoded object.\r\n", "{other}");
        }
        assert_eq!(h.line("DEBUG LISTPACK none"), "-ERR no such key\r\n");
    }
}
