//! The table for a terminal.

use std::fmt::Write;

use super::{charts, compared, findings, freshness, numbers};
use crate::results::v2::{
    Comparison, Coupling, FaultEffect, FaultResult, Gate, Results, Validity, Verdict,
};

/// Width of the column of labels.
const LABEL: usize = 32;
/// Width of a strategy's column.
const VALUE: usize = 15;

/// Renders everything, line by line.
pub(super) fn render(results: &Results) -> String {
    let mut out = String::new();
    heading(&mut out, results);
    if results.strategies.len() > charts::FEW {
        blocks(&mut out, results);
    } else {
        table(&mut out, results);
    }
    if results.strategies.len() > 2 {
        against_baseline(&mut out, results);
    }
    readings(&mut out, results);
    if let Some(freshness) = &results.freshness {
        out += &freshness::terminal(freshness);
    }
    if let Some(coupling) = &results.coupling {
        faults(&mut out, coupling);
    }
    memory(&mut out, results);
    gates(&mut out, results);
    out
}

/// Writing to a string cannot fail.
macro_rules! line {
    ($out:expr, $($part:tt)*) => {{
        let _ = writeln!($out, $($part)*);
    }};
}

fn heading(out: &mut String, results: &Results) {
    let plan = &results.plan;
    line!(out, "");
    wrapped(out, "", &numbers::listed(&plan.strategies));
    line!(
        out,
        "{} requests/s each · {} ABBA rounds of {} s windows · {} replicas each · seed {}",
        numbers::grouped(plan.rate_per_second),
        plan.rounds,
        numbers::significant(plan.window_seconds),
        plan.replicas,
        plan.seed,
    );
    line!(
        out,
        "{} · {} CPUs · {}",
        results.environment.cpu_model,
        results.environment.cpus,
        results.environment.system
    );
    if results.tool.build == "debug" {
        line!(
            out,
            "DEBUG BUILD: the figures say nothing about the design."
        );
    }
}

fn table(out: &mut String, results: &Results) {
    let compared = compared::pair(results);
    let mut head = format!("\n{:LABEL$}", "");
    for strategy in &results.strategies {
        let _ = write!(head, "{:>VALUE$}", shortened(&strategy.name, VALUE - 1));
    }
    if let Some(first) = compared {
        let title = format!("{} ÷ {}", first.candidate, first.baseline);
        let _ = write!(head, "  {title:<19} {:.0} % CI", first.confidence * 100.0);
    }
    line!(out, "{head}");
    line!(
        out,
        "{}",
        "─".repeat(head.chars().count().clamp(LABEL, 100))
    );
    for (index, row) in compared::rows(results).into_iter().enumerate() {
        if row.begins_group && index > 0 {
            line!(out, "");
        }
        let mut text = format!("{:LABEL$}", row.label);
        for value in &row.values {
            let _ = write!(text, "{:>VALUE$}", shortened(value, VALUE - 1));
        }
        if let Some(comparison) = row.comparison {
            text += &compared_columns(comparison);
        }
        line!(out, "{}", text.trim_end());
    }
}

/// Width of a strategy's name at the left of a block: that of the longest name there is.
const NAME: usize = 26;
/// Widest line.
const WIDEST: usize = 100;
/// Widest value of a block.
const CELL: usize = 22;

/// Many strategies: a line for each, the quantities as columns, in blocks that fit the terminal.
fn blocks(out: &mut String, results: &Results) {
    let mut block: Vec<compared::Row<'_>> = Vec::new();
    let mut width = NAME;
    for row in compared::rows(results) {
        let wide = column(&row);
        if !block.is_empty() && (row.begins_group || width + wide > WIDEST) {
            print_block(out, results, &block);
            block.clear();
            width = NAME;
        }
        width += wide;
        block.push(row);
    }
    print_block(out, results, &block);
}

/// Width of a column with the space before it.
fn column(row: &compared::Row<'_>) -> usize {
    let values = row.values.iter().map(|value| value.chars().count());
    let widest = values.max().unwrap_or(0).min(CELL);
    widest.max(row.short.chars().count()) + 2
}

fn print_block(out: &mut String, results: &Results, block: &[compared::Row<'_>]) {
    let mut head = format!("\n{:NAME$}", "");
    for row in block {
        let _ = write!(head, "{:>1$}", row.short, column(row));
    }
    line!(out, "{head}");
    line!(out, "{}", "─".repeat(head.chars().count() - 1));
    for (index, strategy) in results.strategies.iter().enumerate() {
        let mut text = format!("{:NAME$}", shortened(&strategy.name, NAME - 1));
        for row in block {
            let value = row.values.get(index).map_or("", String::as_str);
            let _ = write!(text, "{:>1$}", shortened(value, CELL), column(row));
        }
        line!(out, "{text}");
    }
}

/// More than two: each against the first in what decides.
fn against_baseline(out: &mut String, results: &Results) {
    let Some(first) = results.comparisons.first() else {
        return;
    };
    let title = format!("÷ {}", first.baseline);
    let mut head = format!("\n{title:NAME$}");
    for label in ["p50", "p99", "CPU of the system"] {
        let _ = write!(head, "{label:>24}");
    }
    line!(out, "{head}");
    line!(out, "{}", "─".repeat(head.chars().count() - 1));
    for (candidate, comparisons) in compared::against_baseline(results) {
        let mut text = format!("{:NAME$}", shortened(candidate, NAME - 1));
        for one in comparisons {
            let value = one.map_or_else(|| "–".to_owned(), compared::in_short);
            let _ = write!(text, "{value:>24}");
        }
        line!(out, "{text}");
    }
    line!(
        out,
        "{} ({:.0} % CI)",
        compared::MARKS,
        first.confidence * 100.0
    );
}

fn compared_columns(comparison: &Comparison) -> String {
    format!(
        "  {} [{}, {}] {}",
        numbers::ratio(comparison.ratio),
        numbers::ratio(comparison.ci_low),
        numbers::ratio(comparison.ci_high),
        verdict(comparison.verdict)
    )
}

/// The verdict in one word.
pub(super) fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Higher => "higher",
        Verdict::Lower => "lower",
        Verdict::Equivalent => "equal",
        Verdict::Inconclusive => "unclear",
    }
}

