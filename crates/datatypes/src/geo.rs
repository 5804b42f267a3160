//! Positions on earth: the 52-bit geohash that serves as a score, distances, and the cells that cover an area.
//!
//! A geohash halves longitude and latitude in turn; its bits alternate, latitude in the even ones. All cells of a step
//! lie between two hashes, so that they are a range of scores. Angles are degrees, lengths metres. The order of the
//! floating-point operations is that of Redis, whose replies show every digit.

use std::f64::consts::PI;

/// Mean radius of the earth, in the sphere that distances are computed on.
const EARTH_RADIUS: f64 = 6_372_797.560_856;
/// Half of the circumference of the Mercator projection.
const MERCATOR_MAX: f64 = 20_037_726.37;
/// Bits of each coordinate in a full hash.
const STEPS: u32 = 26;

/// A position that can be kept: the latitudes of the Mercator projection.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Position {
    pub longitude: f64,
    pub latitude: f64,
}

/// The interval of a coordinate that a hash divides.
#[derive(Debug, Clone, Copy)]
struct Scale {
    min: f64,
    max: f64,
}

const LONGITUDES: Scale = Scale { min: -180.0, max: 180.0 };
const LATITUDES: Scale = Scale { min: -85.051_128_78, max: 85.051_128_78 };
/// Those of the hashes that the rest of the world writes.
const STANDARD_LATITUDES: Scale = Scale { min: -90.0, max: 90.0 };

impl Scale {
    fn holds(self, value: f64) -> bool {
        self.min <= value && value <= self.max
    }

    fn encode(self, value: f64, steps: u32) -> u32 {
        let offset = (value - self.min) / (self.max - self.min);
        (offset * (1_u64 << steps) as f64) as u32
    }

    /// Both ends of the interval with this number.
    fn decode(self, number: u32, steps: u32) -> (f64, f64) {
        let (number, count) = (f64::from(number), (1_u64 << steps) as f64);
        let width = self.max - self.min;
        (self.min + number / count * width, self.min + (number + 1.0) / count * width)
    }

    fn middle(self, number: u32, steps: u32) -> f64 {
        let (low, high) = self.decode(number, steps);
        ((low + high) / 2.0).clamp(self.min, self.max)
    }
}

/// Spreads the bits of `value` over the even bits.
fn spread(value: u32) -> u64 {
    let mut bits = u64::from(value);
    for (shift, mask) in [
        (16, 0x0000_ffff_0000_ffff),
        (8, 0x00ff_00ff_00ff_00ff),
        (4, 0x0f0f_0f0f_0f0f_0f0f),
        (2, 0x3333_3333_3333_3333),
        (1, 0x5555_5555_5555_5555),
    ] {
        bits = (bits | bits << shift) & mask;
    }
    bits
}

/// The opposite of [`spread`].
fn gather(bits: u64) -> u32 {
    let mut bits = bits & 0x5555_5555_5555_5555;
    for (shift, mask) in [
        (1, 0x3333_3333_3333_3333),
        (2, 0x0f0f_0f0f_0f0f_0f0f),
        (4, 0x00ff_00ff_00ff_00ff),
        (8, 0x0000_ffff_0000_ffff),
        (16, 0x0000_0000_ffff_ffff),
    ] {
        bits = (bits | bits >> shift) & mask;
    }
    bits as u32
}

impl Position {
    /// `None` if it cannot be kept.
    pub fn new(longitude: f64, latitude: f64) -> Option<Self> {
        let valid = LONGITUDES.holds(longitude) && LATITUDES.holds(latitude);
        valid.then_some(Self { longitude, latitude })
    }

    /// The hash as a score.
    pub fn score(self) -> f64 {
        Cell::of(self, STEPS).bits as f64
    }

    /// The middle of the cell that a score stands for.
    pub fn of_score(score: f64) -> Self {
        Cell { bits: score as u64, steps: STEPS }.middle()
    }

    /// The hash in the letters that the rest of the world writes it in.
    pub fn letters(self) -> [u8; 11] {
        const ALPHABET: &[u8; 32] = b"0123456789bcdefghjkmnpqrstuvwxyz";
        let latitude = STANDARD_LATITUDES.encode(self.latitude, STEPS);
        let bits = spread(latitude) | spread(LONGITUDES.encode(self.longitude, STEPS)) << 1;
        // 52 bits are ten letters and a bit: the last one is always 0.
        std::array::from_fn(|i| match i {
            10 => ALPHABET[0],
            _ => ALPHABET[(bits >> (52 - (i + 1) * 5)) as usize & 31],
        })
    }

    /// The distance on the sphere, by the haversine formula.
    pub fn distance(self, other: Self) -> f64 {
        let (from, to) = (radians(self.longitude), radians(other.longitude));
        let v = ((to - from) / 2.0).sin();
        if v == 0.0 {
            return latitude_distance(self.latitude, other.latitude);
        }
        let (from, to) = (radians(self.latitude), radians(other.latitude));
        let u = ((to - from) / 2.0).sin();
        let a = u * u + from.cos() * to.cos() * v * v;
        2.0 * EARTH_RADIUS * a.sqrt().asin()
    }
}

