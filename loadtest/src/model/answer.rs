//! What a model says of what was asked.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{
    figure::End,
    format::{Unit, filled, listed, written},
    formula::Scope,
    gather::{Model, Modelled},
    inputs::{Asked, INPUTS},
};

/// A value, and what it is when everything that was measured lies at the cheap or at the dear end of its
/// interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Ends {
    /// With the values themselves.
    pub value: f64,
    /// The smallest of the three.
    pub low: f64,
    /// The largest of them.
    pub high: f64,
}

/// One strategy in an answer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Strategy {
    /// Name of the arm.
    pub name: String,
    /// Why it is out, a reason each; nothing when it is left.
    pub out: Vec<String>,
    /// What it costs, in words.
    pub costs: String,
    /// What of it lies outside of what was measured, in a sentence; nothing where all lies within.
    pub beyond: String,
    /// What each formula gives.
    pub figures: BTreeMap<&'static str, Ends>,
}

/// What a model says.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Answer {
    /// What was asked.
    pub asked: Asked,
    /// Which strategies are left, in a sentence.
    pub left: String,
    /// Which of them takes the fewest cores, in a sentence; nothing where one or none is left.
    pub fewest: String,
    /// Every strategy, in the order of the results.
    pub strategies: Vec<Strategy>,
}

impl Model {
    /// What is left, and what each costs.
    #[must_use]
    pub fn answer(&self, asked: &Asked) -> Answer {
        let strategies: Vec<Strategy> = self
            .strategies
            .iter()
            .map(|strategy| self.answered(strategy, asked))
            .collect();
        Answer {
            asked: asked.clone(),
            left: self.left(&strategies, asked),
            fewest: fewest(&strategies),
            strategies,
        }
    }

    fn answered(&self, strategy: &Modelled, asked: &Asked) -> Strategy {
        let scopes = End::ALL.map(|end| self.evaluated(strategy, asked, end));
        let ends = |id: &'static str| {
            let values = scopes.each_ref().map(|scope| scope.names[id]);
            Ends {
                value: values[0],
                low: values.into_iter().fold(f64::INFINITY, f64::min),
                high: values.into_iter().fold(f64::NEG_INFINITY, f64::max),
            }
        };
        let figures: BTreeMap<&'static str, Ends> = self
            .formulas
            .iter()
            .map(|formula| (formula.id, ends(formula.id)))
            .collect();
        let scope = &scopes[0];
        let fill = |template: &str| filled(template, |id| self.told(id, scope, strategy));
        let requirements = self.words.requirements.iter();
        let failed = requirements.filter(|one| one.fails.value(scope) != 0.0);
        let costs = self.words.costs.iter();
        let said = costs.filter(|piece| piece.when.value(scope) != 0.0);
        Strategy {
            name: strategy.name.clone(),
            out: failed.map(|one| fill(one.told)).collect(),
            costs: said
                .map(|piece| fill(piece.told))
                .collect::<Vec<_>>()
                .join(", "),
            beyond: beyond(strategy, asked),
            figures,
        }
    }

    /// Every name with its value, with all measured figures at one end.
    fn evaluated<'a>(&'a self, strategy: &'a Modelled, asked: &Asked, end: End) -> Scope<'a> {
        let mut names: BTreeMap<&str, f64> = asked.each().collect();
        names.extend(
            strategy
                .structure
                .iter()
                .map(|(name, value)| (*name, *value)),
        );
        let figures = self.common.iter().chain(&strategy.figures);
        names.extend(figures.map(|figure| (figure.id, figure.at(end))));
        let curves = strategy.curves.iter();
        let mut scope = Scope {
            names,
            curves: curves.map(|curve| (curve.id, &curve.table)).collect(),
            end,
        };
        for formula in &self.formulas {
            let value = formula.formula.value(&scope);
            scope.names.insert(formula.id, value);
        }
        scope
    }

    /// What stands for a name in a sentence.
    fn told(&self, id: &str, scope: &Scope<'_>, strategy: &Modelled) -> String {
        let value = scope.names.get(id).copied().unwrap_or(f64::NAN);
        if let Some(input) = INPUTS.iter().find(|input| input.id == id) {
            return input.written(value);
        }
        let formulas = self.formulas.iter().map(|one| (one.id, one.unit));
        let figures = self.common.iter().chain(&strategy.figures);
        let mut units = formulas.chain(figures.map(|one| (one.id, one.unit)));
        let unit = units.find(|(known, _)| *known == id);
        written(value, unit.map_or(Unit::Plain, |(_, unit)| unit))
    }

    fn left(&self, strategies: &[Strategy], asked: &Asked) -> String {
        let scope = Scope {
            names: asked.each().collect(),
            curves: BTreeMap::new(),
            end: End::Value,
        };
        let of = |id: &str| {
            let input = INPUTS.iter().find(|input| input.id == id);
            input.map_or_else(String::new, |input| input.written(asked.of(id)))
        };
        let pieces = self.words.asked.iter();
        let pieces = pieces.filter(|piece| piece.when.value(&scope) != 0.0);
        let asked: Vec<String> = pieces.map(|piece| filled(piece.told, of)).collect();
        let named = |left: bool| -> Vec<String> {
            let those = strategies.iter().filter(|one| one.out.is_empty() == left);
            those.map(|one| one.name.clone()).collect()
        };
        let (left, out) = (named(true), named(false));
        let said = match (left.as_slice(), out.as_slice()) {
            ([], _) => "none of the strategies is left".to_owned(),
            ([_], []) => format!("{} is left", left[0]),
            (_, []) => format!("all strategies are left: {}", listed(&left)),
            ([only], _) => format!("only {only} is left"),
            (several, _) => format!("{} are left", listed(several)),
        };
        format!("At {}, {said}.", asked.join(", "))
    }
}

