//! What plots share, and the kind that several sections have: lines with intervals.

mod lines;

pub(super) use lines::{Axis, Crossing, Line, Mark, Plot};

use crate::results::Estimate;

/// Width of a plot that stands alone, in its own units; the page scales it.
pub(super) const WIDTH: f64 = 760.0;
/// Its right edge.
pub(super) const RIGHT: f64 = WIDTH - 24.0;
/// Width of a plot of which two stand beside each other.
pub(super) const HALF: f64 = 450.0;
/// Number of colours for arms and components; more begin again.
const COLOURS: usize = 9;

/// Class of the colour with this number.
pub(super) fn colour(kind: &str, index: usize) -> String {
    format!("{kind} c{}", index % COLOURS)
}

/// Room for names at the left of horizontal bars and bands, and at the right of lines.
pub(super) fn names_width<'a>(names: impl Iterator<Item = &'a str>) -> f64 {
    let longest = names.map(|name| name.chars().count()).max().unwrap_or(0);
    (longest as f64 * 7.2 + 20.0).clamp(60.0, 300.0)
}

/// Both ends of an interval, where there is one.
pub(super) fn ends(estimate: &Estimate) -> Option<(f64, f64)> {
    estimate.low.zip(estimate.high)
}

/// Ticks of an axis of ratios that reaches from `low` to `high`: as many as have room.
pub(super) fn ratio_ticks(low: f64, high: f64) -> Vec<f64> {
    const CHOICES: [&[f64]; 5] = [
        &[0.85, 0.9, 0.95, 1.0, 1.05, 1.1, 1.15],
        &[0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3, 1.4],
        &[0.4, 0.5, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 2.5],
        &[0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0],
        &[0.001, 0.01, 0.1, 1.0, 10.0, 100.0, 1_000.0],
    ];
    let within = |choice: &[f64]| -> Vec<f64> {
        let inside = choice.iter().filter(|tick| (low..=high).contains(*tick));
        inside.copied().collect()
    };
    // The finest choice that reaches as far as the axis does.
    let fits = |choice: &&&[f64]| {
        let (first, last) = (choice[0], choice[choice.len() - 1]);
        first <= low * 1.1 && last >= high / 1.1
    };
    within(
        CHOICES
            .iter()
            .find(fits)
            .unwrap_or(&CHOICES[CHOICES.len() - 1]),
    )
}
