//! The tables of the page.

use std::fmt::Write;

use crate::{
    report::{compared, numbers, svg::escape, terminal},
    results::v2::{Bound, Origin, Results, Verdict},
};

/// Every quantity with a column for each strategy.
pub(super) fn side_by_side(results: &Results) -> String {
    let mut out = String::from("<div class=\"wide\"><table><thead><tr><th></th>");
    for strategy in &results.strategies {
        cell(&mut out, "th", &strategy.name);
    }
    let pair = compared::pair(results);
    if let Some(first) = pair {
        cell(
            &mut out,
            "th",
            &format!("{} ÷ {}", first.candidate, first.baseline),
        );
        cell(
            &mut out,
            "th",
            &format!("{:.0} % interval", first.confidence * 100.0),
        );
        cell(&mut out, "th", "");
    }
    out.push_str("</tr></thead><tbody>");
    for (index, row) in compared::rows(results).into_iter().enumerate() {
        let class = if row.begins_group && index > 0 {
            " class=\"group\""
        } else {
            ""
        };
        let _ = write!(out, "<tr{class}>");
        cell(&mut out, "th", &row.label);
        for value in &row.values {
            cell(&mut out, "td", value);
        }
        match row.comparison {
            Some(one) => {
                let (low, high) = (numbers::ratio(one.ci_low), numbers::ratio(one.ci_high));
                cell(&mut out, "td", &numbers::ratio(one.ratio));
                cell(&mut out, "td", &format!("{low} … {high}"));
                let class = if one.verdict == Verdict::Inconclusive {
                    "unclear-text"
                } else {
                    ""
                };
                let _ = write!(
                    out,
                    "<td class=\"{class}\">{}</td>",
                    terminal::verdict(one.verdict)
                );
            }
            None if pair.is_some() => out.push_str("<td></td><td></td><td></td>"),
            None => {}
        }
        out.push_str("</tr>");
    }
    out + "</tbody></table></div>"
}

/// Each strategy against the first one, when there are more than two.
pub(super) fn against_baseline(results: &Results) -> String {
    if compared::pair(results).is_some() {
        return String::new();
    }
    let mut out = String::from("<div class=\"wide\"><table><thead><tr><th></th>");
    for quantity in compared::DECIDING {
        cell(&mut out, "th", &compared::label(quantity));
    }
    out.push_str("</tr></thead><tbody>");
    for (candidate, comparisons) in compared::against_baseline(results) {
        out.push_str("<tr>");
        cell(&mut out, "th", candidate);
        for one in comparisons {
            let text = one.map_or_else(|| "–".to_owned(), compared::in_short);
            cell(&mut out, "td", &text);
        }
        out.push_str("</tr>");
    }
    let _ = write!(
        out,
        "</tbody></table></div><p class=\"note\">{}</p>",
        compared::MARKS
    );
    out
}

/// The comparisons as sentences.
pub(super) fn readings(results: &Results) -> String {
    let mut out = String::from("<details><summary>as sentences</summary><ul>");
    for comparison in &results.comparisons {
        let _ = write!(out, "<li>{}", escape(&comparison.reading));
        if let Some(detectable) = comparison.detectable_ratio {
            let percent = numbers::percent(detectable - 1.0);
            let _ = write!(out, " (a difference of {percent} would have been found)");
        }
        out.push_str("</li>");
    }
    out + "</ul></details>"
}

/// Resident memory of each process.
pub(super) fn memory(results: &Results) -> String {
    if results.memory.is_empty() {
        return String::new();
    }
    let mut out = String::from(
        "<div class=\"wide\"><table><thead><tr><th>resident memory</th><th>idle</th>\
         <th>at the highest rate</th></tr></thead><tbody>",
    );
    for process in &results.memory {
        out.push_str("<tr>");
        cell(&mut out, "th", &process.process);
        cell(&mut out, "td", &numbers::mebibytes(process.idle_bytes));
        let highest = process.highest_rate_bytes;
        cell(
            &mut out,
            "td",
            &highest.map_or_else(|| "–".to_owned(), numbers::mebibytes),
        );
        out.push_str("</tr>");
    }
    out + "</tbody></table></div>"
}

