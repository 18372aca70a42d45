//! Sends the spans by OTLP over HTTP, on a thread of its own.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    thread::JoinHandle,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value},
    resource::v1::Resource,
    trace::v1::{ResourceSpans, ScopeSpans, Span, Status, span::SpanKind, status::StatusCode},
};
use prost::Message as _;
use serde::{Deserialize, Serialize};
use url::Url;

use super::{Sampled, SpanSink};
use crate::load::Outcome;

/// Requests that may wait to be exported.
const ROOM: usize = 4_096;
/// Requests of one export.
const BATCH: usize = 512;
/// The longest that one waits for others.
const DELAY: Duration = Duration::from_millis(500);
/// How long one export may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Bit of W3C Trace Context §3.2.2.5.
const SAMPLED: u32 = 1;

/// A thread that exports spans to a collector.
pub struct SpanExport {
    sender: SyncSender<Sampled>,
    lost: Arc<AtomicU64>,
    thread: JoinHandle<SpansSent>,
}

/// What became of the sampled requests.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpansSent {
    /// Requests whose spans the collector took.
    pub exported: u64,
    /// Requests whose spans it did not.
    pub lost: u64,
    /// Why not, of the last that were not taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
}

impl SpanExport {
    /// Begins. `collector` is where it takes OTLP over HTTP, such as `http://127.0.0.1:4318`.
    ///
    /// # Errors
    ///
    /// The operating system gives no thread.
    pub fn start(collector: &Url) -> std::io::Result<Self> {
        let (sender, sampled) = sync_channel(ROOM);
        let mut url = collector.clone();
        let path = format!("{}/v1/traces", collector.path().trim_end_matches('/'));
        url.set_path(&path);
        let exporter = Exporter::new(url);
        let thread = std::thread::Builder::new().name("span-export".to_owned());
        Ok(Self {
            sender,
            lost: Arc::default(),
            thread: thread.spawn(move || exporter.run(&sampled))?,
        })
    }

    /// Where the requests of a run are told of.
    #[must_use]
    pub fn sink(&self) -> SpanSink {
        SpanSink {
            sender: self.sender.clone(),
            lost: Arc::clone(&self.lost),
        }
    }

    /// Exports what is left, once no sink is left.
    #[must_use]
    pub fn finish(self) -> SpansSent {
        drop(self.sender);
        let mut sent = self.thread.join().unwrap_or_default();
        sent.lost += self.lost.load(Ordering::Relaxed);
        sent
    }
}

/// Both clocks at one moment: spans have times of the wall clock.
struct Exporter {
    url: Url,
    wall: SystemTime,
    monotonic: Instant,
    sent: SpansSent,
}

impl Exporter {
    fn new(url: Url) -> Self {
        Self {
            url,
            wall: SystemTime::now(),
            monotonic: Instant::now(),
            sent: SpansSent::default(),
        }
    }

    fn run(mut self, sampled: &Receiver<Sampled>) -> SpansSent {
        let client = reqwest::blocking::Client::builder()
            .timeout(TIMEOUT)
            .no_proxy()
            .build();
        let mut batch = Vec::new();
        let mut due = Instant::now() + DELAY;
        loop {
            let wait = due.saturating_duration_since(Instant::now());
            let ended = match sampled.recv_timeout(wait) {
                Ok(one) => {
                    batch.push(one);
                    false
                }
                Err(RecvTimeoutError::Timeout) => false,
                Err(RecvTimeoutError::Disconnected) => true,
            };
            if batch.len() >= BATCH || ended || Instant::now() >= due {
                if !batch.is_empty() {
                    let batch = std::mem::take(&mut batch);
                    self.export(client.as_ref(), &batch);
                }
                due = Instant::now() + DELAY;
            }
            if ended {
                return self.sent;
            }
        }
    }

