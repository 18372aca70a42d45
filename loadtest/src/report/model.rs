//! The capacity model: on the page with controls that recompute it in the browser, and as text.

mod controls;
mod page;
mod text;

use maud::Markup;

use super::Section;
use crate::{
    model::{Answer, Formula, GROUPS, Model},
    results::Results,
};
pub(super) use text::terminal;

pub(super) const SECTION: Section = Section {
    title: "Capacity",
    findings: |_| Vec::new(),
    text: |_| String::new(),
    html: |results| html(&[results]),
};

/// The section for one or several results; empty where none of them has anything that can be modelled.
pub(super) fn html(all: &[&Results]) -> Markup {
    page::rendered(&Model::of(all))
}

/// The formulas of each group that have something to say: those of a group with the group's name before them.
fn groups<'a>(
    model: &'a Model,
) -> impl Iterator<Item = (&'static str, Vec<&'a Formula>)> + use<'a> {
    GROUPS.into_iter().map(move |group| {
        let formulas = model.formulas.iter();
        let those = formulas.filter(|formula| formula.group == Some(group));
        (group, those.collect())
    })
}

/// Whether a formula gives anything but 0 for any strategy.
fn says(answer: &Answer, formula: &Formula) -> bool {
    let mut strategies = answer.strategies.iter();
    strategies.any(|one| one.figures[formula.id].value != 0.0)
}
