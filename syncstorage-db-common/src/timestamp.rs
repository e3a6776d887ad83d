//! Times as the protocol has them.

use std::fmt;
use std::str::FromStr;

/// A point in time of the server's own making: milliseconds since the epoch, always a multiple of 10.
///
/// On the wire it is seconds with exactly two decimals (`1388635807.41`), which is what `Display` writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SyncTimestamp(i64);

impl SyncTimestamp {
    /// The epoch: the last-modified time of what was never written.
    pub const ZERO: Self = Self(0);

    /// The time unit of the protocol, in milliseconds.
    pub const TICK_MS: i64 = 10;

    /// Of milliseconds since the epoch, rounded down to the tick; times before the epoch become [`Self::ZERO`].
    #[must_use]
    pub const fn from_ms(ms: i64) -> Self {
        if ms <= 0 { Self::ZERO } else { Self(ms - ms % Self::TICK_MS) }
    }

    /// Milliseconds since the epoch.
    #[must_use]
    pub const fn as_ms(self) -> i64 {
        self.0
    }

    /// The earliest time after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(Self::TICK_MS))
    }
}

impl fmt::Display for SyncTimestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:02}", self.0 / 1000, self.0 % 1000 / 10)
    }
}

/// A time that a client named in a header or a query: seconds with any number of decimals.
///
/// It is kept as the pair of milliseconds it lies between, so that a comparison with a [`SyncTimestamp`] is
/// exact however many decimals the client sent, and none overflows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TimeBound {
    floor_ms: i64,
    ceil_ms: i64,
}

impl TimeBound {
    /// The last millisecond at or before the bound: `time > bound` exactly when `time.as_ms() > floor_ms()`.
    #[must_use]
    pub const fn floor_ms(self) -> i64 {
        self.floor_ms
    }

    /// The first millisecond at or after the bound: `time < bound` exactly when `time.as_ms() < ceil_ms()`.
    #[must_use]
    pub const fn ceil_ms(self) -> i64 {
        self.ceil_ms
    }
}

impl From<SyncTimestamp> for TimeBound {
    fn from(time: SyncTimestamp) -> Self {
        Self { floor_ms: time.0, ceil_ms: time.0 }
    }
}

/// Not a number of seconds: a sign, an exponent, or anything but digits and one point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected seconds as digits with an optional fraction, such as 1388635807.41")]
pub struct InvalidTimestamp;

impl FromStr for TimeBound {
    type Err = InvalidTimestamp;

    /// Takes `digits` or `digits.digits`. A value past the range of the clock saturates: it is later than
    /// anything stored.
    fn from_str(s: &str) -> Result<Self, InvalidTimestamp> {
        let (whole, fraction) = s.split_once('.').unwrap_or((s, "0"));
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || !digits(fraction) {
            return Err(InvalidTimestamp);
        }
        // Only digits are left, so that the one way for this to fail is a number too large.
        let seconds = whole.parse::<i64>().unwrap_or(i64::MAX);
        let (millis, rest) = fraction.split_at(fraction.len().min(3));
        let millis = millis.bytes().chain(*b"000").take(3).fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0'));
        let floor_ms = seconds.saturating_mul(1000).saturating_add(millis);
        let inexact = rest.bytes().any(|digit| digit != b'0');
        Ok(Self { floor_ms, ceil_ms: floor_ms.saturating_add(i64::from(inexact)) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_timestamp_has_exactly_two_decimals() {
        for (ms, text) in
            [(0, "0.00"), (10, "0.01"), (1_388_635_807_419, "1388635807.41"), (2_000, "2.00"), (-5, "0.00")]
        {
            assert_eq!(SyncTimestamp::from_ms(ms).to_string(), text);
        }
    }

    #[test]
    fn a_bound_takes_what_clients_send() {
        for (text, floor, ceil) in [
            ("0", 0, 0),
            ("0.00", 0, 0),
            ("1795226917", 1_795_226_917_000, 1_795_226_917_000),
            ("1388635807.4", 1_388_635_807_400, 1_388_635_807_400),
            ("1388635807.419", 1_388_635_807_419, 1_388_635_807_419),
            ("1.4190", 1_419, 1_419),
            ("1.4191", 1_419, 1_420),
            ("0.0000000000000000000000000000001", 0, 1),
            ("4102405200000", 4_102_405_200_000_000, 4_102_405_200_000_000),
            ("99999999999999999999999999", i64::MAX, i64::MAX),
        ] {
            let bound: TimeBound = text.parse().unwrap();
            assert_eq!((bound.floor_ms(), bound.ceil_ms()), (floor, ceil), "{text}");
        }
    }

    #[test]
    fn a_bound_refuses_what_is_no_plain_number() {
        for text in ["", ".", "1.", ".5", "-1", "+1", "1e3", "NaN", "inf", " 1", "1 ", "1.2.3", "0x10", "１"] {
            assert_eq!(text.parse::<TimeBound>(), Err(InvalidTimestamp), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn a_written_timestamp_reads_back_as_itself(ms in 0..i64::MAX / 2) {
            let time = SyncTimestamp::from_ms(ms);
            prop_assert_eq!(time.to_string().parse::<TimeBound>().unwrap(), TimeBound::from(time));
        }

        #[test]
        fn a_bound_compares_like_the_number_it_is(ms in 0i64..10_000, micros in 0i64..10_000_000) {
            let bound: TimeBound = format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000).parse().unwrap();
            let time = SyncTimestamp::from_ms(ms);
            prop_assert_eq!(time.as_ms() > bound.floor_ms(), time.as_ms() * 1000 > micros);
            prop_assert_eq!(time.as_ms() < bound.ceil_ms(), time.as_ms() * 1000 < micros);
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in "\\PC*") {
            let _ = text.parse::<TimeBound>();
        }
    }
}
