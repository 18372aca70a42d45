//! An answer as text.

use super::{groups, says};
use crate::{
    model::{Answer, Asked, Figure, Model, Source, written},
    report::text,
};

/// What a reader must know first, every answer, and once what all of them rest on; at most 100 columns wide.
pub(in crate::report) fn terminal(model: &Model, asked: &[Asked]) -> String {
    let mut out = String::new();
    for caveat in &model.caveats {
        out += &text::wrapped("! ", caveat);
    }
    if !out.is_empty() {
        out.push('\n');
    }
    for asked in asked {
        let answer = model.answer(asked);
        out += &text::wrapped("", &answer.left);
        if !answer.fewest.is_empty() {
            out += &text::wrapped("", &answer.fewest);
        }
        out.push('\n');
        out += &table(model, &answer);
        out.push('\n');
        out += &sentences(&answer);
        out.push('\n');
    }
    if let Some(asked) = asked.first() {
        out += &rests_on(model, asked);
        out += &calculated(model);
    }
    out
}

fn table(model: &Model, answer: &Answer) -> String {
    let names = answer.strategies.iter().map(|one| one.name.clone());
    let head: Vec<String> = std::iter::once(String::new()).chain(names).collect();
    let empty = vec![String::new(); head.len()];
    let mut rows: Vec<Vec<String>> = Vec::new();
    for (group, formulas) in groups(model) {
        let said: Vec<_> = formulas
            .into_iter()
            .filter(|formula| says(answer, formula))
            .collect();
        if said.is_empty() {
            continue;
        }
        if !rows.is_empty() {
            rows.push(empty.clone());
        }
        let mut heading = empty.clone();
        group.clone_into(&mut heading[0]);
        rows.push(heading);
        for formula in said {
            let cell = |one: &crate::model::Strategy| {
                let found = one.figures[formula.id];
                let of = |value| written(value, formula.unit);
                match formula.id {
                    "cores" => format!(
                        "{} [{}, {}]",
                        of(found.value),
                        of(found.low),
                        of(found.high)
                    ),
                    _ => of(found.value),
                }
            };
            let cells = answer.strategies.iter().map(cell);
            let name = format!("  {}", formula.label);
            rows.push(std::iter::once(name).chain(cells).collect());
        }
    }
    text::tables(&head, &rows)
}

fn sentences(answer: &Answer) -> String {
    let mut out = String::new();
    for one in &answer.strategies {
        let said = match one.out.as_slice() {
            [] => format!("{}: {}.", one.name, one.costs),
            reasons => format!("{} is out: {}.", one.name, reasons.join("; and ")),
        };
        out += &text::wrapped("- ", &said);
        if !one.beyond.is_empty() {
            out += &text::wrapped("  ", &one.beyond);
        }
    }
    out
}

/// Every figure beside its source.
fn rests_on(model: &Model, asked: &Asked) -> String {
    let mut out = "What it rests on\n".to_owned();
    let mut of = None;
    for (strategy, figure) in model.assumptions(asked) {
        if strategy != of {
            out += &format!("{}\n", strategy.unwrap_or_default());
            of = strategy;
        }
        out += &text::wrapped("  ", &line(&figure));
    }
    out + "\n"
}

fn line(figure: &Figure) -> String {
    let interval = match (figure.low, figure.high) {
        (Some(low), Some(high)) => format!(
            " [{}, {}]",
            written(low, figure.unit),
            written(high, figure.unit)
        ),
        _ => String::new(),
    };
    let Figure {
        id,
        label,
        unit,
        value,
        source,
        ..
    } = figure;
    let how = match source {
        Source::Measured(told) | Source::Given(told) | Source::Assumed(told) => {
            format!("{}: {told}", source.word())
        }
    };
    format!("{id} {}{interval}: {label} ({how})", written(*value, *unit))
}

fn calculated(model: &Model) -> String {
    let mut out = "How it is calculated\n".to_owned();
    for formula in &model.formulas {
        out += &text::wrapped("  ", &format!("{} = {}", formula.id, formula.formula));
    }
    out
}
