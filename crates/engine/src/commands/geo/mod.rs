//! Commands on positions: sorted sets in which the scores are geohashes. The rows, and what is told of single members.

mod search;

use respire_datatypes::geo::Position;
use respire_datatypes::zset::ZSet;
use respire_resp::Out;

use super::zsets::add::{self, Options};
use super::zsets::parse_score;
use crate::command::{Flags, Group, Handler, KeySpec, Place, Row};
use crate::ctx::Ctx;
use crate::error::{Error, Outcome};

const READ: Flags = Flags::READONLY;
const WRITE: Flags = Flags::WRITE.union(Flags::DENYOOM);

const READS: &[KeySpec] = &[KeySpec::one(1, "RO access")];
const RADIUS: &[KeySpec] = &radius_keys(6);
const RADIUS_BY_MEMBER: &[KeySpec] = &radius_keys(5);

/// The keys of a command that may store what it finds, if it is told so by argument `from` or a later one.
const fn radius_keys(from: u32) -> [KeySpec; 3] {
    [
        KeySpec::one(1, "RO access"),
        KeySpec::at(Place::Behind { word: "STORE", from }, "OW update"),
        KeySpec::at(Place::Behind { word: "STOREDIST", from }, "OW update"),
    ]
}

/// A row of this group.
const fn row(
    name: &'static str,
    arity: i32,
    handler: Handler,
    flags: Flags,
    keys: &'static [KeySpec],
) -> Row {
    Row::new(name, arity, handler).flags(flags).keys(keys)
}

