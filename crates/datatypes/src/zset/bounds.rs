//! Intervals of scores and of members, as clients write them.

use crate::float::parse_bound;

/// An interval of scores. The ends are never NaN.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ScoreRange {
    pub min: f64,
    pub min_excluded: bool,
    pub max: f64,
    pub max_excluded: bool,
}

impl ScoreRange {
    /// The interval between two texts such as `1`, `(1.5` or `-inf`; `None` when one is no such text.
    pub fn parse(min: &[u8], max: &[u8]) -> Option<Self> {
        let bound = |text: &[u8]| match text.strip_prefix(b"(") {
            Some(rest) => Some((parse_bound(rest)?, true)),
            None => Some((parse_bound(text)?, false)),
        };
        let ((min, min_excluded), (max, max_excluded)) = (bound(min)?, bound(max)?);
        Some(Self { min, min_excluded, max, max_excluded })
    }

    /// Whether a score lies below the interval.
    #[inline]
    pub fn is_above(&self, score: f64) -> bool {
        if self.min_excluded { score <= self.min } else { score < self.min }
    }

    /// Whether a score doesn't lie above the interval.
    #[inline]
    pub fn reaches(&self, score: f64) -> bool {
        if self.max_excluded { score < self.max } else { score <= self.max }
    }
}

/// One end of an interval of members.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LexBound<'a> {
    /// Below every member.
    Least,
    /// Above every member.
    Greatest,
    Included(&'a [u8]),
    Excluded(&'a [u8]),
}

/// An interval of members in the order of their bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LexRange<'a> {
    min: LexBound<'a>,
    max: LexBound<'a>,
}

impl<'a> LexBound<'a> {
    fn parse(text: &'a [u8]) -> Option<Self> {
        match text {
            b"-" => Some(Self::Least),
            b"+" => Some(Self::Greatest),
            [b'[', rest @ ..] => Some(Self::Included(rest)),
            [b'(', rest @ ..] => Some(Self::Excluded(rest)),
            _ => None,
        }
    }
}

impl<'a> LexRange<'a> {
    /// The interval between two texts such as `-`, `+`, `[a` or `(a`; `None` when one is no such text.
    pub fn parse(min: &'a [u8], max: &'a [u8]) -> Option<Self> {
        Some(Self { min: LexBound::parse(min)?, max: LexBound::parse(max)? })
    }

    /// Whether a member lies below the interval.
    #[inline]
    pub fn is_above(&self, member: &[u8]) -> bool {
        match self.min {
            LexBound::Least => false,
            LexBound::Greatest => true,
            LexBound::Included(min) => member < min,
            LexBound::Excluded(min) => member <= min,
        }
    }

    /// Whether a member doesn't lie above the interval.
    #[inline]
    pub fn reaches(&self, member: &[u8]) -> bool {
        match self.max {
            LexBound::Least => false,
            LexBound::Greatest => true,
            LexBound::Included(max) => member <= max,
            LexBound::Excluded(max) => member < max,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_may_be_excluded() {
        let range = ScoreRange::parse(b"(1", b"2").expect("a range");
        assert!(range.is_above(1.0) && !range.is_above(1.5));
        assert!(range.reaches(2.0) && !range.reaches(2.5));
        let range = ScoreRange::parse(b"-inf", b"(+inf").expect("a range");
        assert!(!range.is_above(f64::NEG_INFINITY) && !range.reaches(f64::INFINITY));
        for bad in [&b"a"[..], b"((1", b"nan", b"(nan", b"1 ", b"[1"] {
            assert_eq!(ScoreRange::parse(bad, b"1"), None);
            assert_eq!(ScoreRange::parse(b"1", bad), None);
        }
    }

    #[test]
    fn members_need_a_mark() {
        let range = LexRange::parse(b"[b", b"(d").expect("a range");
        assert!(range.is_above(b"a") && !range.is_above(b"b"));
        assert!(range.reaches(b"c") && !range.reaches(b"d"));
        let nothing = LexRange::parse(b"+", b"-").expect("a range");
        assert!(nothing.is_above(b"zzz") && !nothing.reaches(b""));
        for bad in [&b""[..], b"a", b"+a", b"--"] {
            assert_eq!(LexRange::parse(bad, b"+"), None);
        }
    }
}
