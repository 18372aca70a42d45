//! `loadtest merge`.

use std::{path::Path, process::ExitCode};

use anyhow::Context;

use super::{ResultFile, Usage, arguments::MergeArgs, deliver, run};
use crate::{
    experiment::run::{Limits, RunResult, merge},
    results::without_controls,
};

impl MergeArgs {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let parts = self.results.iter().map(|path| read(path));
        let parts = parts.collect::<anyhow::Result<Vec<_>>>()?;
        let limits = Limits {
            max_p99: self.max_p99,
            max_error_ratio: self.max_error_ratio,
        };
        // These files make no sense, or none together.
        let whole = merge(&parts, &limits).map_err(|error| Usage(error.to_string()))?;
        let out = self.out.as_deref().map(ResultFile::at).transpose()?;
        deliver(out, &whole, &whole.to_string())?;
        Ok(run::exit_code(&whole))
    }
}

fn read(path: &Path) -> anyhow::Result<(String, RunResult)> {
    let name = path.display().to_string();
    let text = std::fs::read_to_string(path).with_context(|| format!("reading {name}"))?;
    let read = serde_json::from_str(&text).and_then(|mut value| {
        without_controls(&mut value);
        serde_json::from_value(value)
    });
    match read {
        Ok(result) => Ok((name, result)),
        Err(error) => {
            let told = format!("{name} is not what loadtest run --out writes: {error}");
            Err(Usage(told).into())
        }
    }
}
