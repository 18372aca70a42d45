//! The quantities that the table and the page show side by side, in one list for both.

use crate::{
    report::numbers,
    results::v2::{Comparison, Results, StrategyResult, Verdict},
};

/// One row: a quantity, its value for each strategy, and the comparison if there is one.
pub(super) struct Row<'a> {
    /// What it is.
    pub(super) label: String,
    /// The same as the head of a narrow column.
    pub(super) short: String,
    /// One value a strategy, in the order of the results.
    pub(super) values: Vec<String>,
    /// The comparison in this quantity, when there are two strategies.
    pub(super) comparison: Option<&'a Comparison>,
    /// Whether a new group of rows begins here.
    pub(super) begins_group: bool,
}

type Value = fn(&StrategyResult) -> Option<String>;

/// Label, head of a narrow column, name of the quantity in the comparisons, value, begin of a group.
type Fixed = (&'static str, &'static str, &'static str, Value, bool);

const ROWS: &[Fixed] = &[
    (
        "response time p50",
        "p50",
        "response_time_p50",
        |s| us(s.response_time.p50_us),
        true,
    ),
    (
        "response time p90",
        "p90",
        "response_time_p90",
        |s| us(s.response_time.p90_us),
        false,
    ),
    (
        "response time p99",
        "p99",
        "response_time_p99",
        |s| us(s.response_time.p99_us),
        false,
    ),
    (
        "response time p99.9",
        "p99.9",
        "response_time_p99_9",
        |s| us(s.response_time.p99_9_us),
        false,
    ),
    (
        "response time max",
        "max",
        "response_time_max",
        |s| us(s.response_time.max_us),
        false,
    ),
    (
        "service time p50",
        "service p50",
        "service_time_p50",
        |s| us(s.service_time.p50_us),
        false,
    ),
    (
        "service time p99",
        "service p99",
        "service_time_p99",
        |s| us(s.service_time.p99_us),
        false,
    ),
    (
        "rate asked, requests/s",
        "asked/s",
        "",
        |s| Some(numbers::grouped(s.asked_per_second)),
        true,
    ),
    (
        "rate achieved, requests/s",
        "achieved/s",
        "",
        |s| Some(numbers::grouped(s.achieved_per_second)),
        false,
    ),
    (
        "highest rate held, requests/s",
        "highest/s",
        "highest_sustainable",
        highest,
        false,
    ),
    (
        "closed loop, requests/s",
        "closed loop/s",
        "closed_loop",
        closed_loop,
        false,
    ),
    (
        "requests",
        "requests",
        "",
        |s| Some(numbers::count(s.requests)),
        false,
    ),
    ("errors", "errors", "", |s| Some(errors(s)), false),
];

/// The quantity of a component begins so.
const CPU_OF: &str = "cpu_us_per_request_";

/// Rows below those of the components.
const COST_ROWS: &[Fixed] = &[
    (
        "CPU of the system, µs/request",
        "CPU system",
        "cpu_us_per_request",
        |s| Some(numbers::significant(system_cpu(s))),
        false,
    ),
    (
        "Redis commands/request",
        "Redis cmds",
        "redis_commands_per_request",
        redis_commands,
        true,
    ),
    (
        "request bytes",
        "bytes out",
        "request_bytes",
        |s| Some(numbers::grouped(s.request_bytes)),
        false,
    ),
    (
        "response bytes",
        "bytes in",
        "response_bytes",
        |s| Some(numbers::grouped(s.response_bytes)),
        false,
    ),
];

/// Every row that at least one strategy has a value for.
pub(super) fn rows(results: &Results) -> Vec<Row<'_>> {
    let mut rows: Vec<Row<'_>> = ROWS
        .iter()
        .filter_map(|row| static_row(results, row))
        .collect();
    for (index, component) in components(results).into_iter().enumerate() {
        rows.push(Row {
            label: format!("CPU {component}, µs/request"),
            short: format!("CPU {component}"),
            values: results
                .strategies
                .iter()
                .map(|strategy| or_dash(cpu_of(strategy, &component).map(numbers::significant)))
                .collect(),
            comparison: comparison(results, &format!("{CPU_OF}{component}")),
            begins_group: index == 0,
        });
    }
    rows.extend(COST_ROWS.iter().filter_map(|row| static_row(results, row)));
    rows
}

/// Names of the components in the order in which they first appear.
pub(super) fn components(results: &Results) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for cpu in results.strategies.iter().flat_map(|strategy| &strategy.cpu) {
        if !names.contains(&cpu.component) {
            names.push(cpu.component.clone());
        }
    }
    names
}

/// CPU time per request of one component.
pub(super) fn cpu_of(strategy: &StrategyResult, component: &str) -> Option<f64> {
    let found = strategy.cpu.iter().find(|cpu| cpu.component == component);
    found.map(|cpu| cpu.us_per_request)
}

