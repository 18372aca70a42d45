//! When there is enough. Pure.

use super::effect::Effect;

/// Whether every row can tell a ratio of `detect` (such as 1.05) from 1, so that more blocks are not
/// needed. A row that says nothing yet is not enough.
///
/// It looks at how precise the rows are and never at what they say. Who goes on until a difference is
/// beyond doubt finds one in the end, between identical arms as well: every further look is another
/// 5 %. The spread of the blocks, on the other hand, tells nothing of where their mean lies. What is
/// left is that a spread which happens to be small ends a run early: simulated, three identical rows are
/// called different in 5.5 % of runs in place of 5 %.
#[must_use]
pub fn enough(rows: &[Option<Effect>], detect: f64) -> bool {
    rows.iter()
        .all(|row| row.is_some_and(|effect| effect.detectable <= detect))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        results::Verdict,
        stats::{
            effect::Paired,
            family::{Row, Settings, family},
            random::{Random, normal},
        },
    };

    const MOST: usize = 16;

    fn block(random: &mut Random, spread: f64) -> Vec<(f64, f64)> {
        vec![(100.0, 100.0 * (spread * normal(random)).exp())]
    }

    /// Share of runs of three identical rows in which one is called different, when blocks are added
    /// until `stop` says so, and the blocks that were measured on average.
    fn simulate(stop: impl Fn(&[Option<Effect>]) -> bool) -> (f64, f64) {
        let (runs, mut random) = (400, Random::new(21));
        let settings = Settings {
            resamples: 199,
            ..Settings::new(1)
        };
        let (mut different, mut blocks) = (0, 0);
        for _ in 0..runs {
            let mut rows = vec![Row::default(); 3];
            loop {
                for row in &mut rows {
                    row.paired.blocks.push(block(&mut random, 0.03));
                }
                let measured = rows[0].paired.blocks.len();
                let effects = family(&rows, &settings);
                if measured >= 3 && stop(&effects) || measured == MOST {
                    different += usize::from(effects.iter().any(is_different));
                    blocks += measured;
                    break;
                }
            }
        }
        let per_run = |count: usize| count as f64 / f64::from(runs);
        (per_run(different), per_run(blocks))
    }

    fn is_different(effect: &Option<Effect>) -> bool {
        let verdict = effect.unwrap().verdict();
        matches!(verdict, Verdict::Higher | Verdict::Lower)
    }

    #[test]
    fn stopping_on_precision_makes_no_differences_and_stopping_on_significance_does() {
        let (different, blocks) = simulate(|effects| enough(effects, 1.05));
        assert!(different <= 0.05 + 0.033, "{different}");
        assert!((4.0..MOST as f64).contains(&blocks), "{blocks}");
        let (different, _) = simulate(|effects| effects.iter().any(is_different));
        assert!(different > 0.1, "{different}");
    }

    #[test]
    fn a_row_that_says_nothing_is_not_enough() {
        let sure = Row {
            paired: Paired {
                blocks: vec![vec![(1.0, 1.0)]; 3],
            },
            floor: None,
        };
        let effects = family(&[sure, Row::default()], &Settings::new(1));
        assert!(enough(&effects[..1], 1.001));
        assert!(!enough(&effects, 1.5));
    }
}
