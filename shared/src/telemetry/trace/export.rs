//! Who gets the spans, and what becomes of those that nobody takes: they are counted, and the log says
//! once why.

use std::{
    io::{self, Write},
    net::{TcpStream, ToSocketAddrs},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use opentelemetry::Context;
use opentelemetry_sdk::{
    Resource,
    error::{OTelSdkError, OTelSdkResult},
    trace::{BatchConfigBuilder, BatchSpanProcessor, Span, SpanData, SpanExporter, SpanProcessor},
};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};
use url::Url;

use super::{
    TraceSettings,
    exporter::{ExporterError, Otlp},
};
use crate::telemetry::outage::{Observer, Outage};

/// The port that collectors have for OTLP over gRPC.
const GRPC_PORT: u16 = 4317;
/// How long somebody who does not take spans may take to say whether he is there.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);

/// Who gets the spans.
#[derive(Clone, Debug)]
pub enum Exporter {
    /// A collector.
    Otlp(Otlp),
    /// Whoever reads standard output.
    Console,
}

/// How spans are put together for an export.
#[derive(Clone, Copy, Debug)]
pub struct Batches {
    /// Spans that may wait; more are dropped.
    pub queue: usize,
    /// Spans of one export, at most.
    pub most: usize,
    /// The longest that one waits for others.
    pub delay: Duration,
}

/// What became of the spans.
#[derive(Clone, Debug)]
pub(super) struct Losses {
    exported: Counter,
    lost: Family<Lost, Counter>,
    /// Those of them that there was no room for.
    queue_full: Counter,
    /// Those of them that nobody took.
    not_taken: Counter,
    /// Ended and not yet handed to the exporter.
    waiting: Arc<AtomicUsize>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Lost {
    reason: &'static str,
}

impl Default for Losses {
    fn default() -> Self {
        let lost = Family::<Lost, Counter>::default();
        let of = |reason| lost.get_or_create_owned(&Lost { reason });
        Self {
            exported: Counter::default(),
            queue_full: of("queue_full"),
            not_taken: of("not_taken"),
            lost,
            waiting: Arc::default(),
        }
    }
}

impl Losses {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "statewise_spans_exported",
            "Spans that were taken",
            self.exported.clone(),
        );
        registry.register(
            "statewise_spans_lost",
            "Spans that were not: too many waited, or nobody took them",
            self.lost.clone(),
        );
    }
}

/// Batches of spans for the exporter of the settings, on a thread of their own.
pub(super) fn processor(
    settings: &TraceSettings,
    losses: &Losses,
) -> Result<impl SpanProcessor + use<>, ExporterError> {
    let batches = settings.batches;
    let config = BatchConfigBuilder::default()
        .with_max_queue_size(batches.queue)
        .with_max_export_batch_size(batches.most.min(batches.queue))
        .with_scheduled_delay(batches.delay)
        .build();
    let processor = match &settings.exporter {
        Exporter::Otlp(otlp) => {
            let watched = Watched::new(otlp.exporter()?, Some(&otlp.endpoint), losses);
            BatchSpanProcessor::new(watched, config)
        }
        Exporter::Console => BatchSpanProcessor::new(Watched::new(Console, None, losses), config),
    };
    Ok(Bounded {
        processor,
        most: batches.queue,
        losses: losses.clone(),
    })
}

/// Drops what the batches have no room for. They would themselves, but would not say how much.
#[derive(Debug)]
struct Bounded {
    processor: BatchSpanProcessor,
    most: usize,
    losses: Losses,
}

impl SpanProcessor for Bounded {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.processor.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        let waiting = &self.losses.waiting;
        if waiting.fetch_add(1, Ordering::Relaxed) >= self.most {
            waiting.fetch_sub(1, Ordering::Relaxed);
            self.losses.queue_full.inc();
        } else {
            self.processor.on_end(span);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.processor.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.processor.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.processor.set_resource(resource);
    }
}

/// An exporter of which is known what it took.
#[derive(Debug)]
struct Watched<E> {
    exporter: E,
    /// Host and port of the collector.
    collector: Option<(String, u16)>,
    losses: Losses,
    observer: Observer,
}

impl<E> Watched<E> {
    fn new(exporter: E, endpoint: Option<&Url>, losses: &Losses) -> Self {
        let collector = endpoint.and_then(|url| {
            let host = url.host_str()?.trim_matches(['[', ']']);
            Some((host.to_owned(), url.port_or_known_default()?))
        });
        let place = match endpoint {
            // Not all of it, which may hold a password.
            Some(url) => format!("{}{}", url.origin().ascii_serialization(), url.path()),
            None => "standard output".to_owned(),
        };
        Self {
            exporter,
            collector,
            losses: losses.clone(),
            observer: Outage::of(format!("the collector of spans at {place}")).observer(),
        }
    }
}

impl<E: SpanExporter> SpanExporter for Watched<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let count = batch.len();
        self.losses.waiting.fetch_sub(count, Ordering::Relaxed);
        let outcome = self.exporter.export(batch).await;
        match &outcome {
            Ok(()) => {
                self.losses.exported.inc_by(count as u64);
                self.observer.recovered();
            }
            Err(error) => {
                self.losses.not_taken.inc_by(count as u64);
                let reason = match &self.collector {
                    Some((host, port)) => likely_cause(error, host, *port),
                    None => error.to_string(),
                };
                self.observer.failed(&reason);
            }
        }
        outcome
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn shutdown(&self) -> OTelSdkResult {
        self.exporter.shutdown()
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

/// What the exporter says is no more than that it did not work, so somebody else looks.
fn likely_cause(error: &OTelSdkError, host: &str, port: u16) -> String {
    let advice = if port == GRPC_PORT {
        "; 4317 is the port of OTLP over gRPC, which is not spoken here: over HTTP it is usually 4318"
    } else {
        ""
    };
    match connect(host, port) {
        Err(error) => format!("no connection: {error}{advice}"),
        Ok(()) => format!("somebody is there and did not take them: {error}{advice}"),
    }
}

fn connect(host: &str, port: u16) -> io::Result<()> {
    let mut last = io::Error::other("the name has no address");
    for address in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, CONNECT_TIMEOUT) {
            Ok(_) => return Ok(()),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// A line for each span on standard output.
#[derive(Debug)]
struct Console;

impl SpanExporter for Console {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let written = batch.iter().try_for_each(|span| {
            let context = &span.span_context;
            let took = span.end_time.duration_since(span.start_time);
            let mut line = format!(
                "trace={} span={} parent={} {:?} {:?} {:?} {:?}",
                context.trace_id(),
                context.span_id(),
                span.parent_span_id,
                span.span_kind,
                span.name,
                took.unwrap_or_default(),
                span.status,
            );
            for attribute in &span.attributes {
                line.push_str(&format!(
                    " {}={:?}",
                    attribute.key,
                    attribute.value.as_str()
                ));
            }
            writeln!(io::stdout(), "{line}")
        });
        written.map_err(|error| OTelSdkError::InternalFailure(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_likely_cause_is_named() {
        let error = OTelSdkError::InternalFailure("network error".to_owned());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let cause = likely_cause(&error, "127.0.0.1", port);
        assert!(cause.contains("somebody is there"), "{cause}");
        assert!(!cause.contains("gRPC"), "{cause}");
        drop(listener);
        let cause = likely_cause(&error, "127.0.0.1", port);
        assert!(cause.contains("no connection"), "{cause}");
        // Nobody listens on the first port of this network.
        let cause = likely_cause(&error, "127.255.255.254", GRPC_PORT);
        assert!(cause.contains("over HTTP it is usually 4318"), "{cause}");
    }
}
