//! Expiry times as commands give them: relative or absolute, in seconds or milliseconds, never beyond what 64 bits of
//! milliseconds hold.

use respire_datatypes::integer::parse_i64;

use crate::error::Error;

/// How an expiry is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ExpiryForm {
    Seconds,
    Millis,
    UnixSeconds,
    UnixMillis,
}

impl ExpiryForm {
    /// The form that an option of SET and GETEX names.
    pub(crate) fn from_option(option: &[u8]) -> Option<Self> {
        match option.to_ascii_uppercase().as_slice() {
            b"EX" => Some(Self::Seconds),
            b"PX" => Some(Self::Millis),
            b"EXAT" => Some(Self::UnixSeconds),
            b"PXAT" => Some(Self::UnixMillis),
            _ => None,
        }
    }

    /// The Unix time in milliseconds that `text` stands for; it may be in the past. `command` is named in the error.
    pub(crate) fn at(self, text: &[u8], now_ms: i64, command: &str) -> Result<i64, Error> {
        let value = parse_i64(text).ok_or(Error::NOT_INTEGER)?;
        self.of_number(value, now_ms).ok_or_else(|| Error::invalid_expire(command))
    }

    /// As [`Self::at`], for commands that refuse zero and negative values.
    pub(crate) fn at_positive(self, text: &[u8], now_ms: i64, command: &str) -> Result<i64, Error> {
        let value = parse_i64(text).ok_or(Error::NOT_INTEGER)?;
        let at = if value > 0 { self.of_number(value, now_ms) } else { None };
        at.ok_or_else(|| Error::invalid_expire(command))
    }

    fn of_number(self, value: i64, now_ms: i64) -> Option<i64> {
        match self {
            Self::Seconds => value.checked_mul(1000)?.checked_add(now_ms),
            Self::Millis => value.checked_add(now_ms),
            Self::UnixSeconds => value.checked_mul(1000),
            Self::UnixMillis => Some(value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_does_not_fit() {
        let max = i64::MAX.to_string();
        for form in [ExpiryForm::Seconds, ExpiryForm::Millis, ExpiryForm::UnixSeconds] {
            assert!(form.at(max.as_bytes(), 1, "set").is_err(), "{form:?}");
        }
        assert_eq!(ExpiryForm::UnixMillis.at(max.as_bytes(), 1, "set"), Ok(i64::MAX));
        assert_eq!(ExpiryForm::Seconds.at(b"-1", 5000, "expire"), Ok(4000));
        assert!(ExpiryForm::Seconds.at_positive(b"0", 5000, "set").is_err());
        assert_eq!(ExpiryForm::Seconds.at(b"x", 0, "set"), Err(Error::NOT_INTEGER));
    }
}
