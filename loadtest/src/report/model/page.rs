//! The section of the page: the answer to what is asked by default, which the script replaces as the
//! controls are moved. Everything that it changes is here already, so that the page is whole without it.

use maud::{Markup, PreEscaped, html};

use super::{controls, groups, says};
use crate::{
    model::{Answer, Asked, Figure, Formula, Model, Strategy, Unit, written},
    report::charts,
};

const SCRIPT: &str = include_str!("script.js");

/// The parts of a bar, in the order in which a request meets them.
const PARTS: [(&str, &str); 4] = [
    ("gateway_cores", "gateway"),
    ("api_cores", "API"),
    ("redis_cores", "Redis"),
    ("auth_cores", "auth-service"),
];

pub(super) fn rendered(model: &Model) -> Markup {
    if model.is_empty() {
        return html! {};
    }
    let asked = Asked::default();
    let answer = model.answer(&asked);
    html! {
        div #capacity {
            p {
                "What a rate of requests takes of each part of the system, by a model whose every number is "
                "listed below with its source: measured in this run, given, or assumed. Move a control, and "
                "it is calculated anew."
            }
            @for caveat in &model.caveats { p.alarm { (caveat) } }
            (controls::rendered())
            (said(&answer))
            (bars(&answer))
            (table(model, &answer))
            (rests_on(model, &asked))
            (calculated(model))
            p.command {
                "The same in a terminal: " code { "loadtest capacity results.json" }
            }
            script type="application/json" { (PreEscaped(json(model))) }
            script { (PreEscaped(SCRIPT)) }
        }
    }
}

/// As the script reads it. A `<` would end the element.
fn json(model: &Model) -> String {
    serde_json::to_string(model)
        .unwrap_or_default()
        .replace('<', "\\u003c")
}

fn said(answer: &Answer) -> Markup {
    html! {
        div.answer role="status" {
            p.left data-said="left" { (answer.left) }
            p data-said="fewest" { (answer.fewest) }
        }
    }
}

/// Cores of each part, one bar a strategy.
fn bars(answer: &Answer) -> Markup {
    let cores = |one: &Strategy| one.figures["cores"];
    let full = full(answer);
    let width = |value: f64| format!("width:{:.3}%", 100.0 * value / full);
    html! {
        p.legend {
            @for (index, (_, name)) in PARTS.iter().enumerate() {
                span { i class=(charts::colour("swatch part", index)) {} (name) }
            }
            span { i.swatch.whisker {} "if all that was measured lay at one end of its interval" }
        }
        div.takes {
            @for (index, one) in answer.strategies.iter().enumerate() {
                @let found = cores(one);
                div.take.out[!one.out.is_empty()].cut[found.high > full] data-strategy=(index) {
                    b.name { (one.name) }
                    div.bar {
                        div.parts {
                            @for (place, (id, name)) in PARTS.iter().enumerate() {
                                i class=(charts::colour("part", place)) data-part=(id)
                                    style=(width(one.figures[*id].value))
                                    title={ (name) ": " (written(one.figures[*id].value, Unit::Cores)) " cores" } {}
                            }
                        }
                        i.whisker style={
                            "left:" (format!("{:.3}%", 100.0 * found.low / full)) ";"
                            (width(found.high - found.low))
                        } {}
                    }
                    span.sum { span data-said="sum" { (written(found.value, Unit::Cores)) } " cores" }
                    p.costs data-said="costs" { (costs(one)) }
                    p.beyond data-said="beyond" { (one.beyond) }
                }
            }
        }
    }
}

/// The cores of a full bar: the highest, unless that is so far from most that their bars would be too short
/// to tell anything. A bar that goes on fades at its end.
fn full(answer: &Answer) -> f64 {
    let cores = answer.strategies.iter().map(|one| one.figures["cores"]);
    let highest = cores.clone().map(|one| one.high).fold(0.0, f64::max);
    let mut values: Vec<f64> = cores.map(|one| one.value).collect();
    values.sort_by(f64::total_cmp);
    let median = values.get(values.len() / 2).copied().unwrap_or(highest);
    highest.min(4.0 * median)
}

/// What it costs, or why it is out.
fn costs(one: &Strategy) -> String {
    match one.out.as_slice() {
        [] => format!("{}.", one.costs),
        reasons => format!("Out: {}.", reasons.join("; and ")),
    }
}

fn table(model: &Model, answer: &Answer) -> Markup {
    html! {
        div.wide { table.figures {
            thead { tr {
                th {}
                @for (index, one) in answer.strategies.iter().enumerate() {
                    th.out[!one.out.is_empty()] data-strategy=(index) { (one.name) }
                }
            } }
            @for (group, formulas) in groups(model) {
                tbody {
                    tr.heading { th colspan=(answer.strategies.len() + 1) { (group) } }
                    @for formula in formulas { (row(answer, formula)) }
                }
            }
        } }
    }
}

fn row(answer: &Answer, formula: &Formula) -> Markup {
    html! {
        tr data-row=(formula.id) hidden[!says(answer, formula)] title=(formula.why) {
            th { (formula.label) }
            @for (index, one) in answer.strategies.iter().enumerate() {
                @let found = one.figures[formula.id];
                td.out[!one.out.is_empty()] data-strategy=(index) data-figure=(formula.id)
                    data-value=(found.value) data-low=(found.low) data-high=(found.high)
                    title={ (written(found.low, formula.unit)) " to " (written(found.high, formula.unit)) } {
                    (written(found.value, formula.unit))
                }
            }
        }
    }
}

fn rests_on(model: &Model, asked: &Asked) -> Markup {
    let all = model.assumptions(asked);
    html! {
        details {
            summary { "What it rests on: " (all.len()) " figures, each with its source" }
            p.note {
                "What is in the way of your answer can be replaced: " code { "loadtest capacity --assume session_bytes=1200" }
                ", or of one strategy " code { "--assume session.round_trips=2" } "."
            }
            div.wide { table.facts {
                thead { tr { th {} th.words { "figure" } th { "value" } th { "interval" } th.words { "source" } } }
                @for part in all.chunk_by(|one, other| one.0 == other.0) {
                    tbody {
                        tr.heading { th colspan="5" { (part[0].0.unwrap_or("all strategies")) } }
                        @for (_, figure) in part { (fact(figure)) }
                    }
                }
            } }
        }
    }
}

fn fact(figure: &Figure) -> Markup {
    let of = |value| written(value, figure.unit);
    let interval = figure.low.zip(figure.high);
    html! {
        tr {
            th { code { (figure.id) } }
            td.words { (figure.label) }
            td { (of(figure.value)) }
            td { @if let Some((low, high)) = interval { (of(low)) " to " (of(high)) } }
            td.words { b class={ "source " (figure.source.word()) } { (figure.source.word()) } " " (figure.source.told()) }
        }
    }
}

fn calculated(model: &Model) -> Markup {
    html! {
        details {
            summary { "How it is calculated: " (model.formulas.len()) " formulas" }
            p.note {
                "What a strategy does or does not (" code { "holds_token" } ", " code { "asks_redis" } " and the "
                "like) is 1 or 0. A name with something in parentheses is a measured curve: straight between "
                "its points, and flat beyond them."
            }
            div.wide { table.facts {
                tbody { @for formula in &model.formulas { tr {
                    th { code { (formula.id) } }
                    td.words { code { (formula.formula) } }
                    td.words { (formula.why) }
                } } }
            } }
        }
    }
}
