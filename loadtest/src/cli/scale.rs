//! `loadtest scale`.

use std::process::ExitCode;

use anyhow::Context;
use tokio_util::sync::CancellationToken;

use super::{ResultFile, arguments::ScaleArgs, exit_code, print};
use crate::{
    experiment::scale::{self, ScaleOptions},
    interrupt,
    load::Options,
    progress::Progress,
    report,
    subject::stack::StackOptions,
};

const STRATEGIES: [&str; 4] = ["jwt", "jwt-remembered", "session", "session-cached"];
const QUICK_STRATEGIES: [&str; 2] = ["jwt", "session"];
const REPLICAS: [usize; 7] = [1, 2, 3, 4, 5, 6, 8];
const QUICK_REPLICAS: [usize; 5] = [1, 2, 3, 4, 6];

impl ScaleArgs {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let interrupt = interrupt::on_signal().context("installing signal handlers")?;
        // An unwritable folder is found before minutes are spent.
        report::prepare(&self.out)?;
        let out = self.out.clone();
        let options = self.options(interrupt);
        let progress = Progress::start(options.expected());
        let calibrated = scale::calibrate(&options, &progress)?;
        // Before the first of it is observed.
        let prediction = out.join("prediction.json");
        ResultFile::at(&prediction)?.write(&calibrated.prediction())?;
        let results = calibrated.observe(&progress);
        progress.finish();
        let results = results?;
        // A terminal that is gone loses no file, and a disk that is full no text.
        let written = report::write(&results, &out);
        print(&report::terminal(&results))?;
        let (json, page) = written?;
        for path in [prediction, json, page] {
            print(&format!("{}\n", path.display()))?;
        }
        Ok(exit_code(&[&results]))
    }

    fn options(self, interrupt: CancellationToken) -> ScaleOptions {
        let (strategies, usual): (&[&str], &[usize]) = match self.quick {
            true => (&QUICK_STRATEGIES, &QUICK_REPLICAS),
            false => (&STRATEGIES, &REPLICAS),
        };
        let strategies = match self.strategies.as_slice() {
            [] => strategies.iter().map(|name| (*name).to_owned()).collect(),
            named => each_once(named.to_vec()),
        };
        let replicas = match self.replicas.as_slice() {
            [] => usual.to_vec(),
            given => ascending(given),
        };
        ScaleOptions {
            stack: StackOptions {
                strategies,
                bin_dir: self.bin_dir,
                gateway_threads: self.gateway_threads,
                interrupt,
                ..StackOptions::default()
            },
            replicas,
            auth_replicas: ascending(&self.auth_replicas),
            replica_cpu: self.replica_cpu,
            redis_cpu: self.redis_cpu,
            redis_shards: self.redis_shards,
            up_and_down: self.up_and_down.unwrap_or(u32::from(!self.quick)),
            generator_threads: Options::default().threads,
            whole_machine: self.whole_machine,
            quick: self.quick,
            seed: self.seed,
        }
    }
}

fn ascending(numbers: &[usize]) -> Vec<usize> {
    let mut numbers = numbers.to_vec();
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

/// In the order in which they were named.
fn each_once(names: Vec<String>) -> Vec<String> {
    let mut once: Vec<String> = Vec::new();
    for name in names {
        if !once.contains(&name) {
            once.push(name);
        }
    }
    once
}