/// What must hold, and whether it did.
pub(super) fn gates(results: &Results) -> String {
    let mut out = format!(
        "<p><b>{}</b></p><div class=\"wide\"><table><thead><tr><th>condition</th><th>measured</th>\
         <th>limit</th><th></th><th class=\"words\">what it means</th></tr></thead><tbody>",
        terminal::validity(results.validity)
    );
    for gate in &results.gates {
        let bound = match gate.bound {
            Bound::AtMost => "≤",
            Bound::AtLeast => "≥",
        };
        let limit = numbers::significant(gate.limit);
        let (class, word) = if gate.passed {
            ("yes", "held")
        } else {
            ("no", "failed")
        };
        out.push_str("<tr>");
        cell(&mut out, "th", &gate.name.replace('_', " "));
        cell(
            &mut out,
            "td",
            &format!("{} {}", numbers::significant(gate.value), gate.unit),
        );
        cell(&mut out, "td", &format!("{bound} {limit} {}", gate.unit));
        let _ = write!(out, "<td class=\"{class}\">{word}</td>");
        let _ = write!(
            out,
            "<td class=\"words\">{}</td></tr>",
            escape(&gate.meaning)
        );
    }
    out + "</tbody></table></div>"
}

/// The plan, the machine, the self-check and the rounds.
pub(super) fn circumstances(results: &Results) -> String {
    let (plan, place) = (&results.plan, &results.environment);
    let mut facts = vec![
        ("began", results.started_at.clone()),
        ("took", numbers::duration_us(results.duration_seconds * 1e6)),
        (
            "processor",
            format!("{}, {} CPUs", place.cpu_model, place.cpus),
        ),
        ("memory", numbers::mebibytes(place.memory_bytes)),
        ("system", place.system.clone()),
        (
            "load average at start",
            numbers::significant(place.load_average_at_start),
        ),
        (
            "Redis",
            place
                .redis_version
                .clone()
                .unwrap_or_else(|| "unknown".to_owned()),
        ),
        (
            "system under test",
            match place.origin {
                Origin::Started => "started for this run".to_owned(),
                Origin::Found => format!("found at {}", place.gateway),
            },
        ),
        ("build", results.tool.build.clone()),
        ("connections", numbers::count(plan.connections.into())),
        ("users per strategy", numbers::count(plan.users.into())),
        (
            "rate",
            format!(
                "{} requests/s, {}",
                numbers::grouped(plan.rate_per_second),
                plan.rate_chosen_by
            ),
        ),
        ("seed", plan.seed.to_string()),
        (
            "discarded at the start of a window",
            numbers::duration_us(plan.warmup_seconds * 1e6),
        ),
    ];
    if let Some(check) = &results.self_check {
        facts.push((
            "self-check",
            format!(
                "a target of {} was measured as p50 {} ({:+.2} %) and p99 {} ({:+.2} %), for {} µs of own CPU a request",
                numbers::duration_us(check.target_latency_us),
                numbers::duration_us(check.measured_p50_us),
                check.p50_error_percent,
                numbers::duration_us(check.measured_p99_us),
                check.p99_error_percent,
                numbers::significant(check.cpu_us_per_request)
            ),
        ));
    }
    let mut out = String::from("<table><tbody>");
    for (name, value) in facts {
        let _ = write!(
            out,
            "<tr><th>{name}</th><td class=\"words\">{}</td></tr>",
            escape(&value)
        );
    }
    out + "</tbody></table>" + &rounds(results)
}

fn rounds(results: &Results) -> String {
    if results.rounds.is_empty() {
        return String::new();
    }
    let mut out = String::from(
        "<details><summary>every window</summary><div class=\"wide\"><table><thead><tr><th>block.place</th>\
         <th>strategy</th><th>at</th><th>requests</th><th>achieved/s</th><th>p50</th><th>p90</th><th>p99</th>\
         <th>p99.9</th><th>errors</th><th>system CPU/request</th></tr></thead><tbody>",
    );
    for round in &results.rounds {
        out.push_str("<tr>");
        let cpu = round.system_cpu_us_per_request;
        for text in [
            format!("{}.{}", round.block, round.place),
            round.strategy.clone(),
            numbers::duration_us(round.started_at_seconds * 1e6),
            numbers::count(round.requests),
            numbers::grouped(round.achieved_per_second),
            numbers::duration_us(round.p50_us),
            numbers::duration_us(round.p90_us),
            numbers::duration_us(round.p99_us),
            numbers::duration_us(round.p99_9_us),
            numbers::count(round.errors),
            cpu.map_or_else(|| "–".to_owned(), numbers::duration_us),
        ] {
            cell(&mut out, "td", &text);
        }
        out.push_str("</tr>");
    }
    out + "</tbody></table></div></details>"
}

fn cell(out: &mut String, tag: &str, text: &str) {
    let _ = write!(out, "<{tag}>{}</{tag}>", escape(text));
}