/// What was asked of a strategy and not measured of it: a rate, and how busy its processes are planned to be.
fn beyond(strategy: &Modelled, asked: &Asked) -> String {
    let outside = |at: f64, (from, to): (f64, f64)| at < from || at > to;
    let range = |(from, to): (f64, f64), unit| match from < to {
        true => format!("{} to {}", written(from, unit), written(to, unit)),
        false => written(from, unit),
    };
    let (rate, busy) = (asked.of("rate"), asked.of("utilisation"));
    let mut said = Vec::new();
    if outside(rate, strategy.rates) {
        let measured = range(strategy.rates, Unit::PerSecond);
        said.push(format!("{} ({measured})", written(rate, Unit::PerSecond)));
    }
    let parts = strategy.curves.iter().filter_map(|curve| {
        let measured = curve
            .measured()
            .filter(|measured| outside(busy, *measured))?;
        Some(format!(
            "{} ({})",
            curve.label,
            range(measured, Unit::Share)
        ))
    });
    let parts: Vec<String> = parts.collect();
    if !parts.is_empty() {
        let busy = written(busy, Unit::Share);
        said.push(format!("{busy} of a core for the {}", listed(&parts)));
    }
    match said.as_slice() {
        [] => String::new(),
        said => format!(
            "Outside of what was measured: {}. There it is taken to cost what it cost at the nearest load.",
            said.join("; ")
        ),
    }
}

/// Which takes the fewest cores, as far as the intervals tell.
fn fewest(strategies: &[Strategy]) -> String {
    let cores = |one: &Strategy| one.figures["cores"];
    let mut left: Vec<&Strategy> = strategies.iter().filter(|one| one.out.is_empty()).collect();
    left.sort_by(|one, other| cores(one).value.total_cmp(&cores(other).value));
    let Some(first) = left.first().filter(|_| left.len() > 1) else {
        return String::new();
    };
    let told = |one: &&Strategy| {
        let Ends { value, low, high } = cores(one);
        let of = |value| written(value, Unit::Cores);
        format!("{} ({} [{}, {}])", one.name, of(value), of(low), of(high))
    };
    let near = left
        .iter()
        .filter(|one| cores(one).low <= cores(first).high);
    let near: Vec<String> = near.map(told).collect();
    match near.as_slice() {
        [only] => format!("{only} takes the fewest cores."),
        several => format!(
            "Which takes the fewest cores cannot be told: {}.",
            listed(several)
        ),
    }
}
