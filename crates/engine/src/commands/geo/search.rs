//! Members in an area: GEOSEARCH, GEOSEARCHSTORE, and the GEORADIUS family of which they took the place.

use respire_datatypes::collection::Kind as _;
use respire_datatypes::geo::{Area, Position, Shape};
use respire_datatypes::integer::parse_i64;
use respire_datatypes::zset::{ScoreRange, ZSet};

use super::{position, reply_distance, reply_position, unit};
use crate::commands::zsets::parse_score;
use crate::commands::zsets::range::store_at;
use crate::ctx::Ctx;
use crate::error::{Error, Outcome};

/// Where a command says what the area is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// A position and a radius behind the key.
    Radius,
    /// A member and a radius behind the key.
    RadiusByMember,
    /// Among the options.
    Search,
}

/// What a command asks for.
#[derive(Debug, Default)]
struct Query {
    center: Option<Position>,
    /// A center was named, though it may be a member of a key that is missing.
    centered: bool,
    shape: Option<Shape>,
    /// Metres of the unit.
    metres: f64,
    with_distance: bool,
    with_hash: bool,
    with_position: bool,
    /// 0 is no limit.
    count: usize,
    /// Any so many members, not the nearest.
    any: bool,
    /// Whether the farthest come first.
    descending: Option<bool>,
    /// The position of the key that the result is stored under.
    store: Option<usize>,
    /// The scores that are stored are distances.
    store_distances: bool,
}

/// A member that was found.
struct Found {
    member: Vec<u8>,
    score: f64,
    position: Position,
    /// Metres.
    distance: f64,
}

fn radius(ctx: &Ctx<'_, '_>, i: usize) -> Result<(Shape, f64), Error> {
    let radius =
        parse_score(ctx.args.get(i)).map_err(|_| Error::fixed("ERR need numeric radius"))?;
    if radius < 0.0 {
        return Err(Error::fixed("ERR radius cannot be negative"));
    }
    let metres = unit(ctx.args.get(i + 1))?;
    Ok((Shape::Circle { radius: radius * metres }, metres))
}

fn rectangle(ctx: &Ctx<'_, '_>, i: usize) -> Result<(Shape, f64), Error> {
    let number = |i: usize, error| parse_score(ctx.args.get(i)).map_err(|_| Error::fixed(error));
    let width = number(i, "ERR need numeric width")?;
    let height = number(i + 1, "ERR need numeric height")?;
    if width < 0.0 || height < 0.0 {
        return Err(Error::fixed("ERR height or width cannot be negative"));
    }
    let metres = unit(ctx.args.get(i + 2))?;
    Ok((Shape::Rectangle { width: width * metres, height: height * metres }, metres))
}

/// The position of a member, `None` if there is no set.
fn position_of(set: Option<&ZSet>, member: &[u8]) -> Result<Option<Position>, Error> {
    let Some(set) = set else { return Ok(None) };
    let score = set.score(member);
    let score = score.ok_or(Error::fixed("ERR could not decode requested zset member"))?;
    Ok(Some(Position::of_score(score)))
}

impl Query {
    /// Reads all arguments behind the key at `key`.
    fn parse(ctx: &mut Ctx<'_, '_>, key: usize, form: Form, stores: bool) -> Result<Self, Error> {
        let name = ctx.key(key);
        // The wrong type is the first error.
        ctx.data.read_as::<ZSet>(&name)?;
        let set = ctx.data.peek(&name).and_then(|entry| entry.collection()).and_then(ZSet::of);
        let mut query = Self { metres: 1.0, ..Self::default() };
        let options = match form {
            Form::Radius => {
                query.center = Some(position(ctx, 2)?);
                let (shape, metres) = radius(ctx, 4)?;
                (query.shape, query.metres) = (Some(shape), metres);
                6
            }
            Form::RadiusByMember => {
                query.center = position_of(set, ctx.args.get(2))?;
                if set.is_some() {
                    let (shape, metres) = radius(ctx, 3)?;
                    (query.shape, query.metres) = (Some(shape), metres);
                }
                5
            }
            Form::Search => {
                query.store = stores.then_some(1);
                key + 1
            }
        };
        let mut i = options;
        while i < ctx.args.len() {
            i += match query.common_option(ctx, i)? {
                0 if form == Form::Search => query.search_option(ctx, i, set)?,
                0 if stores => query.store_option(ctx, i)?,
                0 => return Err(Error::SYNTAX),
                taken => taken,
            };
        }
        query.check(ctx, form)?;
        Ok(query)
    }