fn radians(degrees: f64) -> f64 {
    degrees * (PI / 180.0)
}

fn degrees(radians: f64) -> f64 {
    radians / (PI / 180.0)
}

fn latitude_distance(a: f64, b: f64) -> f64 {
    EARTH_RADIUS * (radians(b) - radians(a)).abs()
}

/// A rectangle of the grid: the hash of `steps` bits of each coordinate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cell {
    bits: u64,
    steps: u32,
}

/// The ends of a rectangle.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    longitude: (f64, f64),
    latitude: (f64, f64),
}

impl Cell {
    fn of(position: Position, steps: u32) -> Self {
        let latitude = LATITUDES.encode(position.latitude, steps);
        let longitude = LONGITUDES.encode(position.longitude, steps);
        Self { bits: spread(latitude) | spread(longitude) << 1, steps }
    }

    fn bounds(self) -> Bounds {
        Bounds {
            longitude: LONGITUDES.decode(gather(self.bits >> 1), self.steps),
            latitude: LATITUDES.decode(gather(self.bits), self.steps),
        }
    }

    fn middle(self) -> Position {
        Position {
            longitude: LONGITUDES.middle(gather(self.bits >> 1), self.steps),
            latitude: LATITUDES.middle(gather(self.bits), self.steps),
        }
    }

    /// The cell so many columns to the east and rows to the north. Beyond an end of the grid comes its other end; the
    /// very end of the scale, a column or row of its own behind the last, stays there unless it is left.
    fn moved(self, east: i32, north: i32) -> Self {
        let mask = (1_u32 << self.steps) - 1;
        let along = |number: u32, by: i32| match by {
            0 => number,
            _ => number.wrapping_add_signed(by) & mask,
        };
        let column = along(gather(self.bits >> 1), east);
        let row = along(gather(self.bits), north);
        Self { bits: spread(row) | spread(column) << 1, steps: self.steps }
    }

    /// The scores in the cell: the first, and the first behind it.
    fn scores(self) -> (f64, f64) {
        let shift = 2 * (STEPS - self.steps);
        ((self.bits << shift) as f64, ((self.bits + 1) << shift) as f64)
    }
}

/// An area around a position.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Area {
    pub center: Position,
    pub shape: Shape,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Shape {
    Circle { radius: f64 },
    Rectangle { width: f64, height: f64 },
}

impl Area {
    /// The distance of a position from the center if it is inside.
    pub fn distance_inside(&self, position: Position) -> Option<f64> {
        match self.shape {
            Shape::Circle { radius } => {
                let distance = self.center.distance(position);
                (distance <= radius).then_some(distance)
            }
            Shape::Rectangle { width, height } => {
                if latitude_distance(position.latitude, self.center.latitude) > height / 2.0 {
                    return None;
                }
                let level = Position { latitude: position.latitude, ..self.center };
                if position.distance(level) > width / 2.0 {
                    return None;
                }
                Some(self.center.distance(position))
            }
        }
    }

    /// Intervals of scores in which all positions inside are, and others: from the first score to the one excluded at
    /// the end. The order is that of unsorted replies.
    pub fn scores(&self) -> Vec<(f64, f64)> {
        let bounds = self.bounds();
        let mut steps = self.steps();
        let mut middle = Cell::of(self.center, steps);
        if steps > 1 && !surrounds(middle, &bounds) {
            steps -= 1;
            middle = Cell::of(self.center, steps);
        }
        let around = middle.bounds();
        // Sides that the area does not reach over are left out.
        let (south, north, west, east) = match steps {
            0 | 1 => (true, true, true, true),
            _ => (
                around.latitude.0 >= bounds.latitude.0,
                around.latitude.1 <= bounds.latitude.1,
                around.longitude.0 >= bounds.longitude.0,
                around.longitude.1 <= bounds.longitude.1,
            ),
        };
        let neighbours = [
            (0, 0, true),
            (0, 1, north),
            (0, -1, south),
            (1, 0, east),
            (-1, 0, west),
            (1, 1, north && east),
            (-1, 1, north && west),
            (1, -1, south && east),
            (-1, -1, south && west),
        ];
        let mut cells: Vec<Cell> = Vec::with_capacity(9);
        for (columns, rows, wanted) in neighbours {
            let cell = middle.moved(columns, rows);
            // On a coarse grid neighbours meet again behind the other end.
            if wanted && cells.last() != Some(&cell) {
                cells.push(cell);
            }
        }
        cells.into_iter().map(Cell::scores).collect()
    }

