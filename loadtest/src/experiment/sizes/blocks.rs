//! The blocks: each visits every size, and at it every strategy, in a random order that the next block
//! reverses, so that a drift of the machine meets all alike.

use super::{bench::Bench, carry::Arm, size::Size};
use crate::{
    experiment::error::ExperimentError,
    instrument::machine::{MachineReading, MachineUse},
    metrics::Observation,
    progress::Progress,
    stats::random::Random,
};

/// One measured window.
pub(super) struct Measured {
    /// Index of the arm. Its windows follow each other in the order of the blocks.
    pub(super) arm: usize,
    pub(super) seen: Observation,
    /// Bytes between the services and Redis per request.
    pub(super) store_bytes: Option<f64>,
}

/// All of them, and the machine in them together.
pub(super) struct Blocks {
    pub(super) measured: Vec<Measured>,
    pub(super) during: MachineUse,
}

/// Measures all blocks.
///
/// # Errors
///
/// The system or the generator failed, or it was interrupted.
pub(super) fn measure(
    bench: &mut Bench<'_>,
    progress: &Progress,
) -> Result<Blocks, ExperimentError> {
    let options = bench.options();
    let mut random = Random::new(options.seed);
    let mut measured = Vec::new();
    let mut during = MachineUse::default();
    let mut order = Vec::new();
    for block in 0..options.blocks {
        if block > 0 && options.restarts {
            progress.step("restarting every process");
            bench.restart()?;
        } else {
            bench.keep_logged_in()?;
        }
        match block % 2 {
            0 => order = shuffled(bench.arms(), &mut random),
            _ => order.reverse(),
        }
        let machine = MachineReading::now()?;
        // All windows of a block have the same arrivals.
        let seed = options.seed.wrapping_add(u64::from(block) << 32);
        for &arm in &order {
            progress.step(&format!("block {}: {}", block + 1, bench.arms()[arm]));
            let (seen, store_bytes) = bench.window(arm, seed)?;
            measured.push(Measured {
                arm,
                seen,
                store_bytes,
            });
        }
        during.add(&MachineReading::now()?.since(&machine));
    }
    Ok(Blocks { measured, during })
}

/// The sizes in a random order, and of each of them its arms in a random order: windows that are compared
/// are neighbours.
fn shuffled(arms: &[Arm], random: &mut Random) -> Vec<usize> {
    let mut sizes: Vec<Size> = arms.iter().map(|arm| arm.size).collect();
    sizes.sort_unstable();
    sizes.dedup();
    let mut order = Vec::new();
    for which in random.order(sizes.len()) {
        let of_size = |arm: &usize| arms[*arm].size == sizes[which];
        let same: Vec<usize> = (0..arms.len()).filter(of_size).collect();
        order.extend(random.order(same.len()).into_iter().map(|one| same[one]));
    }
    order
}
