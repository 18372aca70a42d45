//! Variables that look as if they were meant for the program and that it does not know.

use std::{collections::BTreeSet, ffi::OsString};

use clap::{Arg, Command};

/// Variables that begin as those of the program do, or as those of OpenTelemetry for spans, and are
/// none of its own: misspelt, of another version, or not built in. What they were to set is not set, so they are worth a word; but they may be somebody
/// else's, so they are no fault.
#[derive(Debug)]
#[must_use = "nobody learns of them unless they are told"]
pub struct Strays(BTreeSet<String>);

impl Strays {
    /// Those among `names`, of a program such as `auth-service`, whose own begin with `AUTH_`.
    pub(super) fn of(command: &Command, names: impl Iterator<Item = OsString>) -> Self {
        let program = command.get_name();
        let first = program.split('-').next().unwrap_or(program);
        let prefix = first.to_ascii_uppercase() + "_";
        let known: BTreeSet<_> = command.get_arguments().filter_map(Arg::get_env).collect();
        let strays = names
            .filter(|name| !known.contains(name.as_os_str()))
            .filter_map(|name| name.into_string().ok())
            .filter(|name| {
                name.starts_with(&prefix) && !is_service_link(name) || is_of_spans(name)
            });
        Self(strays.collect())
    }

    /// Names them in the log.
    pub fn tell(&self) {
        for name in &self.0 {
            tracing::warn!("{name} is set and is no setting of this program: see --help");
        }
    }
}

/// Those of OpenTelemetry that concern the export of spans, and not of metrics and logs alone.
fn is_of_spans(name: &str) -> bool {
    let begins = |with: &[&str]| with.iter().any(|beginning| name.starts_with(beginning));
    begins(&["OTEL_TRACES_", "OTEL_BSP_", "OTEL_EXPORTER_OTLP_"])
        && !begins(&["OTEL_EXPORTER_OTLP_METRICS_", "OTEL_EXPORTER_OTLP_LOGS_"])
}

/// Kubernetes describes to each container the services of its namespace, of which one may have the
/// name of the program.
fn is_service_link(name: &str) -> bool {
    name.ends_with("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || name.ends_with("_PORT")
        || name.contains("_PORT_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_begins_like_a_setting_and_is_none_is_a_stray() {
        let command = Command::new("auth-service")
            .arg(Arg::new("listen").env("AUTH_LISTEN"))
            .arg(Arg::new("port").env("AUTH_HEALTH_PORT"));
        let environment = [
            "AUTH_LISTEN",
            "AUTH_HEALTH_PORT",
            "AUTH_LISTENS",
            "AUTHOR",
            "API_LISTEN",
            "PATH",
            "AUTH_SERVICE_HOST",
            "AUTH_SERVICE_PORT_HTTP",
            "AUTH_PORT",
            "AUTH_PORT_8081_TCP_ADDR",
            "OTEL_EXPORTER_OTLP_CERTIFICATE",
            "OTEL_EXPORTER_OTLP_LOGS_TIMEOUT",
            "OTEL_LOG_LEVEL",
        ];
        let strays = Strays::of(&command, environment.map(OsString::from).into_iter());
        let wanted = ["AUTH_LISTENS", "OTEL_EXPORTER_OTLP_CERTIFICATE"];
        assert_eq!(strays.0, BTreeSet::from(wanted.map(str::to_owned)));
    }
}
