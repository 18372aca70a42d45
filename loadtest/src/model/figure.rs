//! The numbers that a model rests on, each with its interval and its source.

use serde::{Serialize, Serializer};

/// Where a number comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "source", content = "from")]
pub enum Source {
    /// In the results at hand: where in them.
    Measured(String),
    /// By whoever asks.
    Given(String),
    /// By this program: why.
    Assumed(String),
}

impl Source {
    /// In one word.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Measured(_) => "measured",
            Self::Given(_) => "given",
            Self::Assumed(_) => "assumed",
        }
    }

    /// What is said of it.
    #[must_use]
    pub fn told(&self) -> &str {
        match self {
            Self::Measured(text) | Self::Given(text) | Self::Assumed(text) => text,
        }
    }
}

/// Which end of every interval is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The values themselves.
    Value,
    /// The ends that make the answer small.
    Cheap,
    /// The ends that make it large.
    Dear,
}

impl End {
    pub(super) const ALL: [Self; 3] = [Self::Value, Self::Cheap, Self::Dear];
}

/// One number.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Figure {
    /// Its name in formulas.
    pub id: &'static str,
    /// What it is.
    pub label: &'static str,
    /// Its unit, as [`super::written`] takes it.
    pub unit: super::Unit,
    /// The value.
    pub value: f64,
    /// Lower end of its interval, where it has one.
    pub low: Option<f64>,
    /// Upper end.
    pub high: Option<f64>,
    /// Whether the lower end is the dear one.
    pub dear_is_low: bool,
    /// Where it comes from.
    #[serde(flatten)]
    pub source: Source,
}

impl Figure {
    pub(super) fn at(&self, end: End) -> f64 {
        let chosen = match (end, self.dear_is_low) {
            (End::Value, _) => None,
            (End::Cheap, false) | (End::Dear, true) => self.low,
            (End::Cheap, true) | (End::Dear, false) => self.high,
        };
        chosen.unwrap_or(self.value)
    }
}

/// One measured point of a curve.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Knot {
    /// Place on the axis.
    pub x: f64,
    /// Value there.
    pub value: f64,
    /// Lower end of its interval; the value where it has none.
    pub low: f64,
    /// Upper end of it.
    pub high: f64,
}

/// A measured curve: straight between its points, and flat beyond the first and the last, since nothing was
/// measured there.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    knots: Vec<Knot>,
}

impl Table {
    /// Through these points, in whichever order.
    #[must_use]
    pub fn new(mut knots: Vec<Knot>) -> Self {
        knots.sort_by(|one, other| one.x.total_cmp(&other.x));
        knots.dedup_by(|later, earlier| later.x <= earlier.x);
        Self { knots }
    }

    /// The same value everywhere.
    #[must_use]
    pub fn flat(value: f64) -> Self {
        Self::new(vec![Knot {
            x: 0.0,
            value,
            low: value,
            high: value,
        }])
    }

    /// The points, from left to right.
    #[must_use]
    pub fn knots(&self) -> &[Knot] {
        &self.knots
    }

    /// Where it was measured; `None` of a curve without points.
    #[must_use]
    pub fn range(&self) -> Option<(f64, f64)> {
        Some((self.knots.first()?.x, self.knots.last()?.x))
    }

    pub(super) fn at(&self, x: f64, end: End) -> f64 {
        let of = |knot: &Knot| match end {
            End::Value => knot.value,
            End::Cheap => knot.low,
            End::Dear => knot.high,
        };
        let after = self.knots.partition_point(|knot| knot.x <= x);
        let before = after.checked_sub(1).and_then(|index| self.knots.get(index));
        match (before, self.knots.get(after)) {
            (Some(left), Some(right)) => {
                let share = (x - left.x) / (right.x - left.x);
                of(left) + (of(right) - of(left)) * share
            }
            (Some(only), None) | (None, Some(only)) => of(only),
            (None, None) => f64::NAN,
        }
    }
}

/// As the page reads it: a list of `[x, value, low, high]`.
impl Serialize for Table {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let knots = self.knots.iter();
        serializer.collect_seq(knots.map(|knot| [knot.x, knot.value, knot.low, knot.high]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn knot(x: f64, value: f64) -> Knot {
        Knot {
            x,
            value,
            low: value - 1.0,
            high: value + 2.0,
        }
    }

    #[test]
    fn a_curve_is_straight_between_its_points_and_flat_beyond_them() {
        let curve = Table::new(vec![knot(0.4, 20.0), knot(0.2, 40.0), knot(0.4, 99.0)]);
        assert_eq!(curve.range(), Some((0.2, 0.4)));
        for (x, expected) in [(0.0, 40.0), (0.2, 40.0), (0.4, 20.0), (0.9, 20.0)] {
            assert_eq!(curve.at(x, End::Value), expected, "{x}");
        }
        assert!((curve.at(0.3, End::Value) - 30.0).abs() < 1e-9);
        assert_eq!(curve.at(0.9, End::Cheap), 19.0);
        assert_eq!(curve.at(0.9, End::Dear), 22.0);
        assert!(Table::new(Vec::new()).at(1.0, End::Value).is_nan());
    }
}
