//! The blocks: each measures every arm once under each of the conditions, in a random order that the
//! next block reverses, so that a drift of the machine meets all arms alike.

use super::{CompareError, Comparison};
use crate::{
    instrument::machine::MachineReading,
    load::{Arrivals, Load},
    metrics::Observation,
    results::Conditions,
    stats::random::Random,
};

/// One measured window.
pub(super) struct Measured {
    /// Index of the arm.
    pub(super) arm: usize,
    /// Index of the conditions.
    pub(super) conditions: usize,
    pub(super) block: u32,
    pub(super) place: u32,
    pub(super) started_at_seconds: f64,
    pub(super) seen: Observation,
}

/// The blocks that were measured whole, and what ended them early.
pub(super) struct Blocks {
    pub(super) measured: Vec<Measured>,
    pub(super) ended_by: Option<CompareError>,
}

/// Measures one block after the other until `enough` of what was measured so far. When something
/// breaks, the whole blocks before it remain.
///
/// # Errors
///
/// It broke before there were two blocks, the fewest that tell of a spread.
pub(super) fn measure(
    comparison: &mut Comparison<'_>,
    conditions: &[Conditions],
    mut enough: impl FnMut(u32, &[Measured]) -> bool,
) -> Result<Blocks, CompareError> {
    let seed = comparison.options.seed;
    let mut random = Random::new(seed);
    let mut measured = Vec::new();
    let mut order = Vec::new();
    let mut block = 0;
    while !enough(block, &measured) {
        match one(
            comparison,
            conditions,
            (block, seed),
            &mut order,
            &mut random,
        ) {
            Ok(windows) => measured.extend(windows),
            Err(error) if block < 2 => return Err(error),
            Err(error) => {
                return Ok(Blocks {
                    measured,
                    ended_by: Some(error),
                });
            }
        }
        block += 1;
    }
    Ok(Blocks {
        measured,
        ended_by: None,
    })
}

fn one(
    comparison: &mut Comparison<'_>,
    conditions: &[Conditions],
    (block, seed): (u32, u64),
    order: &mut Vec<(usize, usize)>,
    random: &mut Random,
) -> Result<Vec<Measured>, CompareError> {
    if block > 0 && comparison.pace.restarts {
        comparison.restart()?;
    } else {
        comparison.keep_logged_in()?;
    }
    match block % 2 {
        0 => *order = shuffled(conditions.len(), comparison.systems.arms.len(), random),
        _ => order.reverse(),
    }
    let mut measured = Vec::new();
    let machine = MachineReading::now()?;
    for (place, (which, arm)) in (0..).zip(order.iter().copied()) {
        let started_at_seconds = comparison.started.elapsed().as_secs_f64();
        // All arms of a block have the same arrivals under the same conditions.
        let window_seed = seed.wrapping_add((u64::from(block) << 16) + which as u64);
        let at = (&conditions[which], block, window_seed);
        measured.push(Measured {
            arm,
            conditions: which,
            block,
            place,
            started_at_seconds,
            seen: window(comparison, arm, at)?,
        });
    }
    comparison.add_machine(&machine)?;
    Ok(measured)
}

fn window(
    comparison: &mut Comparison<'_>,
    arm: usize,
    (conditions, block, seed): (&Conditions, u32, u64),
) -> Result<Observation, CompareError> {
    let rate = conditions.rate_per_second;
    comparison.progress.step(&format!(
        "block {}: {} at {rate:.0} requests/s",
        block + 1,
        comparison.systems.arms[arm].spec.name
    ));
    let load = Load::Open {
        rate,
        arrivals: Arrivals::Poisson,
    };
    let pace = comparison.pace;
    comparison.observe_under(arm, load, conditions, (pace.warmup, pace.window), seed)
}

/// The conditions in a random order, and under each of them the arms in a random order: windows that
/// are compared are neighbours.
fn shuffled(conditions: usize, arms: usize, random: &mut Random) -> Vec<(usize, usize)> {
    let mut order = Vec::new();
    for which in random.order(conditions) {
        order.extend(random.order(arms).into_iter().map(|arm| (which, arm)));
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_arm_is_measured_once_under_each_of_the_conditions_beside_the_other_arms() {
        let mut random = Random::new(1);
        let mut first = [0; 3];
        for _ in 0..300 {
            let order = shuffled(2, 3, &mut random);
            assert_eq!(order.len(), 6);
            for half in order.chunks(3) {
                assert!(half.iter().all(|(which, _)| *which == half[0].0));
                let mut arms: Vec<usize> = half.iter().map(|(_, arm)| *arm).collect();
                arms.sort_unstable();
                assert_eq!(arms, [0, 1, 2]);
            }
            first[order[0].1] += 1;
        }
        assert!(first.iter().all(|count| *count > 60), "{first:?}");
    }
}
