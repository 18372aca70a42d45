//! Logs, traces and metrics, the same way in every service.
//!
//! - [`logs`]: one subscriber on standard error, for people or as JSON.
//! - [`trace`]: W3C Trace Context in and out, spans over OTLP; off unless an endpoint is set.
//! - [`metrics`]: Prometheus text, with bucket bounds that tell 50 µs from 500 µs.
//!
//! Tokens, cookies, passwords and session ids appear in none of them.

pub mod logs;
pub mod metrics;
pub mod trace;

use clap::Args;

use crate::config::Faults;

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
/// The OpenTelemetry SDK reads the remaining standard variables itself: `OTEL_EXPORTER_OTLP_HEADERS`,
/// `_TIMEOUT`, `_COMPRESSION`, `OTEL_BSP_*`, `OTEL_RESOURCE_ATTRIBUTES`, `OTEL_SERVICE_NAME`.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Telemetry")]
pub struct TelemetryArgs {
    /// Form of the log lines on standard error: human or json.
    #[arg(long, env = "LOG_FORMAT", default_value = "human")]
    pub log_format: String,

    /// Which log events are written: a level, or directives such as info,gateway=debug.
    #[arg(long, env = "RUST_LOG", default_value = "info")]
    pub log_filter: String,

    /// Where spans go, OTLP over HTTP, such as http://127.0.0.1:4318. Unset: no spans are made.
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT")]
    pub otlp_endpoint: Option<String>,

    /// The full URL for spans alone, such as http://127.0.0.1:4318/v1/traces.
    #[arg(long, env = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")]
    pub otlp_traces_endpoint: Option<String>,

    /// OTLP transport; http/protobuf is the one that is built in.
    #[arg(
        long,
        env = "OTEL_EXPORTER_OTLP_PROTOCOL",
        default_value = "http/protobuf"
    )]
    pub otlp_protocol: String,

    /// Which requests are traced: always_on, always_off, traceidratio, or one of these with the
    /// prefix parentbased_.
    #[arg(
        long,
        env = "OTEL_TRACES_SAMPLER",
        default_value = "parentbased_always_on"
    )]
    pub traces_sampler: String,

    /// The share of traces kept by a ratio sampler, 0 to 1.
    #[arg(long, env = "OTEL_TRACES_SAMPLER_ARG", default_value = "1")]
    pub traces_sampler_arg: String,

    /// true: no spans are made, whatever else is set.
    #[arg(long, env = "OTEL_SDK_DISABLED", default_value = "false")]
    pub otel_disabled: String,
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
        let mut tracing = None;
        for (variable, endpoint) in [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &self.otlp_endpoint),
            (
                "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
                &self.otlp_traces_endpoint,
            ),
        ] {
            // The specification has an empty variable mean an unset one.
            if let Some(endpoint) = endpoint.as_deref().filter(|text| !text.is_empty()) {
                faults.url(variable, endpoint, &["http", "https"]);
                tracing = Some(());
            }
        }
        let disabled = self.otel_disabled.eq_ignore_ascii_case("true");
        let sampler = faults.check(
            "OTEL_TRACES_SAMPLER",
            trace::Sampling::parse(&self.traces_sampler, &self.traces_sampler_arg),
        );
        if self.otlp_protocol != "http/protobuf" {
            faults.add(
                "OTEL_EXPORTER_OTLP_PROTOCOL",
                format!(
                    "{:?} is not built in; use http/protobuf",
                    self.otlp_protocol
                ),
            );
        }
        TelemetrySettings {
            logs: logs::LogSettings {
                json: faults
                    .check("LOG_FORMAT", logs::parse_format(&self.log_format))
                    .unwrap_or_default(),
                filter: faults
                    .check("RUST_LOG", logs::parse_filter(&self.log_filter))
                    .unwrap_or_default(),
            },
            tracing: tracing
                .filter(|()| !disabled)
                .and(sampler)
                .map(|sampling| trace::TraceSettings { sampling }),
        }
    }
}
