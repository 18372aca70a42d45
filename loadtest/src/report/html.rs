//! The page.

mod tables;

use std::fmt::Write;

use super::{
    charts::{self, colour},
    compared, faults_v2, findings, freshness, numbers,
    svg::escape,
};
use crate::results::v2::{Comparison, Results, Validity};

const STYLE: &str = include_str!("style.css");

/// Renders the whole page.
pub(super) fn render(results: &Results) -> String {
    let title = format!("{}, measured", numbers::listed(&results.plan.strategies));
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>{}</title><style>{STYLE}</style></head><body><main>",
        escape(&title)
    );
    head(&mut out, results, &title);
    section(&mut out, "Side by side", &tables::side_by_side(results));
    latency(&mut out, results);
    ratios(&mut out, results);
    rate(&mut out, results);
    cost(&mut out, results);
    coupling(&mut out, results);
    if let Some(freshness) = &results.freshness {
        let body = freshness::section(freshness, &results.plan.strategies);
        section(&mut out, "After a revocation", &body);
    }
    section(
        &mut out,
        "May these figures be used?",
        &tables::gates(results),
    );
    section(&mut out, "How to read it", HOW_TO_READ);
    section(
        &mut out,
        "Where and how it was measured",
        &tables::circumstances(results),
    );
    let _ = writeln!(
        out,
        "<footer>{} {} · results.json version {} · {}</footer></main></body></html>",
        escape(&results.tool.name),
        escape(&results.tool.version),
        results.schema_version,
        escape(&results.started_at)
    );
    out
}

fn head(out: &mut String, results: &Results, title: &str) {
    let (class, text) = match results.validity {
        Validity::Valid => ("valid", "VALID"),
        Validity::Invalid => ("invalid", "INVALID: the instrument was the limit"),
        Validity::Inconclusive => ("inconclusive", "INCONCLUSIVE: too little to decide"),
    };
    let _ = write!(
        out,
        "<header><span class=\"badge {class}\">{text}</span><h1>{}</h1><p>{} requests/s each through \
         one gateway, {} ABBA rounds of {} s windows, {} replicas a strategy. {}, {} CPUs.</p></header>",
        escape(title),
        numbers::grouped(results.plan.rate_per_second),
        results.plan.rounds,
        numbers::significant(results.plan.window_seconds),
        results.plan.replicas,
        escape(&results.environment.cpu_model),
        results.environment.cpus
    );
    if results.tool.build == "debug" {
        out.push_str("<p class=\"alarm\">Measured with a debug build: the figures say nothing about the design.</p>");
    }
    tiles(out, results);
    let sentences = if results.findings.is_empty() {
        findings(results)
    } else {
        results.findings.clone()
    };
    out.push_str("<ul class=\"findings\">");
    for sentence in sentences {
        let _ = write!(out, "<li>{}</li>", escape(&sentence));
    }
    out.push_str("</ul>");
}

/// The four figures that most readers came for.
fn tiles(out: &mut String, results: &Results) {
    out.push_str("<div class=\"tiles\">");
    let mut tile = |title: &str, values: Vec<String>| {
        let _ = write!(out, "<div class=\"tile\"><h3>{title}</h3>");
        for (strategy, value) in results.strategies.iter().zip(values) {
            let name = escape(&strategy.name);
            let _ = write!(
                out,
                "<div><span>{name}</span><b>{}</b></div>",
                escape(&value)
            );
        }
        out.push_str("</div>");
    };
    let all = &results.strategies;
    tile(
        "Response time, median",
        all.iter()
            .map(|s| numbers::duration_us(s.response_time.p50_us))
            .collect(),
    );
    tile(
        "Response time, p99",
        all.iter()
            .map(|s| numbers::duration_us(s.response_time.p99_us))
            .collect(),
    );
    tile(
        "CPU of the system per request",
        all.iter()
            .map(|s| numbers::duration_us(compared::system_cpu(s)))
            .collect(),
    );
    tile(
        "Highest rate held",
        all.iter()
            .map(|s| {
                let found = s.highest_sustainable.as_ref();
                found.map_or_else(
                    || "–".to_owned(),
                    |f| format!("{}/s", numbers::grouped(f.rate_per_second)),
                )
            })
            .collect(),
    );
    out.push_str("</div>");
}

fn latency(out: &mut String, results: &Results) {
    let Some(plot) = charts::latency(results) else {
        return;
    };
    let mut legend = String::from("<p class=\"legend\">");
    for (index, strategy) in results.strategies.iter().enumerate() {
        let name = escape(&strategy.name);
        let lines = [("", "response time"), (" dashed", "service time")];
        let shown = if results.strategies.len() <= charts::FEW {
            2
        } else {
            1
        };
        for (class, what) in &lines[..shown] {
            let _ = write!(
                legend,
                "<span><i class=\"swatch rule{class}\" style=\"color:var(--c{})\"></i>{name}, {what}</span>",
                index % charts::COLOURS
            );
        }
    }
    legend.push_str("</p>");
    let body = format!(
        "<p>Response time counts from the moment when the request was <i>meant</i> to be sent, service \
         time from the moment when it was sent. Where the two part, requests queued.</p>\
         <figure>{legend}{plot}</figure>"
    );
    section(out, "Latency by percentile", &body);
}

