//! `loadtest distance`.

use std::{process::ExitCode, time::Duration};

use anyhow::Context;
use tokio_util::sync::CancellationToken;

use super::{Usage, arguments::DistanceArgs, exit_code, written};
use crate::{
    experiment::distance::{self, DistanceOptions},
    interrupt,
    progress::Progress,
    report,
    subject::stack::StackOptions,
};

/// One of each kind: no state, state at each request, state that is remembered, and the auth service
/// asked by the API or the gateway.
const STRATEGIES: [&str; 5] = [
    "jwt",
    "session",
    "session-cached",
    "introspection",
    "phantom",
];
/// In µs.
const ROUND_TRIPS: [u64; 7] = [0, 250, 500, 1_000, 2_000, 5_000, 20_000];
/// In µs.
const QUICK_ROUND_TRIPS: [u64; 4] = [0, 500, 2_000, 20_000];
/// Each takes seconds for each strategy in each block, and a connection of its own through the proxy.
const MOST_ROUND_TRIPS: usize = 32;

impl DistanceArgs {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let interrupt = interrupt::on_signal().context("installing signal handlers")?;
        let out = self.out.clone();
        let options = self.options(interrupt)?;
        // An unwritable folder is found before minutes are spent.
        report::prepare(&out)?;
        let progress = Progress::start(options.expected());
        let results = distance::run(&options, &progress);
        progress.finish();
        let results = results?;
        written(&results, &out)?;
        Ok(exit_code(&[&results]))
    }

    fn options(self, interrupt: CancellationToken) -> Result<DistanceOptions, Usage> {
        let mut strategies = self.strategies;
        if strategies.is_empty() {
            strategies = STRATEGIES.map(str::to_owned).to_vec();
        }
        let mut sorted = strategies.clone();
        sorted.sort_unstable();
        if let Some(twice) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(Usage(format!("--strategy {} is given twice", twice[0])));
        }
        let usual = if self.quick {
            QUICK_ROUND_TRIPS.as_slice()
        } else {
            ROUND_TRIPS.as_slice()
        };
        let mut round_trips = self.rtt;
        if round_trips.is_empty() {
            round_trips = usual.iter().copied().map(Duration::from_micros).collect();
        }
        round_trips.sort_unstable();
        round_trips.dedup();
        if round_trips.len() < 2 {
            let needed = "--rtt: a line needs two round-trip times, such as 0,2";
            return Err(Usage(needed.to_owned()));
        }
        if round_trips.len() > MOST_ROUND_TRIPS {
            return Err(Usage(format!(
                "--rtt: {} round-trip times; a line needs no more than {MOST_ROUND_TRIPS}, and each is measured with every strategy",
                round_trips.len()
            )));
        }
        let stack = StackOptions {
            strategies,
            bin_dir: self.bin_dir,
            interrupt,
            ..StackOptions::default()
        };
        let mut options = if self.quick {
            DistanceOptions::quick(stack, round_trips, self.rate, self.seed)
        } else {
            DistanceOptions::thorough(stack, round_trips, self.rate, self.seed)
        };
        // One that is in the series is no other distance.
        options.hop = options.hop.filter(|hop| !options.round_trips.contains(hop));
        Ok(options)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::{Cli, arguments::Command};

    fn options(round_trips: usize) -> Result<DistanceOptions, Usage> {
        let rtt: Vec<String> = (0..round_trips).map(|one| one.to_string()).collect();
        let words = ["loadtest", "distance", "--rtt", &rtt.join(",")];
        let Command::Distance(args) = Cli::try_parse_from(words).unwrap().command else {
            panic!("another command");
        };
        args.options(CancellationToken::new())
    }

    #[test]
    fn a_line_has_two_points_at_least_and_no_more_than_can_be_measured() {
        assert!(options(1).is_err());
        assert_eq!(options(2).unwrap().round_trips.len(), 2);
        assert!(options(MOST_ROUND_TRIPS).is_ok());
        let Err(Usage(told)) = options(MOST_ROUND_TRIPS + 1) else {
            panic!("it would take hours");
        };
        assert!(told.contains("33 round-trip times"), "{told}");
    }
}
