//! What the load generator itself adds to what it reports, arm by arm.

use maud::{Markup, html};

use super::{
    Section, compared,
    conditions::{arms, loads, title},
    numbers,
};
use crate::results::{Conditions, Results};

pub(super) const SECTION: Section = Section {
    title: "What the generator adds",
    findings: |_| Vec::new(),
    // The gates say on a terminal what a reader must know of it.
    text: |_| String::new(),
    html: rendered_html,
};

/// Metrics of the generator; the send lag comes with its median besides.
const METRICS: [&str; 3] = [
    "send_lag_p99",
    "connection_wait_p99",
    "cpu_us_per_request_generator",
];

fn rendered_html(results: &Results) -> Markup {
    html! {
        p {
            "A response time is counted from the moment when a request was meant to be sent. Part of it is the \
             generator's: the lag until it turned to the request. The wait for a free connection is not: with "
            (results.plan.connections) " connections to each arm, a system that is slow makes requests wait."
        }
        @if let Some(check) = &results.self_check {
            p {
                "Of a target that takes " (numbers::duration_us(check.target_latency_us)) ", it measured "
                (numbers::duration_us(check.measured_p50_us)) " (p50) and "
                (numbers::duration_us(check.measured_p99_us)) " (p99)."
            }
        }
        @if !results.points.is_empty() {
            @for conditions in loads(results) { (table(results, conditions)) }
        }
    }
}

fn table(results: &Results, conditions: &Conditions) -> Markup {
    html! {
        h3 { (title(conditions)) }
        div.wide { table {
            thead { tr {
                th { "arm" } th { "send lag p50" } th { "of the response time's" }
                @for metric in METRICS { th { (compared::label(results, metric)) } }
            } }
            tbody { @for arm in arms(results) {
                @if let Some(point) = results.point(&arm.name, conditions) { tr {
                    th { (arm.name) }
                    td { (numbers::duration_us(point.send_lag.p50_us)) }
                    td { (numbers::percent(point.send_lag.p50_us / point.response_time.p50_us.max(1.0))) }
                    @for metric in METRICS {
                        td { (point.metrics.get(metric).map_or("–".to_owned(), |one| numbers::duration_us(one.value))) }
                    }
                } }
            } }
        } }
    }
}
