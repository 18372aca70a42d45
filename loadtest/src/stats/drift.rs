//! Whether an arm changed while it was measured. Pure.

use super::{
    effect::{CONFIDENCE, log},
    interval::Interval,
};

/// How an arm changed over the run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Drift {
    /// Value at the last block ÷ value at the first one, by the trend, with its interval.
    pub change: Interval,
    /// Probability of a trend at least as consistent, when there is none.
    pub p: f64,
}

impl Drift {
    /// Whether there is a trend beyond doubt, and one larger than `margin` (such as 1.05).
    #[must_use]
    pub fn is_beyond(&self, margin: f64) -> bool {
        let within = 1.0 / margin..=margin;
        self.p <= 1.0 - CONFIDENCE && !within.contains(&self.change.value)
    }
}

/// The trend of one arm: of its windows by block, in the order of time, each the moment in seconds and
/// the value. `None` with fewer than five blocks, of which any order is likely by chance, or when a
/// value is not above 0.
///
/// Theil and Sen's slope of the logarithms with Sen's interval (1968), and the exact test of Mann and
/// Kendall (1945), all of the means of blocks: windows of one block share its restart and would make a
/// trend of it. One odd block moves neither.
#[must_use]
pub fn trend(blocks: &[Vec<(f64, f64)>]) -> Option<Drift> {
    let points = points(blocks)?;
    if points.len() < 5 {
        return None;
    }
    let mut slopes = Vec::new();
    let mut score = 0i64;
    for (index, (from, earlier)) in points.iter().enumerate() {
        for (to, later) in &points[index + 1..] {
            slopes.push((later - earlier) / (to - from));
            score += (later.total_cmp(earlier) as i8) as i64;
        }
    }
    slopes.sort_by(f64::total_cmp);
    // How many of the smallest and largest slopes the interval leaves out.
    let p = p_values(points.len());
    let pairs = slopes.len();
    let critical = (0..=pairs).find(|score| p[*score] <= 1.0 - CONFIDENCE)?;
    let cut = (pairs - critical) / 2;
    let span = points[points.len() - 1].0 - points[0].0;
    let at = |slope: f64| (slope * span).exp();
    Some(Drift {
        change: Interval {
            value: at(median(&slopes)),
            low: at(slopes[cut]),
            high: at(slopes[pairs - 1 - cut]),
        },
        p: p[score.unsigned_abs() as usize],
    })
}

/// Of each block the mean moment and the mean logarithm.
fn points(blocks: &[Vec<(f64, f64)>]) -> Option<Vec<(f64, f64)>> {
    let block = |windows: &Vec<(f64, f64)>| {
        let logs: Option<Vec<f64>> = windows.iter().map(|window| log(window.1)).collect();
        let count = windows.len() as f64;
        let moment = windows.iter().map(|window| window.0).sum::<f64>() / count;
        (!windows.is_empty()).then_some((moment, logs?.iter().sum::<f64>() / count))
    };
    blocks.iter().map(block).collect()
}

/// Probability of a score of at least so much, to either side, for `count` values in random order; by
/// the score. Scores are the number of pairs that rise less the number of those that fall.
fn p_values(count: usize) -> Vec<f64> {
    let pairs = count * (count - 1) / 2;
    // Distribution of the number of pairs that fall, one value after the other: the next one may fall
    // below any number of those before it with the same probability.
    let mut falling = vec![1.0];
    for before in 1..count {
        let mut next = vec![0.0; falling.len() + before];
        for (fallen, probability) in falling.iter().enumerate() {
            for below in 0..=before {
                next[fallen + below] += probability / (before + 1) as f64;
            }
        }
        falling = next;
    }
    let at_least = |score: usize| {
        let most = (pairs - score) / 2;
        (2.0 * falling[..=most].iter().sum::<f64>()).min(1.0)
    };
    (0..=pairs).map(at_least).collect()
}

/// Of ascending values, at least one.
fn median(ascending: &[f64]) -> f64 {
    let middle = ascending.len() / 2;
    if ascending.len() % 2 == 1 {
        ascending[middle]
    } else {
        f64::midpoint(ascending[middle - 1], ascending[middle])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::random::{Random, normal};

    /// Blocks of two windows with a restart variance of 3 %, own noise of 1 % and the given change
    /// from the first block to the last.
    fn arm(random: &mut Random, blocks: u32, change: f64) -> Vec<Vec<(f64, f64)>> {
        (0..blocks)
            .map(|block| {
                let progress = f64::from(block) / f64::from(blocks - 1);
                let restart = 0.03 * normal(random);
                let window = |place: f64| {
                    let log = change.ln() * progress + restart + 0.01 * normal(random);
                    (60.0 * f64::from(block) + 10.0 * place, 200.0 * log.exp())
                };
                [1.0, 4.0].map(window).to_vec()
            })
            .collect()
    }

    #[test]
    fn a_steady_arm_drifts_in_at_most_five_percent_of_runs_and_its_interval_covers_none() {
        let mut random = Random::new(14);
        for blocks in [5, 8, 12, 20] {
            let (mut drifted, mut missed) = (0, 0);
            for _ in 0..1_000 {
                let found = trend(&arm(&mut random, blocks, 1.0)).unwrap();
                drifted += usize::from(found.is_beyond(1.0));
                missed += usize::from(found.change.low > 1.0 || found.change.high < 1.0);
            }
            assert!(
                drifted <= 70 && missed <= 70,
                "{blocks}: {drifted} {missed}"
            );
        }
    }

    #[test]
    fn windows_taken_for_independent_would_make_a_trend_of_restarts() {
        let mut random = Random::new(15);
        let drifted = (0..300).filter(|_| {
            let windows = arm(&mut random, 8, 1.0).into_iter().flatten();
            let windows: Vec<_> = windows.map(|window| vec![window]).collect();
            trend(&windows).unwrap().is_beyond(1.0)
        });
        assert!(drifted.count() > 30);
    }

    #[test]
    fn an_arm_that_becomes_a_third_slower_is_told_with_its_change() {
        let mut random = Random::new(16);
        let (mut told, mut covered) = (0, 0);
        for _ in 0..200 {
            let found = trend(&arm(&mut random, 8, 1.33)).unwrap();
            told += usize::from(found.is_beyond(1.05));
            covered += usize::from(found.change.low <= 1.33 && 1.33 <= found.change.high);
        }
        assert!(told >= 195 && covered >= 180, "{told} {covered}");
    }

    #[test]
    fn one_odd_block_is_no_drift() {
        let mut blocks = arm(&mut Random::new(17), 9, 1.0);
        blocks[8] = vec![(480.0, 20_000.0)];
        assert!(!trend(&blocks).unwrap().is_beyond(1.05));
    }

    /// Kendall, "Rank correlation methods", appendix table 1: probability of a score of at least so
    /// much, to one side.
    #[test]
    fn the_probabilities_are_those_of_the_tables() {
        for (count, score, one_sided) in [(4, 6, 0.042), (5, 8, 0.042), (8, 16, 0.031)] {
            let found = p_values(count)[score];
            assert!((found / 2.0 - one_sided).abs() < 5e-4, "{count}: {found}");
        }
    }

    #[test]
    fn four_blocks_have_no_trend() {
        let blocks = arm(&mut Random::new(18), 4, 2.0);
        assert_eq!(trend(&blocks), None);
        assert_eq!(trend(&[vec![], vec![], vec![], vec![], vec![]]), None);
    }
}
