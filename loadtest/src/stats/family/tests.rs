use proptest::prelude::*;

use super::*;
use crate::{
    results::Verdict,
    stats::random::{Random, normal},
};

/// Two runs in a thousand of a simulation err by more than this share beyond a true 5 %.
fn allowed(runs: u32) -> f64 {
    0.05 + 3.0 * (0.05 * 0.95 / f64::from(runs)).sqrt()
}

/// Few draws: the simulations are about the whole and Student's part of the hull is the wider one.
fn settings() -> Settings {
    Settings {
        resamples: 199,
        ..Settings::new(7)
    }
}

/// How the simulated machine behaves; spreads in logarithms.
#[derive(Clone, Copy)]
struct Machine {
    /// Of one start of an arm's processes against another.
    restart: f64,
    /// Of one window against another.
    window: f64,
    /// Change from the first window of a block to its last.
    drift: f64,
    noise: fn(&mut Random) -> f64,
}

const TYPICAL: Machine = Machine {
    restart: 0.03,
    window: 0.03,
    drift: 0.2,
    noise: normal,
};

/// Student's with three degrees of freedom: one window in a hundred is off by more than four spreads.
fn heavy(random: &mut Random) -> f64 {
    let squares: f64 = (0..3).map(|_| normal(random).powi(2)).sum();
    normal(random) / squares.sqrt()
}

impl Machine {
    /// A row of `blocks` ABBA blocks over baseline, baseline again and candidate.
    fn row(self, random: &mut Random, blocks: usize, ratio: f64) -> Row {
        let mut row = Row {
            paired: Paired::default(),
            floor: Some(Paired::default()),
        };
        for _ in 0..blocks {
            let common = 0.3 * normal(random);
            let start: [f64; 3] = std::array::from_fn(|_| self.restart * (self.noise)(random));
            let mut pass = |places: [f64; 3]| -> [f64; 3] {
                std::array::from_fn(|arm| {
                    let truth = if arm == 2 { ratio } else { 1.0 };
                    let drift = self.drift * places[arm] / 5.0;
                    let own = self.window * (self.noise)(random);
                    200.0 * truth * (common + drift + start[arm] + own).exp()
                })
            };
            let passes = [pass([0.0, 1.0, 2.0]), pass([5.0, 4.0, 3.0])];
            let pairs = |arm: usize| passes.iter().map(|pass| (pass[0], pass[arm])).collect();
            row.paired.blocks.push(pairs(2));
            row.floor.as_mut().unwrap().blocks.push(pairs(1));
        }
        row
    }

    /// Share of runs in which any row is called different; the rows have the given true ratios.
    fn called_different(self, blocks: usize, ratios: &[f64], runs: u32, floor: bool) -> f64 {
        let mut random = Random::new(99);
        let called = (0..runs).filter(|_| {
            let row = |ratio: &f64| {
                let mut row = self.row(&mut random, blocks, *ratio);
                row.floor = row.floor.filter(|_| floor);
                row
            };
            let rows: Vec<Row> = ratios.iter().map(row).collect();
            family(&rows, &settings()).iter().any(different)
        });
        called.count() as f64 / f64::from(runs)
    }
}

fn different(effect: &Option<Effect>) -> bool {
    let verdict = effect.expect("the simulated values are above 0").verdict();
    matches!(verdict, Verdict::Higher | Verdict::Lower)
}

fn one(row: Row) -> Effect {
    family(&[row], &settings())[0].unwrap()
}

#[test]
fn a_family_of_identical_arms_has_any_difference_in_at_most_five_percent_of_runs() {
    for blocks in [3, 6, 12] {
        for (rows, runs) in [(3, 400), (12, 200), (56, 100)] {
            for floor in [false, true] {
                let share = TYPICAL.called_different(blocks, &vec![1.0; rows], runs, floor);
                assert!(
                    share <= allowed(runs),
                    "{share}: {blocks} blocks, {rows} rows, floor {floor}"
                );
            }
        }
    }
}