    /// Reads an option that all commands have. Returns how many arguments it takes; 0 if it is another.
    fn common_option(&mut self, ctx: &Ctx<'_, '_>, i: usize) -> Result<usize, Error> {
        match ctx.args.get(i).to_ascii_lowercase().as_slice() {
            b"withdist" => self.with_distance = true,
            b"withhash" => self.with_hash = true,
            b"withcoord" => self.with_position = true,
            b"any" => self.any = true,
            b"asc" => self.descending = Some(false),
            b"desc" => self.descending = Some(true),
            b"count" if i + 1 < ctx.args.len() => {
                let count = parse_i64(ctx.args.get(i + 1)).ok_or(Error::NOT_INTEGER)?;
                let count = usize::try_from(count).ok().filter(|count| *count > 0);
                self.count = count.ok_or(Error::fixed("ERR COUNT must be > 0"))?;
                return Ok(2);
            }
            _ => return Ok(0),
        }
        Ok(1)
    }

    /// Reads an option of GEORADIUS that says where to store the result.
    fn store_option(&mut self, ctx: &Ctx<'_, '_>, i: usize) -> Result<usize, Error> {
        let option = ctx.args.get(i);
        let distances = option.eq_ignore_ascii_case(b"storedist");
        if i + 1 == ctx.args.len() || !distances && !option.eq_ignore_ascii_case(b"store") {
            return Err(Error::SYNTAX);
        }
        self.store = Some(i + 1);
        self.store_distances = distances;
        Ok(2)
    }

    /// Reads an option of GEOSEARCH and GEOSEARCHSTORE.
    fn search_option(
        &mut self,
        ctx: &Ctx<'_, '_>,
        i: usize,
        set: Option<&ZSet>,
    ) -> Result<usize, Error> {
        let behind = ctx.args.len() - i - 1;
        let is_circle = matches!(self.shape, Some(Shape::Circle { .. }));
        let is_rectangle = matches!(self.shape, Some(Shape::Rectangle { .. }));
        match ctx.args.get(i).to_ascii_lowercase().as_slice() {
            b"storedist" if self.store.is_some() => {
                self.store_distances = true;
                Ok(1)
            }
            b"frommember" if behind >= 1 && self.center_is(true) => {
                self.center = position_of(set, ctx.args.get(i + 1))?;
                self.centered = true;
                Ok(2)
            }
            b"fromlonlat" if behind >= 2 && self.center_is(false) => {
                self.center = Some(position(ctx, i + 1)?);
                Ok(3)
            }
            b"byradius" if behind >= 2 && !is_rectangle => {
                let (shape, metres) = radius(ctx, i + 1)?;
                (self.shape, self.metres) = (Some(shape), metres);
                Ok(3)
            }
            b"bybox" if behind >= 3 && !is_circle => {
                let (shape, metres) = rectangle(ctx, i + 1)?;
                (self.shape, self.metres) = (Some(shape), metres);
                Ok(4)
            }
            _ => Err(Error::SYNTAX),
        }
    }

    /// Whether no center was named, or one of this sort: a member, or a position.
    fn center_is(&self, member: bool) -> bool {
        if member { self.centered || self.center.is_none() } else { !self.centered }
    }

    /// Refuses options that don't go together.
    fn check(&self, ctx: &Ctx<'_, '_>, form: Form) -> Result<(), Error> {
        if self.store.is_some() && (self.with_distance || self.with_hash || self.with_position) {
            let what =
                if form == Form::Search { "GEOSEARCHSTORE" } else { "STORE option in GEORADIUS" };
            return Err(Error::text(format!(
                "ERR {what} is not compatible with WITHDIST, WITHHASH and WITHCOORD options"
            )));
        }
        let quoting = |text: &str| Error::quoting(text, ctx.args.get(0), "");
        if form == Form::Search && !self.centered && self.center.is_none() {
            return Err(quoting(
                "ERR exactly one of FROMMEMBER or FROMLONLAT can be specified for ",
            ));
        }
        if form == Form::Search && self.shape.is_none() {
            return Err(quoting("ERR exactly one of BYRADIUS and BYBOX can be specified for "));
        }
        if self.any && self.count == 0 {
            return Err(Error::fixed("ERR the ANY argument requires COUNT argument"));
        }
        Ok(())
    }