fn ratios(out: &mut String, results: &Results) {
    let Some(first) = results.comparisons.first() else {
        return;
    };
    let several = results.strategies.len() > 2;
    let candidate = if several {
        "a strategy"
    } else {
        first.candidate.as_str()
    };
    let mut body = format!(
        "<p>Each dot is {} ÷ {}, each line its {:.0} % interval over paired rounds. A line that crosses 1 \
         is a question that this run does not answer; it is drawn in grey.</p>",
        escape(candidate),
        escape(&first.baseline),
        first.confidence * 100.0,
    );
    let mut drawn = false;
    for (title, comparisons) in ratio_plots(results) {
        let label = |one: &Comparison| {
            if several {
                one.candidate.clone()
            } else {
                compared::label(&one.quantity)
            }
        };
        if let Some(plot) = charts::ratios(&comparisons, label) {
            drawn = true;
            let caption = match title.as_str() {
                "" => String::new(),
                title => format!("<figcaption><b>{}</b></figcaption>", escape(title)),
            };
            let _ = write!(body, "<figure>{caption}{plot}</figure>");
        }
    }
    if drawn {
        body += &tables::against_baseline(results);
        body += &tables::readings(results);
        section(out, "How much more or less", &body);
    }
}

/// All quantities of two strategies in one plot; of more, one plot for each quantity that decides.
fn ratio_plots(results: &Results) -> Vec<(String, Vec<&Comparison>)> {
    if results.strategies.len() <= 2 {
        return vec![(String::new(), results.comparisons.iter().collect())];
    }
    let of = |quantity: &&str| {
        let comparisons = results.comparisons.iter();
        let matching = comparisons.filter(|one| one.quantity == *quantity);
        (compared::label(quantity), matching.collect())
    };
    compared::DECIDING.iter().map(of).collect()
}

fn rate(out: &mut String, results: &Results) {
    let mut body = format!("<figure>{}</figure>", charts::rates(results));
    if let Some(plot) = charts::capacity(results) {
        let _ = write!(
            body,
            "<figure><figcaption>p99 of the response time at each rate that was tried. Filled: held; \
             open: not held.</figcaption>{}{plot}</figure>",
            strategy_legend(results)
        );
    }
    let ended: Vec<String> = results
        .strategies
        .iter()
        .filter_map(|strategy| {
            let found = strategy.highest_sustainable.as_ref()?;
            Some(format!("{}: {}", strategy.name, found.ended_by))
        })
        .collect();
    if !ended.is_empty() {
        let _ = write!(
            body,
            "<p class=\"note\">What the next higher rate failed. {}.</p>",
            escape(&ended.join("; "))
        );
    }
    section(out, "Rate", &body);
}

fn cost(out: &mut String, results: &Results) {
    let Some(plot) = charts::cpu(results) else {
        return;
    };
    let mut legend = String::from("<p class=\"legend\">");
    for (index, component) in compared::components(results).iter().enumerate() {
        let class = colour("swatch part", index);
        let _ = write!(
            legend,
            "<span><i class=\"{class}\"></i>{}</span>",
            escape(component)
        );
    }
    legend.push_str("</p>");
    let body = format!(
        "<p>CPU time of each component's processes, by their own counters, divided by the requests of \
         the same windows.</p><figure>{legend}{plot}</figure>{}",
        tables::memory(results)
    );
    section(out, "What a request costs", &body);
}

fn coupling(out: &mut String, results: &Results) {
    let Some(coupling) = &results.coupling else {
        return;
    };
    let body = format!(
        "<p>Each fault is made once, under {} requests/s to every strategy at the same time. A request is \
         good when it is answered with 2xx within {}. An answer that needs something missing must be 503 \
         and never 401: nobody's credential became wrong.</p>{}",
        numbers::grouped(coupling.rate_per_second),
        numbers::duration_ms(coupling.deadline_ms),
        faults_v2::section(coupling)
    );
    section(out, "When a part is missing", &body);
}

fn strategy_legend(results: &Results) -> String {
    let mut out = String::from("<p class=\"legend\">");
    for (index, strategy) in results.strategies.iter().enumerate() {
        let class = colour("swatch", index);
        let _ = write!(
            out,
            "<span><i class=\"{class}\"></i>{}</span>",
            escape(&strategy.name)
        );
    }
    out + "</p>"
}

fn section(out: &mut String, title: &str, body: &str) {
    let _ = write!(out, "<section><h2>{title}</h2>{body}</section>");
}

const HOW_TO_READ: &str = "<p>The load is open: requests are sent when they are due, not when the last \
answer came, so a system that stalls cannot hide its stall. The strategies take turns in ABBA order at the \
same rate, so that what drifts on the machine meets both. Intervals are over rounds and not over requests, \
because requests of one window are not independent of each other.</p><p>Generator, gateway, services and \
Redis share this machine's processors unless the circumstances below say otherwise. The ratio between \
strategies is then worth more than any absolute figure, and network distance, which a session lookup pays \
and a signature check does not, is not in these figures.</p>";