#[test]
fn a_row_that_stands_alone_without_a_floor_uses_the_five_percent_it_has() {
    for blocks in 3..=12 {
        let share = TYPICAL.called_different(blocks, &[1.0], 1_000, false);
        assert!(
            (0.03..=allowed(1_000)).contains(&share),
            "{share}: {blocks}"
        );
    }
}

#[test]
fn heavy_tailed_noise_does_not_make_differences() {
    let machine = Machine {
        noise: heavy,
        ..TYPICAL
    };
    for (blocks, rows, runs) in [(3, 1, 1_000), (12, 1, 1_000), (6, 12, 200)] {
        let share = machine.called_different(blocks, &vec![1.0; rows], runs, false);
        assert!(
            share <= allowed(runs),
            "{share}: {blocks} blocks, {rows} rows"
        );
    }
}

/// Why the block is the unit: what a restart changes is in both of its pairs.
#[test]
fn pairs_taken_for_independent_would_make_differences_of_restarts() {
    let machine = Machine {
        drift: 0.0,
        ..TYPICAL
    };
    let mut random = Random::new(4);
    let called = (0..500).filter(|_| {
        let mut row = machine.row(&mut random, 6, 1.0);
        let pairs = row.paired.blocks.iter().flatten();
        row.paired.blocks = pairs.map(|pair| vec![*pair]).collect();
        row.floor = None;
        different(&Some(one(row)))
    });
    let share = called.count() as f64 / 500.0;
    assert!(share > 2.0 * 0.05, "{share}");
}

#[test]
fn a_difference_of_five_percent_is_found_among_seven_rows() {
    let quiet = Machine {
        restart: 0.01,
        window: 0.01,
        ..TYPICAL
    };
    let mut random = Random::new(8);
    let (mut found, mut elsewhere) = (0, 0);
    for _ in 0..200 {
        let mut ratios = [1.0; 7];
        ratios[3] = 1.05;
        let rows = ratios.map(|ratio| quiet.row(&mut random, 8, ratio));
        let effects = family(&rows, &settings());
        found += usize::from(effects[3].unwrap().verdict() == Verdict::Higher);
        elsewhere += effects.iter().filter(|effect| different(effect)).count();
    }
    elsewhere -= found;
    assert!(found >= 180 && elsewhere <= 10, "{found} {elsewhere}");
}

#[test]
fn the_detectable_ratio_is_found_in_four_of_five_runs() {
    let mut random = Random::new(3);
    for blocks in [3, 6, 12] {
        for rows in [1, 7] {
            // The first step of a family of so many.
            let settings = Settings {
                confidence: 1.0 - 0.05 / f64::from(rows),
                ..settings()
            };
            let mut share = |floor| {
                let mut run = |ratio| {
                    let mut row = TYPICAL.row(&mut random, blocks, ratio);
                    row.floor = row.floor.filter(|_| floor);
                    family(&[row], &settings)[0]
                };
                let found = (0..500).filter(|_| {
                    let promised = run(1.0).unwrap().detectable;
                    different(&run(promised))
                });
                found.count() as f64 / 500.0
            };
            let (without, with) = (share(false), share(true));
            assert!(
                (0.74..0.86).contains(&without),
                "{without}: {blocks}, {rows}"
            );
            // The larger of two spreads is a careful guess at either.
            assert!((0.74..0.95).contains(&with), "{with}: {blocks}, {rows}");
        }
    }
}

#[test]
fn arms_that_differ_by_the_margin_are_called_equivalent_in_at_most_five_percent_of_runs() {
    let quiet = Machine {
        restart: 0.005,
        window: 0.005,
        ..TYPICAL
    };
    let mut random = Random::new(5);
    let mut equivalent = |ratio| {
        let called = (0..500).filter(|_| one(quiet.row(&mut random, 6, ratio)).equivalent);
        called.count() as f64 / 500.0
    };
    assert!(equivalent(EQUIVALENCE_MARGIN) <= allowed(500));
    assert!(equivalent(1.0) > 0.95);
}

