//! `loadtest capacity`.

use std::process::ExitCode;

use serde::Serialize;

use super::{EXIT_INCONCLUSIVE, EXIT_INVALID, Usage, arguments::CapacityArgs, print, read_all};
use crate::{
    model::{Answer, Asked, Figure, Formula, INPUTS, Model},
    report,
    results::{Results, Validity},
};

/// What `--json` prints.
#[derive(Serialize)]
struct Told<'a> {
    /// One for each rate.
    answers: Vec<Answer>,
    /// Every figure; of the first answer, where what is asked enters.
    figures: Vec<OfStrategy<'a>>,
    formulas: Vec<Written<'a>>,
    caveats: &'a [String],
}

#[derive(Serialize)]
struct OfStrategy<'a> {
    /// Nothing for a figure of the whole system.
    strategy: Option<&'a str>,
    #[serde(flatten)]
    figure: Figure,
}

#[derive(Serialize)]
struct Written<'a> {
    id: &'a str,
    label: &'a str,
    unit: crate::model::Unit,
    formula: String,
    why: &'a str,
}

impl CapacityArgs {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let asked = self.asked()?;
        let runs = read_all(&self.results)?;
        let runs: Vec<&Results> = runs.iter().collect();
        let mut model = Model::of(&runs);
        if model.is_empty() {
            anyhow::bail!(
                "nothing can be modelled: {}",
                match model.caveats.as_slice() {
                    [] => "no strategy was measured; loadtest compare does it".to_owned(),
                    caveats => caveats.join(" "),
                }
            );
        }
        for text in &self.assumed {
            model
                .assume(text)
                .map_err(|error| Usage(error.to_string()))?;
        }
        print(&match self.json {
            true => json(&model, &asked)?,
            false => report::capacity(&model, &asked),
        })?;
        Ok(exit_code(&runs))
    }

    /// What is asked at each rate.
    fn asked(&self) -> Result<Vec<Asked>, Usage> {
        let seconds = |time: Option<std::time::Duration>| time.map(|time| time.as_secs_f64());
        let given = [
            ("active_users", self.active_users),
            ("rtt_ms", self.rtt),
            ("token_life", seconds(self.token_life)),
            ("logout_within", seconds(self.logout_within)),
            ("replicas", self.replicas),
            ("must_answer", self.without_redis.then_some(1.0)),
            ("utilisation", self.utilisation),
            ("cache_entries", self.cache_entries),
            ("login_every", seconds(self.login_every)),
            ("shard_memory", self.shard_memory),
            ("shard_network", self.shard_network),
        ];
        let mut asked = Asked::default();
        for (id, value) in given {
            if let Some(value) = value {
                asked = asked.with(id, within(id, value)?);
            }
        }
        match self.rates.as_slice() {
            [] => Ok(vec![asked]),
            rates => rates
                .iter()
                .map(|rate| Ok(asked.clone().with("rate", within("rate", *rate)?)))
                .collect(),
        }
    }
}

/// An answer is worth what the worst of its runs is. Their thresholds are no matter of the model.
fn exit_code(runs: &[&Results]) -> ExitCode {
    let any = |wanted: &[Validity]| runs.iter().any(|run| wanted.contains(&run.validity));
    if any(&[Validity::Invalid, Validity::Disturbed]) {
        ExitCode::from(EXIT_INVALID)
    } else if any(&[Validity::Overloaded, Validity::Inconclusive]) {
        ExitCode::from(EXIT_INCONCLUSIVE)
    } else {
        ExitCode::SUCCESS
    }
}

/// The value, if it makes sense for this input.
fn within(id: &str, value: f64) -> Result<f64, Usage> {
    match INPUTS.iter().find(|input| input.id == id) {
        Some(input) if !(input.min..=input.max).contains(&value) => Err(Usage(format!(
            "--{}: {} to {} makes sense",
            input.option,
            crate::model::written(input.min, input.unit),
            crate::model::written(input.max, input.unit)
        ))),
        _ => Ok(value),
    }
}

fn json(model: &Model, asked: &[Asked]) -> anyhow::Result<String> {
    let first = asked.first().cloned().unwrap_or_default();
    let formulas = model.formulas.iter().map(|one: &Formula| Written {
        id: one.id,
        label: one.label,
        unit: one.unit,
        formula: one.formula.to_string(),
        why: one.why,
    });
    let figures = model.assumptions(&first).into_iter();
    let told = Told {
        answers: asked.iter().map(|asked| model.answer(asked)).collect(),
        figures: figures
            .map(|(strategy, figure)| OfStrategy { strategy, figure })
            .collect(),
        formulas: formulas.collect(),
        caveats: &model.caveats,
    };
    Ok(serde_json::to_string_pretty(&told)? + "\n")
}
