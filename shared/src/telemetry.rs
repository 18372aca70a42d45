//! Logs, traces and metrics, the same way in every service.
//!
//! - [`logs`]: one subscriber on standard error, for people or as JSON.
//! - [`trace`]: W3C Trace Context in and out, spans over OTLP; off unless an endpoint is set.
//! - [`metrics`]: Prometheus text, with bucket bounds that tell 50 µs from 500 µs.
//! - [`outage`]: what cannot be used, in the log: each reason once, and when it is over.
//!
//! Tokens, cookies, passwords and session ids appear in none of them.

pub mod logs;
pub mod metrics;
pub mod outage;
pub mod trace;

use std::{num::NonZeroUsize, time::Duration};

use clap::Args;

use crate::config::{Faults, Given, Secret, url};

/// Who is speaking: becomes the OpenTelemetry resource and the `target_info` of the metrics.
#[derive(Clone, Debug)]
pub struct Identity {
    /// `service.name`: the same for all replicas.
    pub service: &'static str,
    /// `service.version`.
    pub version: &'static str,
    /// `service.instance.id`: which replica.
    pub instance: String,
}

/// The variables of every service that concern telemetry; flatten it into the service's own.
///
/// The OpenTelemetry SDK reads the remaining standard variables itself:
/// `OTEL_EXPORTER_OTLP_COMPRESSION`, `OTEL_BSP_*`, `OTEL_RESOURCE_ATTRIBUTES`.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Telemetry")]
pub struct TelemetryArgs {
    /// Form of the log lines on standard error: human or json.
    #[arg(long, env = "LOG_FORMAT", default_value = "human")]
    log_format: Given<String>,

    /// Which log events are written: a level, or directives such as info,gateway=debug.
    #[arg(long, env = "RUST_LOG", default_value = "info")]
    log_filter: Given<String>,

    /// Where spans go, OTLP over HTTP, such as http://127.0.0.1:4318. Unset: no spans are made.
    #[arg(
        long,
        env = "OTEL_EXPORTER_OTLP_ENDPOINT",
        default_value = "",
        hide_default_value = true
    )]
    otlp_endpoint: Given<Option<String>>,

    /// The full URL for spans alone, such as http://127.0.0.1:4318/v1/traces.
    #[arg(
        long,
        env = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
        default_value = "",
        hide_default_value = true
    )]
    otlp_traces_endpoint: Given<Option<String>>,

    /// Headers of each export, such as a key of the collector: name=value, separated by commas; values
    /// may be URL-encoded.
    #[arg(
        long,
        env = "OTEL_EXPORTER_OTLP_HEADERS",
        default_value = "",
        hide_default_value = true,
        hide_env_values = true
    )]
    otlp_headers: Given<Option<Secret<String>>>,

    /// The same for spans alone, in place of those.
    #[arg(
        long,
        env = "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
        default_value = "",
        hide_default_value = true,
        hide_env_values = true
    )]
    otlp_traces_headers: Given<Option<Secret<String>>>,

    /// Milliseconds that one export may take.
    #[arg(long, env = "OTEL_EXPORTER_OTLP_TIMEOUT", default_value = "10000")]
    otlp_timeout: Given<NonZeroUsize>,

    /// The same for spans alone, in place of that.
    #[arg(
        long,
        env = "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT",
        default_value = "",
        hide_default_value = true
    )]
    otlp_traces_timeout: Given<Option<NonZeroUsize>>,

    /// OTLP transport; http/protobuf is the one that is built in.
    #[arg(
        long,
        env = "OTEL_EXPORTER_OTLP_PROTOCOL",
        default_value = "http/protobuf"
    )]
    otlp_protocol: Given<String>,

    /// Which requests are traced: always_on, always_off, traceidratio, or one of these with the
    /// prefix parentbased_.
    #[arg(
        long,
        env = "OTEL_TRACES_SAMPLER",
        default_value = "parentbased_always_on"
    )]
    traces_sampler: Given<String>,

    /// The share of traces kept by a ratio sampler, 0 to 1.
    #[arg(long, env = "OTEL_TRACES_SAMPLER_ARG", default_value = "1")]
    traces_sampler_arg: Given<String>,

    /// Name of the service in its spans. Unset: service.name of OTEL_RESOURCE_ATTRIBUTES, else the
    /// name of the program.
    #[arg(
        long,
        env = "OTEL_SERVICE_NAME",
        default_value = "",
        hide_default_value = true
    )]
    service_name: Given<Option<String>>,

    /// true: no spans are made, whatever else is set.
    #[arg(long, env = "OTEL_SDK_DISABLED", default_value = "false")]
    otel_disabled: Given<String>,
}

/// Checked [`TelemetryArgs`].
#[derive(Clone, Debug)]
pub struct TelemetrySettings {
    /// How logs are written.
    pub logs: logs::LogSettings,
    /// Whether and how spans are made; `None` is off.
    pub tracing: Option<trace::TraceSettings>,
}

impl TelemetryArgs {
    /// Checks the values, noting every fault.
    pub fn check(&self, faults: &mut Faults) -> TelemetrySettings {
        let endpoints = [&self.otlp_traces_endpoint, &self.otlp_endpoint].map(|endpoint| {
            endpoint.checked(faults, |text| {
                text.map(|text| url(&text, &["http", "https"])).transpose()
            })
        });
        let endpoint = endpoints.into_iter().flatten().flatten().next();
        let timeout = self.otlp_timeout.value(faults);
        let timeout = self.otlp_traces_timeout.value(faults).flatten().or(timeout);
        // The specification has any other text mean false.
        let disabled = self.otel_disabled.value(faults);
        let disabled = disabled.is_some_and(|text| text.eq_ignore_ascii_case("true"));
        let argument = self.traces_sampler_arg.value(faults).unwrap_or_default();
        let sampling = self
            .traces_sampler
            .checked(faults, |name| trace::Sampling::parse(&name, &argument));
        self.otlp_protocol
            .checked(faults, |protocol| match protocol.as_str() {
                "http/protobuf" => Ok(()),
                _ => Err(format!("{protocol:?} is not built in; use http/protobuf")),
            });
        // The library takes an empty variable of spans for one that is set.
        let headers = [&self.otlp_traces_headers, &self.otlp_headers].map(|headers| {
            headers.checked(faults, |text| {
                let pairs = text
                    .as_ref()
                    .map(|text| trace::headers::pairs(text.expose()));
                pairs.transpose().map(|_| text)
            })
        });
        let headers = headers.into_iter().flatten().flatten().next();
        let service_name = self.service_name.value(faults).flatten();
        TelemetrySettings {
            logs: logs::LogSettings {
                json: self
                    .log_format
                    .checked(faults, |format| logs::parse_format(&format))
                    .unwrap_or_default(),
                filter: self
                    .log_filter
                    .checked(faults, |filter| logs::parse_filter(&filter))
                    .unwrap_or_default(),
            },
            tracing: match (sampling, endpoint, timeout) {
                (Some(sampling), Some(endpoint), Some(timeout)) if !disabled => {
                    Some(trace::TraceSettings {
                        sampling,
                        endpoint,
                        timeout: Duration::from_millis(timeout.get() as u64),
                        service_name,
                        headers,
                    })
                }
                _ => None,
            },
        }
    }
}
