//! Where and how it was measured, down to every window.

use maud::{Markup, html};

use super::{Section, conditions, numbers};
use crate::results::{ArmInfo, Origin, Results, SelfCheck};

pub(super) const SECTION: Section = Section {
    title: "Where and how it was measured",
    findings: |_| Vec::new(),
    text: |_| String::new(),
    html: rendered_html,
};

fn rendered_html(results: &Results) -> Markup {
    html! {
        div.wide { table.facts { tbody { @for (name, value) in circumstances(results) {
            tr { th { (name) } td.words { (value) } }
        } } } }
        h3 { "The arms" }
        div.wide { table.facts { tbody { @for arm in &results.plan.arms {
            tr { th { (arm.name) } td.words { (described(results, arm)) } }
        } } } }
        @if !results.environment.facts.is_empty() {
            details {
                summary { "every setting that two runs must have in common to be compared" }
                div.wide { table.facts { tbody {
                    @for (name, value) in &results.environment.facts {
                        tr { th { (name) } td.words { (value) } }
                    }
                } } }
            }
        }
        (windows(results))
    }
}

fn circumstances(results: &Results) -> Vec<(&'static str, String)> {
    let (plan, place) = (&results.plan, &results.environment);
    let pool = match plan.max_connections {
        None => format!("{}, a fixed pool", plan.connections),
        Some(most) => format!("{}, growing to {most}", plan.connections),
    };
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
                Origin::Found => "found running".to_owned(),
            },
        ),
        ("build of the load test", results.tool.build.clone()),
        ("connections to each arm", pool),
        ("generator threads", plan.generator_threads.to_string()),
        ("rates", plan.rate_chosen_by.clone()),
        (
            "an answer is late after",
            numbers::duration_ms(plan.deadline_ms),
        ),
        ("seed", plan.seed.to_string()),
        (
            "discarded at the start of a window",
            numbers::duration_us(plan.warmup_seconds * 1e6),
        ),
        (
            "restarts",
            if plan.restarts {
                "all processes between blocks"
            } else {
                "none"
            }
            .to_owned(),
        ),
    ];
    facts.extend(
        results
            .self_check
            .as_ref()
            .map(|check| ("self-check", checked(check))),
    );
    facts
}

fn checked(check: &SelfCheck) -> String {
    format!(
        "a target of {} was measured as p50 {} ({:+.2} %) and p99 {} ({:+.2} %), for {} µs of own CPU \
         a request",
        numbers::duration_us(check.target_latency_us),
        numbers::duration_us(check.measured_p50_us),
        check.p50_error_percent,
        numbers::duration_us(check.measured_p99_us),
        check.p99_error_percent,
        numbers::significant(check.cpu_us_per_request)
    )
}

fn described(results: &Results, arm: &ArmInfo) -> String {
    let mut parts = vec![format!("GET {}", arm.path)];
    if let Some(strategy) = &arm.strategy {
        parts.push(format!("strategy {strategy}"));
    } else {
        parts.push("a server that is not ours".to_owned());
    }
    parts.extend(
        arm.credential
            .as_ref()
            .map(|one| format!("presents a {one}")),
    );
    if arm.own_build {
        parts.push("a build of its own".to_owned());
    }
    let variables = arm.variables.iter();
    parts.extend(variables.map(|(name, value)| format!("{name}={value}")));
    if results.plan.floor_arm.as_ref() == Some(&arm.name) {
        parts.push("the baseline once more, for the floor".to_owned());
    }
    parts.join(" · ")
}

fn windows(results: &Results) -> Markup {
    let metrics = conditions::metrics(results);
    let shown = |id: &str| {
        let mut windows = results.windows.iter();
        windows.any(|window| window.metrics.contains_key(id))
    };
    let metrics: Vec<_> = metrics.iter().filter(|metric| shown(&metric.id)).collect();
    html! {
        @if !results.windows.is_empty() {
            details {
                summary { "every window" }
                div.wide { table {
                    thead { tr {
                        th { "block.place" } th { "arm" } th { "at" } th { "under" } th { "requests" }
                        @for metric in &metrics { th { (metric.label) } }
                    } }
                    tbody { @for window in &results.windows { tr {
                        td { (window.block) "." (window.place) }
                        td { (window.arm) }
                        td { (numbers::duration_us(window.started_at_seconds * 1e6)) }
                        td { (conditions::title(&window.conditions)) }
                        td { (numbers::count(window.requests)) }
                        @for metric in &metrics {
                            td { (window.metrics.get(&metric.id).map_or_else(
                                || "–".to_owned(),
                                |value| numbers::with_unit(*value, &metric.unit),
                            )) }
                        }
                    } } }
                } }
            }
        }
    }
}
