//! From results to a model: what was measured in them, and what has to be assumed.

mod arm;
mod figures;
mod measured;
mod system;

use std::collections::BTreeMap;

use serde::Serialize;

use super::{
    figure::{Figure, Source, Table},
    format::Unit,
    formulas::{self, Formula},
    inputs::{Asked, INPUTS, Input},
    words::{Words, words},
};
use crate::results::{Results, Validity};

/// Everything that an answer rests on. The page has it whole, so that it can answer by itself.
#[derive(Clone, Debug, Serialize)]
pub struct Model {
    /// What can be asked.
    pub inputs: &'static [Input],
    /// Every formula, in the order in which they are evaluated.
    pub formulas: Vec<Formula>,
    pub(super) words: Words,
    /// Figures of the whole system.
    pub common: Vec<Figure>,
    /// Every strategy that was measured.
    pub strategies: Vec<Modelled>,
    /// What a reader must know of the figures, one sentence each.
    pub caveats: Vec<String>,
}

/// One strategy, as one arm of the results has it.
#[derive(Clone, Debug, Serialize)]
pub struct Modelled {
    /// Name of the arm.
    pub name: String,
    /// What `API_STRATEGY` is for it.
    pub strategy: &'static str,
    pub(super) structure: BTreeMap<&'static str, f64>,
    /// Requests per second at which it was measured: the lowest, and the highest.
    pub rates: (f64, f64),
    /// Figures of its own.
    pub figures: Vec<Figure>,
    /// Processor time of a request in µs, by part, over how busy the process was.
    pub curves: Vec<Curve>,
    /// What happens while Redis is gone, beside the share of requests that is answered.
    pub while_gone: &'static str,
}

/// A measured curve with its source.
#[derive(Clone, Debug, Serialize)]
pub struct Curve {
    /// Its name in formulas.
    pub id: &'static str,
    /// What it is of.
    pub label: &'static str,
    /// The curve.
    pub table: Table,
    /// Whether it is said of the strategy: what it takes no time for, it need not tell.
    pub told: bool,
    /// Where it comes from.
    #[serde(flatten)]
    pub source: Source,
}

/// What a strategy must do for a figure to say anything of it.
const SAYS: [(&str, &str); 20] = [
    ("session_bytes", "holds_session"),
    ("renewal_us", "holds_token"),
    ("renew_at", "holds_token"),
    ("leeway", "holds_token"),
    ("key_set_bytes", "checks_signatures"),
    ("key_refresh", "checks_signatures"),
    ("touch_every", "holds_session"),
    ("touch_reads", "holds_session"),
    ("touch_us", "holds_session"),
    ("touch_bytes", "holds_session"),
    ("reads_to_keep", "keeps_sessions"),
    ("exchange_us", "is_exchanged"),
    ("exchange_life", "is_exchanged"),
    ("exchange_round_trips", "is_exchanged"),
    ("gateway_threads", "is_exchanged"),
    ("feed_bytes", "follows_feed"),
    ("feed_looks", "follows_feed"),
    ("redis_bytes", "uses_redis"),
    ("round_trips_on_miss", "keeps_sessions"),
    ("logout_lag", "ends_by_word"),
];

/// What was said of a figure makes no sense.
#[derive(Debug, thiserror::Error)]
pub enum AssumeError {
    /// There is no such figure.
    #[error("there is no figure {id:?}; there are {known}")]
    Unknown {
        /// What was named.
        id: String,
        /// What there is.
        known: String,
    },
    /// It has no such value.
    #[error("{text:?} is no FIGURE=NUMBER, such as session_bytes=1200 or session.round_trips=2")]
    Form {
        /// What was said.
        text: String,
    },
}

impl Model {
    /// Of one or several results: each figure is of the first that has it.
    #[must_use]
    pub fn of(all: &[&Results]) -> Self {
        let mut strategies: Vec<Modelled> = Vec::new();
        let mut caveats = caveats(all);
        let mut missing: Vec<(&str, String)> = Vec::new();
        for results in all {
            for arm in measured::arms(results) {
                match arm::modelled(results, arm, all) {
                    Ok(one) if strategies.iter().all(|known| known.name != one.name) => {
                        strategies.push(one);
                    }
                    Ok(one) => caveats.push(format!(
                        "{} is in several files; its figures are those of the first.",
                        one.name
                    )),
                    Err(why) => missing.push((&arm.name, why)),
                }
            }
        }
        // What one file does not have, another may.
        missing.retain(|(name, _)| strategies.iter().all(|known| known.name != *name));
        missing.dedup();
        caveats.extend(missing.into_iter().map(|(_, why)| why));
        Self {
            inputs: INPUTS,
            formulas: formulas::all(),
            words: words(),
            common: system::figures(all),
            strategies,
            caveats,
        }
    }

    /// Puts a number of one's own in the place of a figure: `session_bytes=1200`, or of one strategy
    /// `session.round_trips=2`; a curve becomes flat.
    ///
    /// # Errors
    ///
    /// There is no such figure, or it has no such value.
    pub fn assume(&mut self, text: &str) -> Result<(), AssumeError> {
        let form = || AssumeError::Form {
            text: text.to_owned(),
        };
        let (name, value) = text.split_once('=').ok_or_else(form)?;
        let value: f64 = value.trim().parse().map_err(|_| form())?;
        if !value.is_finite() || value < 0.0 {
            return Err(form());
        }
        let given = Source::Given(format!("--assume {text}"));
        let found = match name.split_once('.') {
            None => set(&mut self.common, name, value, &given),
            Some((strategy, id)) => {
                let of = |one: &&mut Modelled| one.name == strategy;
                let strategy = self.strategies.iter_mut().find(of);
                strategy.is_some_and(|one| one.assume(id, value, &given))
            }
        };
        match found {
            true => Ok(()),
            false => Err(AssumeError::Unknown {
                id: name.to_owned(),
                known: self.names().join(", "),
            }),
        }
    }