#[test]
fn what_identical_arms_do_as_well_is_no_difference() {
    let blocks = |candidate: f64| Paired {
        blocks: [1.0, 1.001, 0.999]
            .map(|noise| vec![(100.0, candidate * noise)])
            .to_vec(),
    };
    let row = |floor| Row {
        paired: blocks(104.0),
        floor,
    };
    assert_eq!(one(row(None)).verdict(), Verdict::Higher);
    let floored = one(row(Some(blocks(95.0))));
    assert_eq!(floored.verdict(), Verdict::Inconclusive);
    let (low, high) = (floored.floor_low.unwrap(), floored.floor_high.unwrap());
    assert!((low - 0.95).abs() < 1e-3 && (low * high - 1.0).abs() < 1e-12);
    assert!(floored.high / floored.ratio >= high && floored.low / floored.ratio <= low);
    assert_eq!(floored.p, 1.0);
}

#[test]
fn rows_are_tested_in_the_order_of_their_p() {
    let steps = holm(&[0.01, 0.04, 0.03, 0.005], 0.05);
    let adjusted = [0.03, 0.06, 0.06, 0.02];
    let among = [3.0, 2.0, 2.0, 4.0];
    for (step, (adjusted, among)) in steps.iter().zip(adjusted.into_iter().zip(among)) {
        assert!((step.p_adjusted - adjusted).abs() < 1e-12, "{steps:?}");
        assert!((step.alpha - 0.05 / among).abs() < 1e-12, "{steps:?}");
    }
}

#[test]
fn a_row_of_one_block_or_with_a_zero_says_nothing_and_does_not_count() {
    let good = TYPICAL.row(&mut Random::new(1), 4, 1.1);
    let short = TYPICAL.row(&mut Random::new(1), 1, 1.1);
    let mut zero = good.clone();
    zero.paired.blocks[2][1].0 = 0.0;
    let mut bad_floor = good.clone();
    bad_floor.floor.as_mut().unwrap().blocks[0].clear();
    let rows = [short, zero, good.clone(), bad_floor];
    let effects = family(&rows, &settings());
    assert_eq!(effects, vec![None, None, Some(one(good)), None]);
}

#[test]
fn the_same_data_and_seed_give_the_same_interval() {
    let row = TYPICAL.row(&mut Random::new(1), 8, 1.1);
    assert_eq!(one(row.clone()), one(row));
}

proptest! {
    #[test]
    fn an_interval_leaves_out_one_exactly_where_holm_calls_the_row_different(
        seed in any::<u64>(),
        blocks in 2usize..9,
        ratios in prop::collection::vec(0.8f64..1.25, 1..20),
        floor in any::<bool>(),
    ) {
        let mut random = Random::new(seed);
        let rows: Vec<Row> = ratios
            .iter()
            .map(|ratio| {
                let mut row = TYPICAL.row(&mut random, blocks, *ratio);
                row.floor = row.floor.filter(|_| floor);
                row
            })
            .collect();
        for effect in family(&rows, &settings()).into_iter().flatten() {
            let leaves_out = effect.low > 1.0 || effect.high < 1.0;
            prop_assert_eq!(leaves_out, effect.p_adjusted <= 0.05, "{:?}", effect);
            prop_assert!(effect.low <= effect.ratio && effect.ratio <= effect.high);
            prop_assert!(effect.p <= effect.p_adjusted);
            if let (Some(low), Some(high)) = (effect.floor_low, effect.floor_high) {
                let narrow = 1.0 + 1e-9;
                prop_assert!(effect.high / effect.ratio * narrow >= high);
                prop_assert!(effect.low / effect.ratio <= low * narrow);
            }
        }
    }
}