    /// The members in the area, in the order and up to the number asked for.
    fn find(&self, set: &ZSet) -> Vec<Found> {
        let (Some(center), Some(shape)) = (self.center, self.shape) else { return Vec::new() };
        let area = Area { center, shape };
        let most = if self.any { self.count } else { usize::MAX };
        let mut found = Vec::new();
        for (min, max) in area.scores() {
            let range = ScoreRange { min, min_excluded: false, max, max_excluded: true };
            for (member, score) in set.range(set.ranks_by_score(&range)) {
                if found.len() == most {
                    break;
                }
                let position = Position::of_score(score);
                if let Some(distance) = area.distance_inside(position) {
                    found.push(Found { member: member.to_vec(), score, position, distance });
                }
            }
        }
        // Without an order, the nearest so many are meant.
        let descending = self.descending.or((self.count > 0 && !self.any).then_some(false));
        let order = |a: &Found, b: &Found| a.distance.total_cmp(&b.distance);
        match descending {
            Some(false) => found.sort_by(order),
            Some(true) => found.sort_by(|a, b| order(b, a)),
            None => {}
        }
        if self.count > 0 {
            found.truncate(self.count);
        }
        found
    }

    fn reply(&self, ctx: &mut Ctx<'_, '_>, found: &[Found]) {
        let options = [self.with_distance, self.with_hash, self.with_position];
        let options = options.iter().filter(|with| **with).count();
        ctx.out.array(found.len());
        for found in found {
            if options > 0 {
                ctx.out.array(options + 1);
            }
            ctx.out.bulk(&found.member);
            if self.with_distance {
                reply_distance(ctx.out, found.distance / self.metres);
            }
            if self.with_hash {
                ctx.out.int(found.score as i64);
            }
            if self.with_position {
                reply_position(ctx.out, found.position);
            }
        }
    }
}

/// `stores` says whether the command may store its result.
fn search(ctx: &mut Ctx<'_, '_>, key: usize, form: Form, stores: bool) -> Outcome {
    let query = Query::parse(ctx, key, form, stores)?;
    let name = ctx.key(key);
    let set = ctx.data.peek(&name).and_then(|entry| entry.collection()).and_then(ZSet::of);
    let found = set.map(|set| query.find(set)).unwrap_or_default();
    let Some(target) = query.store else {
        query.reply(ctx, &found);
        return Ok(());
    };
    let score = |found: &Found| {
        if query.store_distances { found.distance / query.metres } else { found.score }
    };
    let entries = found.into_iter().map(|found| (score(&found), found.member));
    let entries: Vec<_> = entries.map(|(score, member)| (member, score)).collect();
    let count = entries.len();
    let event = if form == Form::Search { "geosearchstore" } else { "georadiusstore" };
    store_at(ctx, target, event, entries);
    if count > 0 {
        let key = ctx.key(target);
        ctx.weigh(&key, count);
    }
    Ok(())
}

pub(super) fn georadius(ctx: &mut Ctx<'_, '_>) -> Outcome {
    search(ctx, 1, Form::Radius, true)
}

pub(super) fn georadius_ro(ctx: &mut Ctx<'_, '_>) -> Outcome {
    search(ctx, 1, Form::Radius, false)
}

pub(super) fn georadiusbymember(ctx: &mut Ctx<'_, '_>) -> Outcome {
    search(ctx, 1, Form::RadiusByMember, true)
}

pub(super) fn georadiusbymember_ro(ctx: &mut Ctx<'_, '_>) -> Outcome {
    search(ctx, 1, Form::RadiusByMember, false)
}

pub(super) fn geosearch(ctx: &mut Ctx<'_, '_>) -> Outcome {
    search(ctx, 1, Form::Search, false)
}

pub(super) fn geosearchstore(ctx: &mut Ctx<'_, '_>) -> Outcome {
    search(ctx, 2, Form::Search, true)
}
