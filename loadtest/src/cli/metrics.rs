//! `loadtest metrics`.

use crate::{metrics::METRICS, results::Better, thresholds::FIGURES};

/// Every metric and every other figure, as `--fail-if` takes them.
pub(super) fn table() -> String {
    let mut out = line(
        "in --fail-if",
        "unit",
        "better",
        "in results.json",
        "meaning",
    );
    for metric in METRICS {
        let better = match metric.better {
            Better::Lower => "lower",
            Better::Higher => "higher",
            Better::Neither => "",
        };
        let form = format!("{}(ARM)", metric.alias);
        out += &line(&form, metric.unit, better, metric.id, metric.title);
    }
    for figure in FIGURES {
        let form = format!("{}({})", figure.id, figure.arguments);
        out += &line(&form, figure.unit, "", "", figure.title);
    }
    out + "\nMETRIC is a name of this list; it and every METRIC(ARM) may be asked for at one load, as in\n\
           p99@0.6(session). FAULT is a name such as redis_killed, REVOCATION logout, ban or role_change.\n\
           To bound a 99th percentile of lags from above takes 368 revocations.\n\
           \n\
           --fail-if 'p99(session) > 5ms' --fail-if 'ratio(cpu, session, jwt) > 1.3'\n\
           --fail-if 'good(redis_killed, jwt) < 100%' --fail-if 'lag_p99(logout, session) > 1s'\n"
}

fn line(form: &str, unit: &str, better: &str, id: &str, meaning: &str) -> String {
    let line = format!("{form:28} {unit:6} {better:7} {id:30} {meaning}");
    line.trim_end().to_owned() + "\n"
}
