//! A receiver of spans over OTLP/HTTP with protobuf bodies, and the tree that they form.

use std::{
    collections::{BTreeMap, HashSet},
    io::{BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    sync::{Arc, Mutex, PoisonError},
};

use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{KeyValue, any_value::Value},
    trace::v1::{ResourceSpans, span::SpanKind},
};
use prost::Message;

/// One span as it was exported.
#[derive(Clone, Debug)]
pub struct Span {
    /// `service.name` of the process that made it.
    pub service: String,
    /// What is said of the process, as text.
    pub resource: BTreeMap<String, String>,
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: SpanKind,
    /// Trace id in hexadecimal.
    pub trace_id: String,
    /// Its own id in hexadecimal.
    pub id: String,
    /// Id of the span above it; empty for a root.
    pub parent: String,
    /// Attributes as text.
    pub attributes: BTreeMap<String, String>,
    /// Whether its status is an error.
    pub failed: bool,
    /// What happened within it: names, and attributes as text.
    pub events: Vec<(String, BTreeMap<String, String>)>,
    /// Ids of the spans of other requests that it is linked with.
    pub links: Vec<String>,
    /// `Authorization` of the request that it was exported with; empty without one.
    pub authorization: String,
    /// How that request was compressed; empty: not at all.
    pub encoding: String,
}

/// Collects what is exported to [`Receiver::endpoint`].
pub struct Receiver {
    /// Value for `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub endpoint: String,
    spans: Arc<Mutex<Vec<Span>>>,
}

impl Receiver {
    /// Begins to listen.
    ///
    /// # Panics
    ///
    /// There is no free port.
    #[must_use]
    pub fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
        let address = listener.local_addr().expect("a listener has an address");
        let spans = Arc::new(Mutex::new(Vec::new()));
        let collected = Arc::clone(&spans);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let collected = Arc::clone(&collected);
                std::thread::spawn(move || receive(&stream, &collected));
            }
        });
        Self {
            endpoint: format!("http://{address}"),
            spans,
        }
    }

    /// All spans so far.
    #[must_use]
    pub fn all(&self) -> Vec<Span> {
        self.spans
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The spans of one trace so far.
    #[must_use]
    pub fn trace(&self, trace_id: &str) -> Vec<Span> {
        let mut spans = self.all();
        spans.retain(|span| span.trace_id == trace_id);
        spans
    }
}

/// Serves one connection of an exporter until it closes or sends what is not OTLP.
fn receive(stream: &TcpStream, collected: &Mutex<Vec<Span>>) {
    let mut reader = BufReader::new(stream);
    let mut writer = stream;
    while let Some(request) = Request::read(&mut reader) {
        let Ok(exported) = ExportTraceServiceRequest::decode(request.body.as_slice()) else {
            return;
        };
        let spans = exported.resource_spans.iter();
        let spans = spans.flat_map(|resource| of_resource(resource, &request));
        collected
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(spans);
        let answer =
            b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n";
        if writer.write_all(answer).is_err() {
            return;
        }
    }
}

/// What matters of an export.
#[derive(Default)]
struct Request {
    authorization: String,
    encoding: String,
    body: Vec<u8>,
}

impl Request {
    /// The next one; `None` at the end, or when it is not one that we understand.
    fn read(reader: &mut impl BufRead) -> Option<Self> {
        let mut length = 0;
        let mut request = Self::default();
        let mut line = String::new();
        loop {
            line.clear();
            if reader.read_line(&mut line).ok()? == 0 {
                return None;
            }
            let Some((name, value)) = line.trim().split_once(':') else {
                // The request line has none before its path.
                if line.trim().is_empty() {
                    break;
                }
                continue;
            };
            let value = value.trim();
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.parse().ok()?,
                "authorization" => value.clone_into(&mut request.authorization),
                "content-encoding" => value.clone_into(&mut request.encoding),
                _ => {}
            }
        }
        request.body = vec![0; length];
        reader.read_exact(&mut request.body).ok()?;
        if request.encoding == "gzip" {
            let mut body = Vec::new();
            let mut compressed = flate2::read::GzDecoder::new(request.body.as_slice());
            compressed.read_to_end(&mut body).ok()?;
            request.body = body;
        }
        Some(request)
    }
}

fn of_resource<'a>(
    resource: &'a ResourceSpans,
    request: &'a Request,
) -> impl Iterator<Item = Span> + 'a {
    let process = resource.resource.as_ref();
    let process = process
        .map(|one| texts(&one.attributes))
        .unwrap_or_default();
    let service = process.get("service.name").cloned().unwrap_or_default();
    let scopes = resource.scope_spans.iter();
    scopes.flat_map(|scope| &scope.spans).map(move |span| Span {
        service: service.clone(),
        resource: process.clone(),
        name: span.name.clone(),
        kind: span.kind(),
        trace_id: hexadecimal(&span.trace_id),
        id: hexadecimal(&span.span_id),
        parent: hexadecimal(&span.parent_span_id),
        attributes: texts(&span.attributes),
        failed: span.status.as_ref().is_some_and(|status| status.code == 2),
        events: span
            .events
            .iter()
            .map(|event| (event.name.clone(), texts(&event.attributes)))
            .collect(),
        links: span
            .links
            .iter()
            .map(|link| hexadecimal(&link.span_id))
            .collect(),
        authorization: request.authorization.clone(),
        encoding: request.encoding.clone(),
    })
}

fn texts(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |attribute: &KeyValue| {
        let value = attribute.value.as_ref().and_then(|any| any.value.as_ref());
        match value {
            Some(Value::StringValue(text)) => text.clone(),
            Some(Value::IntValue(number)) => number.to_string(),
            Some(Value::BoolValue(truth)) => truth.to_string(),
            Some(Value::DoubleValue(number)) => number.to_string(),
            other => format!("{other:?}"),
        }
    };
    attributes
        .iter()
        .map(|attribute| (attribute.key.clone(), text(attribute)))
        .collect()
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The tree as indented lines, children in the order of their names: `service KIND name`.
///
/// # Panics
///
/// A span names a parent that is not among `spans` and is not `root`, or is not reached from it.
#[must_use]
#[track_caller]
pub fn tree(spans: &[Span], root: &str) -> String {
    let ids: HashSet<&str> = spans.iter().map(|span| span.id.as_str()).collect();
    for span in spans {
        let known = span.parent == root || ids.contains(span.parent.as_str());
        assert!(known, "an orphan: {span:?}");
    }
    let mut lines = Vec::new();
    below(spans, root, 0, &mut lines);
    assert_eq!(
        lines.len(),
        spans.len(),
        "a span is not reached from the root"
    );
    lines.join("\n")
}

fn below(spans: &[Span], parent: &str, depth: usize, lines: &mut Vec<String>) {
    let mut children: Vec<&Span> = spans.iter().filter(|span| span.parent == parent).collect();
    children.sort_by(|a, b| a.name.cmp(&b.name));
    for child in children {
        let kind = child.kind.as_str_name().trim_start_matches("SPAN_KIND_");
        lines.push(format!(
            "{}{} {kind} {}",
            "  ".repeat(depth),
            child.service,
            child.name
        ));
        below(spans, &child.id, depth + 1, lines);
    }
}
