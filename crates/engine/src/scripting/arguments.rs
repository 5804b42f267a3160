//! The arguments of a command that a script calls, gathered one by one. The room is kept from call to call.

use respire_datatypes::float::format_g17;
use respire_datatypes::integer::{MAX_LEN, format_i64};
use respire_resp::{Args, Span};

/// More room than this is not kept for the next call.
const KEPT: usize = 64 * 1024;
/// More argument bytes than this are refused: spans count in 32 bits.
const MOST: usize = u32::MAX as usize / 2;

/// The arguments so far.
#[derive(Debug, Default)]
pub(super) struct Arguments {
    bytes: Vec<u8>,
    spans: Vec<Span>,
    too_large: bool,
}

impl Arguments {
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.spans.clear();
        if self.bytes.capacity() > KEPT || self.spans.capacity() > KEPT / size_of::<Span>() {
            self.bytes.shrink_to(KEPT);
            self.spans.shrink_to(KEPT / size_of::<Span>());
        }
        self.too_large = false;
    }

    #[inline]
    pub(super) fn push(&mut self, argument: &[u8]) {
        if self.bytes.len() + argument.len() > MOST {
            self.too_large = true;
            return;
        }
        self.spans.push(Span::new(self.bytes.len(), argument.len()));
        self.bytes.extend_from_slice(argument);
    }

    /// A number as Redis passes it on: 17 significant digits.
    pub(super) fn push_number(&mut self, number: f64) {
        /// Beyond this, 17 digits are written with an exponent.
        const PLAIN: f64 = 1e17;
        if number.fract() == 0.0
            && number.abs() < PLAIN
            && !(number == 0.0 && number.is_sign_negative())
        {
            return self.push(format_i64(number as i64, &mut [0; MAX_LEN]));
        }
        self.push(number_text(number).as_bytes());
    }

    /// Whether they are more than a request may have.
    pub(super) fn are_too_large(&self) -> bool {
        self.too_large
    }

    pub(super) fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    pub(super) fn args(&self) -> Args<'_> {
        Args::new(&self.bytes, &self.spans)
    }
}

/// A number with 17 significant digits, as C prints it.
pub(super) fn number_text(number: f64) -> String {
    match number {
        number if number.is_nan() && number.is_sign_negative() => "-nan".into(),
        number if number.is_nan() => "nan".into(),
        f64::INFINITY => "inf".into(),
        f64::NEG_INFINITY => "-inf".into(),
        number => format_g17(number),
    }
}

#[test]
fn numbers_become_the_text_that_c_prints() {
    let text = |number: f64| {
        let mut arguments = Arguments::default();
        arguments.push_number(number);
        String::from_utf8(arguments.args().get(0).to_vec()).expect("ASCII")
    };
    for (number, expected) in [
        (3.0, "3"),
        (-7.0, "-7"),
        (1.5, "1.5"),
        (0.1, "0.10000000000000001"),
        (-0.0, "-0"),
        (1e16, "10000000000000000"),
        (1e17, "1e+17"),
        (1e20, "1e+20"),
        (123_456_789_012_345_678.0, "1.2345678901234568e+17"),
        (f64::INFINITY, "inf"),
        (f64::NEG_INFINITY, "-inf"),
    ] {
        assert_eq!(text(number), expected);
    }
}