    fn names(&self) -> Vec<String> {
        let common = self.common.iter().map(|one| one.id.to_owned());
        let own = self.strategies.iter().flat_map(|strategy| {
            let figures = strategy.figures.iter().map(|one| one.id);
            let curves = strategy.curves.iter().map(|one| one.id);
            let ids = figures.chain(curves);
            ids.map(|id| format!("{}.{id}", strategy.name))
        });
        common.chain(own).collect()
    }

    /// Every figure beside its source, as it enters into an answer: first those of the whole system, then
    /// those of each strategy with its name.
    #[must_use]
    pub fn assumptions(&self, asked: &Asked) -> Vec<(Option<&str>, Figure)> {
        let mut all: Vec<(Option<&str>, Figure)> = Vec::new();
        let any = |figure: &&Figure| self.strategies.iter().any(|one| one.heeds(figure.id));
        let common = self.common.iter().filter(any);
        all.extend(common.map(|one| (None, one.clone())));
        for strategy in &self.strategies {
            let name = Some(strategy.name.as_str());
            let own = strategy.figures.iter().filter(|one| strategy.heeds(one.id));
            all.extend(own.map(|one| (name, one.clone())));
            let told = strategy.curves.iter().filter(|curve| curve.told);
            all.extend(told.map(|curve| (name, curve.figure(asked.of("utilisation")))));
        }
        all
    }

    /// Whether there is nothing to answer with.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.strategies.is_empty()
    }
}

impl Modelled {
    /// Whether a figure changes anything here.
    fn heeds(&self, figure: &str) -> bool {
        let needed = SAYS.iter().find(|(id, _)| *id == figure);
        needed.is_none_or(|(_, does)| self.structure.get(does).is_some_and(|is| *is > 0.0))
    }

    fn assume(&mut self, id: &str, value: f64, given: &Source) -> bool {
        if let Some(curve) = self.curves.iter_mut().find(|curve| curve.id == id) {
            curve.table = Table::flat(value);
            curve.source = given.clone();
            curve.told = true;
            return true;
        }
        set(&mut self.figures, id, value, given)
    }
}

impl Curve {
    /// How busy its processes were, where that was measured.
    pub(super) fn measured(&self) -> Option<(f64, f64)> {
        let measured = self.told && matches!(self.source, Source::Measured(_));
        self.table.range().filter(|_| measured)
    }

    /// Its value at a place.
    fn figure(&self, at: f64) -> Figure {
        use super::figure::End;

        let range = self.table.range().filter(|(first, last)| last > first);
        let value = |end| self.table.at(at, end);
        let (low, high) = (value(End::Cheap), value(End::Dear));
        let mut source = self.source.clone();
        if let (Source::Measured(told), Some((first, last))) = (&mut source, range) {
            *told += &format!(
                ", at {} of a core; measured from {} to {}",
                super::written(at.clamp(first, last), Unit::Share),
                super::written(first, Unit::Share),
                super::written(last, Unit::Share)
            );
        }
        Figure {
            id: self.id,
            label: self.label,
            unit: Unit::Microseconds,
            value: value(End::Value),
            low: (low < high).then_some(low),
            high: (low < high).then_some(high),
            dear_is_low: false,
            source,
        }
    }
}

fn set(figures: &mut [Figure], id: &str, value: f64, given: &Source) -> bool {
    let Some(figure) = figures.iter_mut().find(|one| one.id == id) else {
        return false;
    };
    figure.value = value;
    (figure.low, figure.high) = (None, None);
    figure.source = given.clone();
    true
}

/// What the validity of a run makes of an answer from it.
fn doubt(validity: Validity) -> Option<&'static str> {
    match validity {
        Validity::Valid => None,
        Validity::Invalid => {
            Some("INVALID: the instrument was the limit, and its figures must not be used")
        }
        Validity::Disturbed => Some(
            "DISTURBED: the machine did something else as well, and its figures must not be used",
        ),
        Validity::Overloaded => {
            Some("OVERLOADED: its figures are those of a system that was overloaded or failed")
        }
        Validity::Inconclusive => Some(
            "INCONCLUSIVE: its figures are sound, and a difference that decides something is unclear in it",
        ),
    }
}

/// What is wrong with the runs themselves, and with taking them together.
fn caveats(all: &[&Results]) -> Vec<String> {
    let mut caveats = Vec::new();
    for results in all {
        let when = &results.started_at;
        if results.tool.build == "debug" {
            caveats.push(format!(
                "The run of {when} measured a debug build: its processor times say nothing about the design."
            ));
        }
        if let Some(told) = doubt(results.validity) {
            caveats.push(format!("The run of {when} is {told}."));
        }
    }
    let place = |results: &Results| {
        let place = &results.environment;
        format!("{}, {} CPUs", place.cpu_model, place.cpus)
    };
    let mut places: Vec<String> = all.iter().map(|results| place(results)).collect();
    places.dedup();
    if places.len() > 1 {
        caveats.push(format!(
            "The files are of different machines ({}): processor times of one are no measure for another.",
            places.join("; ")
        ));
    }
    caveats
}
