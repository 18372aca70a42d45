//! The variables that concern telemetry, and what is made of them.

use std::{num::NonZeroUsize, time::Duration};

use clap::Args;
use url::Url;

use super::{
    Identity, ResourceAttributes, logs,
    trace::{Batches, Exporter, Otlp, Sampling, TraceSettings, headers, is_propagated},
};
use crate::config::{Faults, Given, Secret, url};

/// Where a collector takes OTLP over HTTP unless it is told otherwise.
const LOCAL: &str = "http://localhost:4318/v1/traces";

/// The variables of every service that concern telemetry; flatten it into the service's own. Those of
/// OpenTelemetry are all that its specification has for spans; what is not built in is refused.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Telemetry")]
pub struct TelemetryArgs {
    /// Form of the log lines on standard error: human or json.
    #[arg(long, env = "LOG_FORMAT", default_value = "human")]
    log_format: Given<String>,

    /// Which log events are written: a level, or directives such as info,gateway=debug.
    #[arg(long, env = "RUST_LOG", default_value = "info")]
    log_filter: Given<String>,

    /// Who gets the spans: otlp, console (a line each on standard output, to try things out) or none.
    /// Unset: otlp where an endpoint is set, else none.
    #[arg(
        long,
        env = "OTEL_TRACES_EXPORTER",
        default_value = "",
        hide_default_value = true
    )]
    traces_exporter: Given<Option<String>>,

    /// Where spans go, OTLP over HTTP, such as http://127.0.0.1:4318, which is where they go when only
    /// OTEL_TRACES_EXPORTER=otlp is set.
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

    /// OTLP transport; http/protobuf is the one that is built in.
    #[arg(
        long,
        env = "OTEL_EXPORTER_OTLP_PROTOCOL",
        default_value = "http/protobuf"
    )]
    otlp_protocol: Given<String>,

    /// The same for spans alone, in place of that.
    #[arg(
        long,
        env = "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
        default_value = "",
        hide_default_value = true
    )]
    otlp_traces_protocol: Given<Option<String>>,

    /// How exports are compressed: gzip or none.
    #[arg(long, env = "OTEL_EXPORTER_OTLP_COMPRESSION", default_value = "none")]
    otlp_compression: Given<String>,

    /// The same for spans alone, in place of that.
    #[arg(
        long,
        env = "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION",
        default_value = "",
        hide_default_value = true
    )]
    otlp_traces_compression: Given<Option<String>>,

    /// How long one export may take, in milliseconds.
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

    /// Spans that may wait to be exported; more are dropped and counted.
    #[arg(long, env = "OTEL_BSP_MAX_QUEUE_SIZE", default_value = "2048")]
    bsp_queue: Given<NonZeroUsize>,

    /// Spans of one export, at most.
    #[arg(long, env = "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", default_value = "512")]
    bsp_batch: Given<NonZeroUsize>,

    /// The longest that a span waits for others to be exported with, in milliseconds.
    #[arg(long, env = "OTEL_BSP_SCHEDULE_DELAY", default_value = "5000")]
    bsp_delay: Given<u64>,

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

    /// Headers by which a trace goes on from service to service: tracecontext, or none. Baggage is
    /// accepted here and never sent: who wrote it is not known.
    #[arg(long, env = "OTEL_PROPAGATORS", default_value = "tracecontext,baggage")]
    propagators: Given<String>,

    /// Name of the service in its spans and metrics, one for all replicas of a pool. Unset:
    /// service.name of OTEL_RESOURCE_ATTRIBUTES, else the name of the program.
    #[arg(
        long,
        env = "OTEL_SERVICE_NAME",
        default_value = "",
        hide_default_value = true
    )]
    service_name: Given<Option<String>>,

    /// What spans say of the process besides, such as deployment.environment.name=staging: name=value,
    /// separated by commas; values may be URL-encoded. They win over what is built in.
    #[arg(
        long,
        env = "OTEL_RESOURCE_ATTRIBUTES",
        default_value = "",
        hide_default_value = true
    )]
    resource_attributes: Given<Option<String>>,

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
    pub tracing: Option<TraceSettings>,
    /// `service.name`, where it is not in the attributes and not the name of the program.
    pub service_name: Option<String>,
    /// What is to be said of the process.
    pub attributes: ResourceAttributes,
}

impl TelemetrySettings {
    /// Who a program is that calls itself by these names where the environment gives it no others:
    /// `OTEL_SERVICE_NAME` before `service.name` of `OTEL_RESOURCE_ATTRIBUTES` (OpenTelemetry,
    /// environment variables).
    #[must_use]
    pub fn identity(
        &self,
        program: &'static str,
        version: &'static str,
        instance: String,
    ) -> Identity {
        let given = |name| self.attributes.get(name).map(str::to_owned);
        let service = self.service_name.clone().or_else(|| given("service.name"));
        Identity {
            service: service.map_or(program.into(), Into::into),
            version,
            instance: given("service.instance.id").unwrap_or(instance),
        }
    }
}