/// Completes a row of this group with its documentation.
const fn docs(row: Row, since: &'static str, cost: &'static str, text: [&'static str; 2]) -> Row {
    row.docs(Group::Geo, since, cost, text[0], text[1])
}

pub(crate) const ROWS: &[Row] = &[
    docs(
        row("geoadd", -5, geoadd, WRITE, &[KeySpec::one(1, "RW update")]),
        "3.2.0",
        "O(log(N)) for each member",
        [
            "Adds members with positions on earth, or moves them.",
            "key [NX | XX] [CH] longitude latitude member [longitude latitude member ...]",
        ],
    ),
    docs(
        row("geodist", -4, geodist, READ, READS),
        "3.2.0",
        "O(log(N))",
        ["Returns the distance between two members.", "key member1 member2 [M | KM | FT | MI]"],
    ),
    docs(
        row("geohash", -2, geohash, READ, READS),
        "3.2.0",
        "O(log(N)) for each member",
        ["Returns the positions of members as geohashes.", "key [member ...]"],
    ),
    docs(
        row("geopos", -2, geopos, READ, READS),
        "3.2.0",
        "O(log(N)) for each member",
        ["Returns the longitudes and latitudes of members.", "key [member ...]"],
    ),
    docs(
        row("georadius", -6, search::georadius, WRITE.union(Flags::MOVABLE_KEYS), RADIUS),
        "3.2.0",
        "O(N+log(M)) with the members around the area and in the set",
        [
            "Returns or stores the members within a circle around a position.",
            "key longitude latitude radius <M | KM | FT | MI> [WITHCOORD] [WITHDIST] [WITHHASH] [COUNT count [ANY]] [ASC | DESC] [STORE key | STOREDIST key]",
        ],
    ),
    docs(
        row("georadius_ro", -6, search::georadius_ro, READ, READS),
        "3.2.10",
        "O(N+log(M)) with the members around the area and in the set",
        [
            "Returns the members within a circle around a position.",
            "key longitude latitude radius <M | KM | FT | MI> [WITHCOORD] [WITHDIST] [WITHHASH] [COUNT count [ANY]] [ASC | DESC]",
        ],
    ),
    docs(
        row(
            "georadiusbymember",
            -5,
            search::georadiusbymember,
            WRITE.union(Flags::MOVABLE_KEYS),
            RADIUS_BY_MEMBER,
        ),
        "3.2.0",
        "O(N+log(M)) with the members around the area and in the set",
        [
            "Returns or stores the members within a circle around one of them.",
            "key member radius <M | KM | FT | MI> [WITHCOORD] [WITHDIST] [WITHHASH] [COUNT count [ANY]] [ASC | DESC] [STORE key | STOREDIST key]",
        ],
    ),
    docs(
        row("georadiusbymember_ro", -5, search::georadiusbymember_ro, READ, READS),
        "3.2.10",
        "O(N+log(M)) with the members around the area and in the set",
        [
            "Returns the members within a circle around one of them.",
            "key member radius <M | KM | FT | MI> [WITHCOORD] [WITHDIST] [WITHHASH] [COUNT count [ANY]] [ASC | DESC]",
        ],
    ),
    docs(
        row("geosearch", -7, search::geosearch, READ, READS),
        "6.2.0",
        "O(N+log(M)) with the members around the area and in the set",
        [
            "Returns the members within a circle or a rectangle.",
            "key <FROMMEMBER member | FROMLONLAT longitude latitude> <BYRADIUS radius <M | KM | FT | MI> | BYBOX width height <M | KM | FT | MI>> [ASC | DESC] [COUNT count [ANY]] [WITHCOORD] [WITHDIST] [WITHHASH]",
        ],
    ),
    docs(
        row(
            "geosearchstore",
            -8,
            search::geosearchstore,
            WRITE,
            &[KeySpec::one(1, "OW update"), KeySpec::one(2, "RO access")],
        ),
        "6.2.0",
        "O(N+log(M)) with the members around the area and in the set",
        [
            "Stores the members within a circle or a rectangle.",
            "destination source <FROMMEMBER member | FROMLONLAT longitude latitude> <BYRADIUS radius <M | KM | FT | MI> | BYBOX width height <M | KM | FT | MI>> [ASC | DESC] [COUNT count [ANY]] [STOREDIST]",
        ],
    ),
];

/// Metres of a unit.
fn unit(text: &[u8]) -> Result<f64, Error> {
    match text.to_ascii_lowercase().as_slice() {
        b"m" => Ok(1.0),
        b"km" => Ok(1000.0),
        b"ft" => Ok(0.3048),
        b"mi" => Ok(1609.34),
        _ => Err(Error::fixed("ERR unsupported unit provided. please use M, KM, FT, MI")),
    }
}

/// Arguments `i` and `i + 1` as a position.
fn position(ctx: &Ctx<'_, '_>, i: usize) -> Result<Position, Error> {
    let longitude = parse_score(ctx.args.get(i))?;
    let latitude = parse_score(ctx.args.get(i + 1))?;
    Position::new(longitude, latitude).ok_or_else(|| {
        Error::text(format!("ERR invalid longitude,latitude pair {longitude:.6},{latitude:.6}"))
    })
}

fn reply_distance(out: &mut Out, distance: f64) {
    out.bulk(format!("{distance:.4}").as_bytes());
}

/// Longitude and latitude, with up to 17 digits behind the point.
fn reply_position(out: &mut Out, position: Position) {
    out.array(2);
    for degrees in [position.longitude, position.latitude] {
        let text = format!("{degrees:.17}");
        out.double(text.trim_end_matches('0').trim_end_matches('.'));
    }
}

fn geoadd(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let mut options = Options::default();
    let mut first = 2;
    while let Some(arg) = ctx.args.try_get(first) {
        match arg.to_ascii_lowercase().as_slice() {
            b"nx" => options.nx = true,
            b"xx" => options.xx = true,
            b"ch" => options.ch = true,
            _ => break,
        }
        first += 1;
    }
    let rest = ctx.args.len() - first;
    if rest == 0 || !rest.is_multiple_of(3) || options.nx && options.xx {
        return Err(Error::SYNTAX);
    }
    let scores: Result<Vec<f64>, Error> =
        (first..ctx.args.len()).step_by(3).map(|i| position(ctx, i).map(Position::score)).collect();
    add::put(ctx, options, first + 2, 3, &scores?)
}

/// Calls `f` with the position of each member from argument 2 on.
fn reply_each(ctx: &mut Ctx<'_, '_>, f: impl Fn(&mut Out, Option<Position>)) -> Outcome {
    let key = ctx.key(1);
    let (args, out) = (ctx.args, &mut *ctx.out);
    let set = ctx.data.read_as::<ZSet>(&key)?;
    out.array(args.len() - 2);
    for member in args.iter_from(2) {
        let score = set.and_then(|set| set.score(member));
        f(out, score.map(Position::of_score));
    }
    Ok(())
}

fn geohash(ctx: &mut Ctx<'_, '_>) -> Outcome {
    reply_each(ctx, |out, position| match position {
        Some(position) => out.bulk(&position.letters()),
        None => out.null(),
    })
}

fn geopos(ctx: &mut Ctx<'_, '_>) -> Outcome {
    reply_each(ctx, |out, position| match position {
        Some(position) => reply_position(out, position),
        None => out.null_array(),
    })
}

fn geodist(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let metres = match ctx.args.try_get(4) {
        _ if ctx.args.len() > 5 => return Err(Error::SYNTAX),
        Some(text) => unit(text)?,
        None => 1.0,
    };
    let key = ctx.key(1);
    let (from, to) = (ctx.args.get(2), ctx.args.get(3));
    let found = ctx.data.read_as::<ZSet>(&key)?.and_then(|set| {
        let (from, to) = (set.score(from)?, set.score(to)?);
        Some(Position::of_score(from).distance(Position::of_score(to)))
    });
    match found {
        Some(distance) => reply_distance(ctx.out, distance / metres),
        None => ctx.out.null(),
    }
    Ok(())
}
