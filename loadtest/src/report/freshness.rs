//! How long what was revoked goes on being accepted: a table, sentences, and a plot of every lag.

use std::fmt::Write;

use maud::{Markup, html};

use super::{
    Section,
    charts::{RIGHT, WIDTH, colour, names_width},
    conditions, numbers,
    svg::{Picture, Scale},
    text,
};
use crate::results::{Freshness, Results, RevocationKind, RevocationLag};

pub(super) const SECTION: Section = Section {
    title: "After a revocation",
    findings: |results| results.freshness.as_ref().map_or_else(Vec::new, sentences),
    text: |results| results.freshness.as_ref().map_or_else(String::new, table),
    html: |results| {
        html! {
            @if let Some(freshness) = &results.freshness { (section(results, freshness)) }
        }
    },
};

/// Height of one strategy's band.
const BAND: f64 = 26.0;
/// Width of the place for what was never accepted again: a logarithmic axis has no 0.
const NEVER: f64 = 84.0;
/// Lags shorter than this are drawn as this.
const SHORTEST_MS: f64 = 0.1;

/// The table for a terminal, at most 100 columns wide.
pub(super) fn table(freshness: &Freshness) -> String {
    let mut out = format!(
        "Revocation lag: answer to the revocation → last accepted request, on any of {} replicas\n",
        freshness.replicas
    );
    for kind in kinds(freshness) {
        let head = [
            kind.title(),
            "measured",
            "stale",
            "p50",
            "p99",
            "max",
            "resolution",
        ];
        let rows: Vec<Vec<String>> = of_kind(freshness, kind).map(row).collect();
        out += &text::table(&head.map(str::to_owned), &rows);
    }
    for note in notes(freshness) {
        out += &text::wrapped("", &note);
    }
    out
}

fn row(lag: &RevocationLag) -> Vec<String> {
    vec![
        lag.strategy.clone(),
        numbers::count(lag.revocations.into()),
        stale(lag),
        told(lag, lag.p50_ms),
        told(lag, lag.p99_ms),
        told(lag, lag.max_ms),
        ms(lag.resolution_ms.unwrap_or(lag.spacing_ms)),
    ]
}

/// One sentence for each kind.
fn sentences(freshness: &Freshness) -> Vec<String> {
    let sentence = |kind: RevocationKind| {
        let parts: Vec<String> = of_kind(freshness, kind).map(part).collect();
        format!("After a {}: {}.", kind.title(), parts.join("; "))
    };
    kinds(freshness).into_iter().map(sentence).collect()
}

fn part(lag: &RevocationLag) -> String {
    let name = &lag.strategy;
    if lag.revocations == 0 {
        return format!("{name} was not measured");
    }
    let count = numbers::count(lag.revocations.into());
    let mut text = if lag.accepted_after == 0 {
        let high = lag.stale_share_high.map_or_else(String::new, |high| {
            format!(", so in at most {} (95 %)", numbers::percent(high))
        });
        format!("{name} accepted nothing sent after the answer, in {count} of {count}{high}")
    } else {
        format!(
            "{name} accepted requests for {} (p50), {} (p99), {} at most",
            ms(lag.p50_ms),
            ms(lag.p99_ms),
            ms(lag.max_ms)
        )
    };
    if let Some(until) = &lag.until
        && lag.accepted_after > 0
    {
        let _ = write!(text, ", until {until}");
    }
    if lag.unended > 0 {
        let _ = write!(text, ", and {} did not end while watched", lag.unended);
    }
    text
}

fn section(results: &Results, freshness: &Freshness) -> Markup {
    html! {
        p {
            "A lag counts from the arrival of the answer to the revocation to the sending of the last \
             request that was still accepted (2xx) by any of " (freshness.replicas) " replicas, with a \
             steady stream of requests for each credential; a replica that accepts for longer than the \
             resolution is seen in 95 % of cases. Requests that were under way when the answer came may end either way and \
             do not count."
        }
        @for kind in kinds(freshness) {
            figure {
                figcaption {
                    b { (kind.title()) } " Every revocation is one stroke; the large ones are p50 and p99. \
                    Logarithmic."
                }
                div.scroll { (plot(results, freshness, kind)) }
                div.wide { table {
                    thead { tr {
                        th {} th { "revocations" } th { "accepted afterwards" } th { "p50" } th { "p99" }
                        th { "max" } th { "resolution" }
                    } }
                    tbody { @for lag in of_kind(freshness, kind) { tr {
                        @for (place, cell) in row(lag).iter().enumerate() {
                            @if place == 0 { th { (cell) } } @else { td { (cell) } }
                        }
                    } } }
                } }
            }
        }
        @for note in notes(freshness) { p.note { (note) } }
    }
}