impl TelemetryArgs {
    /// Checks the values, noting every fault.
    pub fn check(&self, faults: &mut Faults) -> TelemetrySettings {
        let attributes = self.resource_attributes.checked(faults, |text| {
            ResourceAttributes::read(text.as_deref().unwrap_or_default())
        });
        let attributes = attributes.unwrap_or_default();
        // The specification has any other text mean false.
        let disabled = self.otel_disabled.value(faults);
        let disabled = disabled.is_some_and(|text| text.eq_ignore_ascii_case("true"));
        let tracing = self.tracing(faults, &attributes);
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
            tracing: tracing.filter(|_| !disabled),
            service_name: self.service_name.value(faults).flatten(),
            attributes,
        }
    }

    fn tracing(
        &self,
        faults: &mut Faults,
        attributes: &ResourceAttributes,
    ) -> Option<TraceSettings> {
        let argument = self.traces_sampler_arg.value(faults).unwrap_or_default();
        let sampling = self
            .traces_sampler
            .checked(faults, |name| Sampling::parse(&name, &argument));
        let propagated = self
            .propagators
            .checked(faults, |names| is_propagated(&names));
        let batches = self.batches(faults);
        let otlp = self.otlp(faults);
        let exporter = self.traces_exporter.checked(faults, |name| {
            Ok(match name.as_deref() {
                None => otlp.and_then(|(otlp, is_set)| is_set.then_some(Exporter::Otlp(otlp))),
                Some("otlp") => otlp.map(|(otlp, _)| Exporter::Otlp(otlp)),
                Some("console") => Some(Exporter::Console),
                Some("none") => None,
                Some(other) => {
                    return Err(format!(
                        "{other:?} is not built in; use otlp, console or none"
                    ));
                }
            })
        });
        Some(TraceSettings {
            sampling: sampling?,
            exporter: exporter.flatten()?,
            batches: batches?,
            propagated: propagated?,
            attributes: attributes.clone(),
        })
    }

    fn batches(&self, faults: &mut Faults) -> Option<Batches> {
        let queue = self.bsp_queue.value(faults);
        let most = self.bsp_batch.value(faults);
        let delay = self.bsp_delay.value(faults);
        Some(Batches {
            queue: queue?.get(),
            most: most?.get(),
            delay: Duration::from_millis(delay?),
        })
    }

    /// Where spans go by OTLP, and whether somebody said so.
    fn otlp(&self, faults: &mut Faults) -> Option<(Otlp, bool)> {
        let endpoint = |given: &Given<Option<String>>, faults: &mut Faults| {
            given.checked(faults, |text| {
                text.map(|text| url(&text, &["http", "https"])).transpose()
            })
        };
        let of_all = endpoint(&self.otlp_endpoint, faults);
        let of_spans = endpoint(&self.otlp_traces_endpoint, faults);
        let built_in = |name: &str| match name {
            "http/protobuf" => Ok(()),
            _ => Err(format!("{name:?} is not built in; use http/protobuf")),
        };
        let optional = |name: Option<String>| name.map_or(Ok(()), |name| built_in(&name));
        self.otlp_protocol.checked(faults, |name| built_in(&name));
        self.otlp_traces_protocol.checked(faults, optional);
        let compression = self.otlp_compression.checked(faults, |name| is_gzip(&name));
        let own = self
            .otlp_traces_compression
            .checked(faults, |name| name.map(|name| is_gzip(&name)).transpose());
        let timeout = self.otlp_timeout.value(faults);
        let own_timeout = self.otlp_traces_timeout.value(faults);
        let headers = self.headers(faults);
        let given = of_spans?.or(of_all?.map(|endpoint| traces_below(&endpoint)));
        let is_set = given.is_some();
        let otlp = Otlp {
            endpoint: given.or_else(|| Url::parse(LOCAL).ok())?,
            headers: headers?,
            gzip: own?.or(compression)?,
            timeout: Duration::from_millis(own_timeout?.or(timeout)?.get() as u64),
        };
        Some((otlp, is_set))
    }

    /// Those of spans take the place of those of all exports.
    fn headers(&self, faults: &mut Faults) -> Option<Option<Secret<String>>> {
        let mut checked = |given: &Given<Option<Secret<String>>>| {
            given.checked(faults, |text| {
                let pairs = text.as_ref().map(|text| headers::pairs(text.expose()));
                pairs.transpose().map(|_| text)
            })
        };
        let (of_spans, of_all) = (
            checked(&self.otlp_traces_headers),
            checked(&self.otlp_headers),
        );
        Some(of_spans?.or(of_all?))
    }
}

fn is_gzip(name: &str) -> Result<bool, String> {
    match name {
        "gzip" => Ok(true),
        "none" => Ok(false),
        _ => Err(format!("{name:?} is not built in; use gzip or none")),
    }
}

/// Where spans go below an endpoint of all signals (OpenTelemetry, OTLP exporter, endpoint URLs).
fn traces_below(endpoint: &Url) -> Url {
    let mut url = endpoint.clone();
    let path = format!("{}/v1/traces", endpoint.path().trim_end_matches('/'));
    url.set_path(&path);
    url
}
