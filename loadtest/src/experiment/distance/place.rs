//! How far the API is from what it asks.

use std::{fmt, time::Duration};

/// One distance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Nothing is between them.
    Direct,
    /// The proxy is, and adds this to a round trip.
    Through(Duration),
}

impl Place {
    /// The proxy between them, at no delay: what is seen there and not without it is the proxy's.
    pub(super) const CONTROL: Self = Self::Through(Duration::ZERO);

    /// Where a round trip is longer by so much.
    pub(super) fn at(round_trip: Duration) -> Self {
        if round_trip.is_zero() {
            Self::Direct
        } else {
            Self::Through(round_trip)
        }
    }

    /// What is added to a round trip.
    pub(super) fn round_trip(self) -> Duration {
        match self {
            Self::Direct => Duration::ZERO,
            Self::Through(round_trip) => round_trip,
        }
    }
}

/// As in a sentence: `at 5 ms`.
impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Direct => formatter.write_str("at no distance"),
            Self::Through(round_trip) => {
                write!(formatter, "at {} ms", round_trip.as_micros() as f64 / 1e3)
            }
        }
    }
}