    fn export(
        &mut self,
        client: Result<&reqwest::blocking::Client, &reqwest::Error>,
        batch: &[Sampled],
    ) {
        let body = self.request(batch).encode_to_vec();
        let answer = client.map_err(ToString::to_string).and_then(|client| {
            let request = client.post(self.url.clone());
            let request = request.header("content-type", "application/x-protobuf");
            let answer = request.body(body).send();
            let answer = answer.and_then(reqwest::blocking::Response::error_for_status);
            answer.map_err(|error| error.without_url().to_string())
        });
        match answer {
            Ok(_) => self.sent.exported += batch.len() as u64,
            Err(fault) => {
                self.sent.lost += batch.len() as u64;
                self.sent.fault = Some(fault);
            }
        }
    }

    fn request(&self, batch: &[Sampled]) -> ExportTraceServiceRequest {
        let spans = batch.iter().flat_map(|one| self.spans(one));
        let attributes = vec![
            text("service.name", "loadtest"),
            text("service.namespace", "statewise"),
            text("service.version", env!("CARGO_PKG_VERSION")),
            text("service.instance.id", &std::process::id().to_string()),
        ];
        ExportTraceServiceRequest {
            resource_spans: vec![ResourceSpans {
                resource: Some(Resource {
                    attributes,
                    ..Resource::default()
                }),
                scope_spans: vec![ScopeSpans {
                    scope: Some(InstrumentationScope {
                        name: "statewise".to_owned(),
                        ..InstrumentationScope::default()
                    }),
                    spans: spans.collect(),
                    ..ScopeSpans::default()
                }],
                ..ResourceSpans::default()
            }],
        }
    }

    fn spans(&self, one: &Sampled) -> [Span; 3] {
        let Sampled { ids, target, .. } = one;
        let trace_id: Vec<u8> = ids
            .trace
            .iter()
            .flat_map(|half| half.to_be_bytes())
            .collect();
        let (root, wait) = (other(ids.span, 1), other(ids.span, 2));
        let span = |id: u64, parent: Option<u64>, name: &str, kind: SpanKind, from, until| Span {
            trace_id: trace_id.clone(),
            span_id: id.to_be_bytes().to_vec(),
            parent_span_id: parent.map_or_else(Vec::new, |id| id.to_be_bytes().to_vec()),
            flags: SAMPLED,
            name: name.to_owned(),
            kind: kind.into(),
            start_time_unix_nano: self.nanos(from),
            end_time_unix_nano: self.nanos(until),
            ..Span::default()
        };
        let internal = SpanKind::Internal;
        let mut whole = span(root, None, "request", internal, one.due, one.ended);
        let waited = span(
            wait,
            Some(root),
            "wait for a connection",
            internal,
            one.due,
            one.sent,
        );
        let mut sent = span(
            ids.span,
            Some(root),
            &target.method,
            SpanKind::Client,
            one.sent,
            one.ended,
        );
        sent.attributes = vec![
            text("http.request.method", &target.method),
            text("url.full", &target.url),
            text("server.address", &target.address),
            number("server.port", i64::from(target.port)),
        ];
        if let Outcome::Status(status) = one.outcome {
            let attribute = number("http.response.status_code", i64::from(status));
            sent.attributes.push(attribute);
        }
        // To who asked for it a refusal is an error (semantic conventions for HTTP spans).
        let failed = !matches!(one.outcome, Outcome::Status(..400));
        if failed {
            for span in [&mut whole, &mut sent] {
                let attribute = text("error.type", &one.outcome.to_string());
                span.attributes.push(attribute);
                span.status = Some(Status {
                    code: StatusCode::Error.into(),
                    ..Status::default()
                });
            }
        }
        [whole, waited, sent]
    }

    /// What the wall clock showed at a moment, since the epoch.
    fn nanos(&self, at: Instant) -> u64 {
        let shown = match at.checked_duration_since(self.monotonic) {
            Some(later) => self.wall + later,
            None => self.wall - self.monotonic.duration_since(at),
        };
        let since = shown.duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    }
}

/// The id of another span of the same request.
fn other(span: u64, number: u64) -> u64 {
    // Never 0, which is none, and never the one itself.
    (span ^ (number << 62)).max(1)
}

fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, Value::StringValue(value.to_owned()))
}

fn number(key: &str, value: i64) -> KeyValue {
    attribute(key, Value::IntValue(value))
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}