fn readings(out: &mut String, results: &Results) {
    let sentences = if results.findings.is_empty() {
        findings(results)
    } else {
        results.findings.clone()
    };
    if sentences.is_empty() {
        return;
    }
    line!(out, "\nWhat it says");
    for sentence in sentences {
        wrapped(out, "- ", &sentence);
    }
}

fn faults(out: &mut String, coupling: &Coupling) {
    line!(
        out,
        "\nFaults under {} requests/s per strategy (good: 2xx within {})",
        numbers::grouped(coupling.rate_per_second),
        numbers::duration_ms(coupling.deadline_ms)
    );
    line!(
        out,
        "{:38}{:>10}{:>7}{:>8}{:>12}{:>12}{:>12}",
        "",
        "good",
        "401",
        "failed",
        "decided in",
        "good in",
        "p99 fault"
    );
    line!(out, "{}", "─".repeat(99));
    for fault in &coupling.faults {
        let beside = beside_the_title(fault);
        if !beside {
            line!(out, "{}", fault.title);
        }
        for (index, effect) in fault.effects.iter().enumerate() {
            let strategy = &effect.strategy;
            let title = if index == 0 { fault.title.as_str() } else { "" };
            let label = if beside {
                format!("{:26}{strategy}", shortened(title, 25))
            } else {
                format!("    {strategy}")
            };
            line!(out, "{}", fault_line(&label, effect));
        }
    }
}

/// Whether the strategies have room beside the name of the fault.
fn beside_the_title(fault: &FaultResult) -> bool {
    let names = fault.effects.iter().map(|effect| &effect.strategy);
    fault.effects.len() <= 2 && names.clone().all(|name| name.chars().count() <= 11)
}

fn fault_line(label: &str, effect: &FaultEffect) -> String {
    let failed: u64 = effect
        .errors_in_fault
        .iter()
        .filter(|error| error.kind != "401")
        .map(|error| error.count)
        .sum();
    format!(
        "{:38}{:>10}{:>7}{:>8}{:>12}{:>12}{:>12}",
        shortened(label, 37),
        numbers::percent(effect.availability_in_fault),
        numbers::count(effect.unauthorized_in_fault),
        numbers::count(failed),
        numbers::recovery(effect.recovery.decided_ms),
        numbers::recovery(effect.recovery.good_ms),
        effect
            .p99_in_fault_us
            .map_or_else(|| "–".to_owned(), numbers::duration_us),
    )
}

fn memory(out: &mut String, results: &Results) {
    if results.memory.is_empty() {
        return;
    }
    line!(
        out,
        "\n{:LABEL$}{:>VALUE$}{:>VALUE$}",
        "Memory (resident)",
        "idle",
        "highest rate"
    );
    for process in &results.memory {
        line!(
            out,
            "{:LABEL$}{:>VALUE$}{:>VALUE$}",
            process.process,
            numbers::mebibytes(process.idle_bytes),
            process
                .highest_rate_bytes
                .map_or_else(|| "–".to_owned(), numbers::mebibytes)
        );
    }
}

fn gates(out: &mut String, results: &Results) {
    let failed: Vec<&Gate> = results.gates.iter().filter(|gate| !gate.passed).collect();
    line!(
        out,
        "\n{}: {} of {} conditions held.",
        validity(results.validity),
        results.gates.len() - failed.len(),
        results.gates.len()
    );
    for gate in failed {
        let text = format!(
            "{} is {} {}, the limit is {} {}. {}",
            gate.name,
            numbers::significant(gate.value),
            gate.unit,
            numbers::significant(gate.limit),
            gate.unit,
            gate.meaning
        );
        wrapped(out, "- ", text.trim_end());
    }
}

/// The overall verdict with its meaning.
pub(super) fn validity(validity: Validity) -> &'static str {
    match validity {
        Validity::Valid => "VALID",
        Validity::Invalid => "INVALID (the instrument was the limit; do not use the figures)",
        Validity::Inconclusive => "INCONCLUSIVE (the figures are too few or too noisy to decide)",
    }
}

/// Breaks a sentence at 98 columns.
fn wrapped(out: &mut String, bullet: &str, text: &str) {
    let mut current = bullet.to_owned();
    for word in text.split_whitespace() {
        if current.chars().count() + word.chars().count() > 98 {
            line!(out, "{}", current.trim_end());
            current = " ".repeat(bullet.len());
        }
        current += word;
        current.push(' ');
    }
    line!(out, "{}", current.trim_end());
}

fn shortened(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width - 1).chain(['…']).collect()
}
