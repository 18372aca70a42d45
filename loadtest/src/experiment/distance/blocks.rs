//! The blocks: each visits every distance, and at it every strategy, in a random order that the next
//! block reverses, so that a drift of the machine meets all alike.

use super::{bench::Bench, place::Place};
use crate::{
    experiment::error::ExperimentError,
    instrument::machine::{MachineReading, MachineUse},
    metrics::Observation,
    progress::Progress,
    stats::random::Random,
};

/// One measured window.
pub(super) struct Measured {
    /// Index of the strategy.
    pub(super) strategy: usize,
    pub(super) place: Place,
    pub(super) block: u32,
    pub(super) seen: Observation,
}

/// All of them, and the machine in them together.
#[derive(Default)]
pub(super) struct Blocks {
    pub(super) measured: Vec<Measured>,
    pub(super) during: Option<MachineUse>,
}

impl Blocks {
    pub(super) fn count(&self) -> u32 {
        let blocks = self.measured.iter().map(|one| one.block + 1);
        blocks.max().unwrap_or_default()
    }
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
    let options = bench.options;
    let mut random = Random::new(options.seed);
    let mut blocks = Blocks::default();
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
            0 => order = shuffled(bench, &mut random),
            _ => order.reverse(),
        }
        let machine = MachineReading::now()?;
        for (place, strategy) in &order {
            let name = &options.stack.strategies[*strategy];
            progress.step(&format!("block {}: {name} {place}", block + 1));
            // All strategies of a block have the same arrivals at the same place.
            let nanoseconds = u64::from(place.round_trip().subsec_nanos());
            let seed = options.seed.wrapping_add(u64::from(block) << 32) ^ nanoseconds;
            blocks.measured.push(Measured {
                strategy: *strategy,
                place: *place,
                block,
                seen: bench.window(*strategy, *place, seed)?,
            });
        }
        during.add(&MachineReading::now()?.since(&machine));
    }
    blocks.during = Some(during);
    Ok(blocks)
}

/// The distances in a random order, and at each of them the strategies in a random order: windows that
/// are compared are neighbours. The proxy at no delay is visited with one strategy.
fn shuffled(bench: &Bench<'_>, random: &mut Random) -> Vec<(Place, usize)> {
    let options = bench.options;
    let places = options.round_trips.iter().chain(&options.hop);
    let places: Vec<Place> = places.map(|one| Place::at(*one)).collect();
    let mut order = Vec::new();
    for which in random.order(places.len() + 1) {
        match places.get(which) {
            Some(place) => {
                let strategies = random.order(options.stack.strategies.len());
                order.extend(strategies.into_iter().map(|strategy| (*place, strategy)));
            }
            None => order.push((Place::CONTROL, bench.asking)),
        }
    }
    order
}