    /// Half of the height and width of the area, and the radius of a circle around it.
    fn reach(&self) -> (f64, f64, f64) {
        match self.shape {
            Shape::Circle { radius } => (radius, radius, radius),
            Shape::Rectangle { width, height } => {
                let (height, width) = (height / 2.0, width / 2.0);
                (height, width, (width * width + height * height).sqrt())
            }
        }
    }

    /// The rectangle around the area. Its sides are bent on the sphere: the longer one counts.
    fn bounds(&self) -> Bounds {
        let Position { longitude, latitude } = self.center;
        let (height, width, _) = self.reach();
        let tall = degrees(height / EARTH_RADIUS);
        let edge = if latitude < 0.0 { latitude - tall } else { latitude + tall };
        let wide = degrees(width / EARTH_RADIUS / radians(edge).cos());
        Bounds {
            longitude: (longitude - wide, longitude + wide),
            latitude: (latitude - tall, latitude + tall),
        }
    }

    /// The finest grid of which nine cells cover the area, about.
    fn steps(&self) -> u32 {
        let (_, _, mut radius) = self.reach();
        if radius == 0.0 {
            return STEPS;
        }
        let mut steps = 1_i32;
        while radius < MERCATOR_MAX {
            radius *= 2.0;
            steps += 1;
        }
        // The nine cells are to cover it even where it is at an edge of the middle one.
        steps -= 2;
        // Cells are narrower towards the poles.
        let latitude = self.center.latitude.abs();
        steps -= i32::from(latitude > 66.0) + i32::from(latitude > 80.0);
        steps.clamp(1, STEPS as i32) as u32
    }
}

/// Whether the neighbours of a cell reach as far as the bounds.
fn surrounds(cell: Cell, bounds: &Bounds) -> bool {
    let edge = |east, north| cell.moved(east, north).bounds();
    edge(0, 1).latitude.1 >= bounds.latitude.1
        && edge(0, -1).latitude.0 <= bounds.latitude.0
        && edge(1, 0).longitude.1 >= bounds.longitude.1
        && edge(-1, 0).longitude.0 <= bounds.longitude.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seed;

    fn at(longitude: f64, latitude: f64) -> Position {
        Position::new(longitude, latitude).expect("a position")
    }

    #[test]
    fn palermo_is_where_the_documentation_says() {
        let (palermo, catania) = (at(13.361_389, 38.115_556), at(15.087_269, 37.502_669));
        assert_eq!(palermo.score(), 3_479_099_956_230_698.0);
        let kept = Position::of_score(palermo.score());
        assert_eq!(format!("{:.17}", kept.longitude), "13.36138933897018433");
        assert_eq!(format!("{:.17}", kept.latitude), "38.11555639549629859");
        assert_eq!(&kept.letters(), b"sqc8b49rny0");
        let distance = kept.distance(Position::of_score(catania.score()));
        assert_eq!(format!("{distance:.4}"), "166274.1516");
    }

    #[test]
    fn bits_spread_and_gather() {
        for value in [0, 1, 2, 0x3ff_ffff, u32::MAX, 0x1234_5678] {
            assert_eq!(gather(spread(value)), value);
            assert_eq!(spread(value) & 0xaaaa_aaaa_aaaa_aaaa, 0);
        }
    }

    #[test]
    fn what_lies_beyond_the_map_is_refused() {
        assert_eq!(Position::new(180.000_1, 0.0), None);
        assert_eq!(Position::new(0.0, -85.06), None);
        assert_eq!(Position::new(f64::NAN, 0.0), None);
        assert!(Position::new(-180.0, 85.051_128_78).is_some());
    }

    /// Whatever is inside an area has a score in one of its intervals.
    #[test]
    fn areas_are_covered() {
        let seed = Seed::new();
        let mut rng = fastrand::Rng::with_seed(seed.number());
        for _ in 0..2000 {
            // Not at the poles and not at the far side, where Redis's cells have gaps, too.
            let center = at(rng.f64() * 200.0 - 100.0, rng.f64() * 120.0 - 60.0);
            let size = 10_f64.powf(rng.f64() * 5.5);
            let shape = if rng.bool() {
                Shape::Circle { radius: size }
            } else {
                Shape::Rectangle { width: size, height: size * (rng.f64() + 0.1) }
            };
            let area = Area { center, shape };
            let cells = area.scores();
            for _ in 0..50 {
                let spread = degrees(size / EARTH_RADIUS) * 3.0;
                let longitude = center.longitude + (rng.f64() - 0.5) * spread;
                let latitude = center.latitude + (rng.f64() - 0.5) * spread;
                let Some(place) = Position::new(longitude, latitude) else { continue };
                let score = place.score();
                if area.distance_inside(Position::of_score(score)).is_some() {
                    let found = cells.iter().filter(|(from, to)| *from <= score && score < *to);
                    assert_eq!(found.count(), 1, "{area:?} {place:?}");
                }
            }
        }
    }
}
