//! Rows that one table shows, tested together. Pure.
//!
//! Who looks at 56 intervals of 95 % of identical arms sees three that leave out 1. Holm's step-down
//! method (1979) keeps the probability of even one such row below 5 %, whatever the rows have in
//! common. The rows are ordered by `p`; the first is tested at 5 % ÷ rows, the next at 5 % ÷ (rows
//! − 1), until one fails, and all that follow fail with it. Each interval has the level at which its
//! row was tested, so that "the interval leaves 1 out" and "different after the correction" are one
//! statement. That statement is what the 5 % hold for; that every interval of a large table covers its
//! truth at once is promised more weakly, by each one's own level.

use super::effect::{CONFIDENCE, EQUIVALENCE_MARGIN, Effect, Estimate, Paired};

/// One row of a table.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Row {
    /// Baseline and candidate.
    pub paired: Paired,
    /// The same quantity of the baseline against itself, measured by the same schedule.
    pub floor: Option<Paired>,
}

/// How rows are tested.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// Confidence that none of the rows is called different by chance, such as 0.95.
    pub confidence: f64,
    /// Ratios between 1 ÷ this and this are called equivalent.
    pub margin: f64,
    /// Draws of the bootstrap. The default, 9 999, makes (draws + 1) × level a whole number for the
    /// usual levels, so that no draw lies on the end of an interval.
    pub resamples: usize,
    /// Where the draws begin.
    pub seed: u64,
}

impl Settings {
    /// The usual ones, with draws that begin at `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            confidence: CONFIDENCE,
            margin: EQUIVALENCE_MARGIN,
            resamples: 9_999,
            seed,
        }
    }
}

/// What may be said of each row, given that all of them are looked at. A row of fewer than two blocks,
/// or with a value that is not above 0, is `None` and does not count.
#[must_use]
pub fn family(rows: &[Row], settings: &Settings) -> Vec<Option<Effect>> {
    let estimates: Vec<Option<Estimate>> = rows
        .iter()
        .map(|row| {
            let floor = row.floor.as_ref();
            Estimate::of(&row.paired, floor, settings.resamples, settings.seed)
        })
        .collect();
    let p: Vec<f64> = estimates.iter().flatten().map(Estimate::p).collect();
    let mut steps = holm(&p, 1.0 - settings.confidence).into_iter();
    estimates
        .iter()
        .map(|estimate| {
            let (estimate, step) = (estimate.as_ref()?, steps.next()?);
            Some(estimate.at(step.alpha, step.p_adjusted, settings.margin))
        })
        .collect()
}

/// Where a row stands in Holm's order.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Step {
    /// The level at which it was tested, or would have been: that of the first to fail for all that
    /// fail.
    alpha: f64,
    p_adjusted: f64,
}

fn holm(p: &[f64], alpha: f64) -> Vec<Step> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|one, other| p[*one].total_cmp(&p[*other]));
    let mut steps = vec![Step::default(); p.len()];
    let mut p_adjusted = 0.0f64;
    // Rows among which the next one is tested: all that are left, until one fails.
    let mut among = p.len();
    for (rank, index) in order.into_iter().enumerate() {
        let left = p.len() - rank;
        if p_adjusted <= alpha {
            among = left;
        }
        p_adjusted = p_adjusted.max((p[index] * left as f64).min(1.0));
        steps[index] = Step {
            alpha: alpha / among as f64,
            p_adjusted,
        };
    }
    steps
}

#[cfg(test)]
mod tests;