/// What the figures depend on.
fn notes(freshness: &Freshness) -> Vec<String> {
    let mut notes = Vec::new();
    let mut ends: Vec<(&str, Vec<&str>)> = Vec::new();
    for lag in &freshness.lags {
        let Some(until) = &lag.until else { continue };
        match ends.iter_mut().find(|(why, _)| why == until) {
            Some((_, names)) if names.contains(&lag.strategy.as_str()) => {}
            Some((_, names)) => names.push(&lag.strategy),
            None => ends.push((until, vec![&lag.strategy])),
        }
    }
    for (why, names) in ends {
        notes.push(format!("{}: until {why}.", names.join(", ")));
    }
    let skipped: u32 = freshness.lags.iter().map(|lag| lag.skipped).sum();
    if skipped > 0 {
        notes.push(format!(
            "{skipped} revocations gave no figure: they were refused, or the credential had ended before."
        ));
    }
    if freshness.lags.iter().any(|lag| lag.unended > 0) {
        notes
            .push("A figure with > is of lags that were not over when the watch ended.".to_owned());
    }
    notes
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a row number, placed on some hundred pixels"
)]
fn plot(results: &Results, freshness: &Freshness, kind: RevocationKind) -> Markup {
    let rows: Vec<&RevocationLag> = of_kind(freshness, kind).collect();
    let longest = rows.iter().map(|lag| lag.max_ms).fold(10.0, f64::max);
    let names = names_width(rows.iter().map(|lag| lag.strategy.as_str()));
    let bottom = 8.0 + rows.len() as f64 * BAND;
    let label = format!("Lag after a {}", kind.title());
    let mut picture = Picture::new(WIDTH, bottom + 24.0, &label);
    let x = Scale {
        values: (SHORTEST_MS, longest * 1.3),
        pixels: (names + NEVER, RIGHT),
        logarithmic: true,
    };
    for tick in x.ticks() {
        picture.line("grid", (x.at(tick), 4.0), (x.at(tick), bottom));
        picture.text("tick", (x.at(tick), bottom + 18.0), "middle", &ms(tick));
    }
    picture.line(
        "axis",
        (names + NEVER - 8.0, 4.0),
        (names + NEVER - 8.0, bottom),
    );
    picture.text(
        "tick",
        (names + NEVER / 2.0 - 6.0, bottom + 18.0),
        "middle",
        "none",
    );
    for (place, lag) in rows.iter().enumerate() {
        let top = 8.0 + place as f64 * BAND;
        let index = conditions::place(results, &lag.strategy);
        picture.text("name", (names - 8.0, top + 15.0), "end", &lag.strategy);
        let never = lag.revocations - lag.accepted_after.min(lag.revocations);
        let share = f64::from(never) / f64::from(lag.revocations.max(1));
        picture.bar(
            &colour("fill pale", index),
            (names, top + 3.0),
            (share * (NEVER - 12.0), 15.0),
            &format!(
                "{}: {never} of {} had no lag",
                lag.strategy, lag.revocations
            ),
        );
        for value in lag.lags_ms.iter().filter(|value| **value > 0.0) {
            let at = (x.at(*value) - 0.7, top + 5.0);
            picture.bar(&colour("fill pale", index), at, (1.4, 11.0), "");
        }
        for (name, value) in [("p50", lag.p50_ms), ("p99", lag.p99_ms)] {
            if value > 0.0 {
                let title = format!("{} {name}: {}", lag.strategy, ms(value));
                let at = (x.at(value) - 1.5, top);
                picture.bar(&colour("fill", index), at, (3.0, 21.0), &title);
            }
        }
    }
    picture.finish()
}

/// Kinds that were measured, in their usual order.
fn kinds(freshness: &Freshness) -> Vec<RevocationKind> {
    let measured = |kind: &RevocationKind| of_kind(freshness, *kind).next().is_some();
    RevocationKind::ALL.into_iter().filter(measured).collect()
}

fn of_kind(freshness: &Freshness, kind: RevocationKind) -> impl Iterator<Item = &RevocationLag> {
    freshness.lags.iter().filter(move |lag| lag.kind == kind)
}

/// Share of revocations after which something was accepted.
fn stale(lag: &RevocationLag) -> String {
    if lag.revocations == 0 {
        return "–".to_owned();
    }
    let share = numbers::percent(f64::from(lag.accepted_after) / f64::from(lag.revocations));
    match lag.stale_share_high {
        Some(high) if lag.accepted_after == 0 => format!("{share} (≤ {})", numbers::percent(high)),
        _ => share,
    }
}

fn told(lag: &RevocationLag, value: f64) -> String {
    match (lag.revocations, lag.unended) {
        (0, _) => "–".to_owned(),
        (_, 0) => ms(value),
        _ => format!(">{}", ms(value)),
    }
}

fn ms(value: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    numbers::duration_us(value * 1_000.0)
}