/// CPU time per request of everything but the generator.
pub(super) fn system_cpu(strategy: &StrategyResult) -> f64 {
    strategy
        .cpu
        .iter()
        .filter(|cpu| cpu.component != "generator")
        .map(|cpu| cpu.us_per_request)
        .sum()
}

fn static_row<'a>(
    results: &'a Results,
    (label, short, quantity, value, begins_group): &Fixed,
) -> Option<Row<'a>> {
    let values: Vec<Option<String>> = results.strategies.iter().map(value).collect();
    values.iter().any(Option::is_some).then(|| Row {
        label: (*label).to_owned(),
        short: (*short).to_owned(),
        values: values.into_iter().map(or_dash).collect(),
        comparison: comparison(results, quantity),
        begins_group: *begins_group,
    })
}

/// What a compared quantity is called, without its unit.
pub(super) fn label(quantity: &str) -> String {
    let named = ROWS.iter().chain(COST_ROWS).find(|row| row.2 == quantity);
    let label = match (named, quantity.strip_prefix(CPU_OF)) {
        (Some(row), _) => row.0.to_owned(),
        (None, Some(component)) => format!("CPU {component}"),
        (None, None) => quantity.replace('_', " "),
    };
    label.split(',').next().unwrap_or_default().to_owned()
}

fn comparison<'a>(results: &'a Results, quantity: &str) -> Option<&'a Comparison> {
    pair(results)?;
    let mut comparisons = results.comparisons.iter();
    comparisons.find(|comparison| comparison.quantity == quantity)
}

/// The first comparison, when there are just two strategies: then each quantity has one.
pub(super) fn pair(results: &Results) -> Option<&Comparison> {
    let first = results.comparisons.first()?;
    (results.strategies.len() <= 2).then_some(first)
}

/// The quantities that a choice between strategies rests on.
pub(super) const DECIDING: [&str; 3] = [
    "response_time_p50",
    "response_time_p99",
    "cpu_us_per_request",
];

/// Each strategy but the first, with its comparisons in the [`DECIDING`] quantities.
pub(super) fn against_baseline(results: &Results) -> Vec<(&str, [Option<&Comparison>; 3])> {
    let mut candidates: Vec<&str> = Vec::new();
    for comparison in &results.comparisons {
        if !candidates.contains(&comparison.candidate.as_str()) {
            candidates.push(&comparison.candidate);
        }
    }
    let found = |candidate: &str, quantity: &str| {
        let mut comparisons = results.comparisons.iter();
        comparisons.find(|one| one.candidate == candidate && one.quantity == quantity)
    };
    candidates
        .into_iter()
        .map(|candidate| {
            (
                candidate,
                DECIDING.map(|quantity| found(candidate, quantity)),
            )
        })
        .collect()
}

/// What the marks of [`in_short`] mean.
pub(super) const MARKS: &str =
    "↑ higher · ↓ lower · = equal to within 5 % · ? this run cannot tell";

/// Ratio, interval and verdict in twenty characters.
pub(super) fn in_short(comparison: &Comparison) -> String {
    let mark = match comparison.verdict {
        Verdict::Higher => "↑",
        Verdict::Lower => "↓",
        Verdict::Equivalent => "=",
        Verdict::Inconclusive => "?",
    };
    let number = |value: f64| {
        if value.is_finite() {
            format!("{value:.2}")
        } else {
            "–".to_owned()
        }
    };
    format!(
        "{} [{}, {}] {mark}",
        number(comparison.ratio),
        number(comparison.ci_low),
        number(comparison.ci_high)
    )
}

fn or_dash(value: Option<String>) -> String {
    value.unwrap_or_else(|| "–".to_owned())
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "the rows share one signature, and others have no value at times"
)]
fn us(value: f64) -> Option<String> {
    Some(numbers::duration_us(value))
}

fn highest(strategy: &StrategyResult) -> Option<String> {
    let found = strategy.highest_sustainable.as_ref()?;
    Some(numbers::grouped(found.rate_per_second))
}

fn closed_loop(strategy: &StrategyResult) -> Option<String> {
    strategy.closed_loop_per_second.map(numbers::grouped)
}

fn redis_commands(strategy: &StrategyResult) -> Option<String> {
    strategy
        .redis_commands_per_request
        .map(|commands| format!("{commands:.3}"))
}

fn errors(strategy: &StrategyResult) -> String {
    let total: u64 = strategy.errors.iter().map(|error| error.count).sum();
    if total == 0 {
        return "0".to_owned();
    }
    let kinds: Vec<String> = strategy
        .errors
        .iter()
        .map(|error| format!("{} {}", numbers::count(error.count), error.kind))
        .collect();
    kinds.join(", ")
}
