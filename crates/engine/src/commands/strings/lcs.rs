//! LCS: the longest common subsequence of two strings.

use respire_datatypes::integer::parse_i64;
use respire_datatypes::lcs;
use respire_resp::Out;

use crate::ctx::Ctx;
use crate::error::{Error, Outcome};

#[derive(Default)]
struct Options {
    length: bool,
    ranges: bool,
    min_match: i64,
    with_match_len: bool,
}

pub(super) fn lcs(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let (first, second) = (ctx.key(1), ctx.key(2));
    let mut text = |key| -> Option<Vec<u8>> {
        ctx.data.read(key).map_or(Some(Vec::new()), |entry| {
            entry.string().map(|text| text.with_bytes(<[u8]>::to_vec))
        })
    };
    let (Some(a), Some(b)) = (text(&first), text(&second)) else {
        return Err(Error::fixed("ERR The specified keys must contain string values"));
    };
    let options = options(ctx)?;
    if lcs::table_bytes(a.len(), b.len()) > u128::from(ctx.settings.proto_max_bulk_len) {
        return Err(Error::fixed(
            "ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len",
        ));
    }
    if options.length {
        ctx.out.int(lcs::length(&a, &b) as i64);
        return Ok(());
    }
    let found = lcs::lcs(&a, &b);
    if options.ranges {
        reply_ranges(ctx.out, &found, &options);
    } else {
        ctx.out.bulk(&found.subsequence);
    }
    Ok(())
}

fn options(ctx: &Ctx<'_, '_>) -> Result<Options, Error> {
    let mut options = Options::default();
    let mut i = 3;
    while i < ctx.args.len() {
        match ctx.args.get(i).to_ascii_uppercase().as_slice() {
            b"LEN" => options.length = true,
            b"IDX" => options.ranges = true,
            b"WITHMATCHLEN" => options.with_match_len = true,
            b"MINMATCHLEN" if i + 1 < ctx.args.len() => {
                i += 1;
                let least = parse_i64(ctx.args.get(i)).ok_or(Error::NOT_INTEGER)?;
                options.min_match = least.max(0);
            }
            _ => return Err(Error::SYNTAX),
        }
        i += 1;
    }
    if options.length && options.ranges {
        return Err(Error::fixed(
            "ERR If you want both the length and indexes, please just use IDX.",
        ));
    }
    Ok(options)
}

fn reply_ranges(out: &mut Out, found: &lcs::Lcs, options: &Options) {
    let long_enough = |m: &&lcs::Match| m.length() as i64 >= options.min_match;
    let matches: Vec<&lcs::Match> = found.matches.iter().filter(long_enough).collect();
    out.map(2);
    out.bulk(b"matches");
    out.array(matches.len());
    for m in matches {
        out.array(if options.with_match_len { 3 } else { 2 });
        for range in [&m.a, &m.b] {
            out.array(2);
            out.int(range.start as i64);
            out.int(range.end as i64 - 1);
        }
        if options.with_match_len {
            out.int(m.length() as i64);
        }
    }
    out.bulk(b"len");
    out.int(found.subsequence.len() as i64);
}
