//! Feature `web`: an actix-web service from its listener to its drain.
//!
//! [`serve`] adds to a service's own routes what every service has: `GET /healthz`, `/readyz` and
//! `/metrics`, a span and a histogram observation for each request, problem bodies for what the
//! framework refuses, and a drain in the order not ready → wait → finish. Operators may have a
//! listener of their own ([`Listeners`]).

mod body;
mod operations;
mod spans;

use std::{
    borrow::Cow,
    net::TcpListener,
    pin::Pin,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use actix_web::{
    App, HttpMessage, HttpResponse, HttpServer,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    error::{InternalError, JsonPayloadError},
    middleware::{Next, from_fn},
    web,
};

pub use self::body::is_late;
use self::{
    operations::Operations,
    spans::{describe_request, lines},
};
use crate::{
    openapi,
    problem::Problem,
    resources,
    shutdown::{Drain, Shutdown},
    telemetry::{
        metrics::{self, Metrics},
        trace::{Span, TraceHandle, Tracing, Unasked},
    },
};

/// The largest JSON body that is read, in bytes. Logins and small documents fit many times over.
pub const JSON_LIMIT_BYTES: usize = 16 * 1024;

/// What a path that is only read lets through.
const READ_ONLY: &str = "GET, HEAD";

/// How the server runs.
#[derive(Clone, Copy, Debug)]
pub struct ServerSettings {
    /// Number of worker threads.
    pub workers: usize,
    /// Deadlines of the drain.
    pub drain: Drain,
}

/// The open sockets of a service.
#[derive(Debug)]
pub struct Listeners {
    /// Where callers come in.
    pub public: TcpListener,
    /// Where operators come in, for `/readyz` and `/metrics`. Without it they use the public one;
    /// with it the public one has only `/healthz` of theirs.
    pub admin: Option<TcpListener>,
}

impl From<TcpListener> for Listeners {
    fn from(public: TcpListener) -> Self {
        Self {
            public,
            admin: None,
        }
    }
}

/// What one thing that answers depend on says of itself: its name and why it is missing.
#[derive(Clone, Debug)]
pub struct Missing {
    /// What is missing, such as `redis` or `jwks`.
    pub name: &'static str,
    /// Why, as far as an operator may see it without credentials.
    pub reason: String,
    /// Whether the service is ready all the same: what it is for is done, if not all of it.
    pub ready: bool,
}

impl Missing {
    /// What the service is not ready without.
    #[must_use]
    pub fn needed(name: &'static str, reason: impl Into<String>) -> Self {
        Self {
            name,
            reason: reason.into(),
            ready: false,
        }
    }

    /// What the service is ready without, though not for everything.
    #[must_use]
    pub fn degrading(name: &'static str, reason: impl Into<String>) -> Self {
        Self {
            ready: true,
            ..Self::needed(name, reason)
        }
    }
}

/// Answers `GET /readyz`: everything that is missing to answer requests now.
pub type Readiness = Rc<dyn Fn() -> Pin<Box<dyn Future<Output = Vec<Missing>>>>>;

/// What one worker thread is given: its routes and its readiness check.
pub struct Worker {
    /// Adds the service's routes and state.
    pub routes: Box<dyn FnOnce(&mut web::ServiceConfig)>,
    /// Says what is missing.
    pub readiness: Readiness,
}

/// Serves until `shutdown` has begun and the drain is over.
///
/// `worker` is called once on each worker thread, inside its runtime, so that a connection made
/// there is driven by the thread that uses it; and once more for the admin listener, which has a
/// thread of its own, so that operators get an answer while every worker is busy.
///
/// # Errors
///
/// A listener cannot be used.
pub async fn serve<F>(
    listeners: impl Into<Listeners>,
    settings: ServerSettings,
    tracing: Tracing,
    metrics: Metrics,
    shutdown: impl Into<Shutdown>,
    worker: F,
) -> std::io::Result<()>
where
    F: Fn() -> Worker + Clone + Send + 'static,
{
    let Listeners { public, admin } = listeners.into();
    let shutdown = shutdown.into();
    let draining = Arc::new(AtomicBool::new(false));
    let operations = Operations {
        draining: Arc::clone(&draining),
        metrics: metrics.clone(),
        probes: Unasked::new(&tracing),
    };
    let observer = Observer {
        tracing: tracing.clone(),
        metrics,
        draining: Arc::clone(&draining),
    };
    operations.metrics.worker_threads(settings.workers);
    let apart = admin.is_some();
    let admin = admin
        .map(|listener| operations::serve(listener, operations.clone(), worker.clone()))
        .transpose()?;
    let memory = resources::memory_limit().map(|limit| limit.bytes);
    let files = resources::raise_open_files();
    let server = HttpServer::new(move || {
        let Worker { routes, readiness } = worker();
        let operations = operations.clone();
        App::new()
            .app_data(web::Data::new(observer.clone()))
            .app_data(json_config())
            .wrap(from_fn(observe))
            .configure(move |routes| {
                operations::health(routes);
                if !apart {
                    operations.configure(routes, readiness);
                }
            })
            .configure(routes)
            .default_service(web::to(not_found))
    })
    .workers(settings.workers)
    // The end of an answer that is written in pieces does not wait for the first to be acknowledged.
    .tcp_nodelay(true)
    .max_connections(connections_each(settings.workers, memory, files))
    .shutdown_timeout(settings.drain.timeout.as_secs().max(1))
    .disable_signals()
    .listen(public)?
    .run();

    let handle = server.handle();
    let spans = tracing.clone();
    let drained = async move {
        shutdown.begun().await;
        draining.store(true, Ordering::Relaxed);
        spans.begin_flush();
        shutdown.grace(settings.drain.grace).await;
        // actix looks only once a second whether its deadline is over, and waits for its threads
        // then; what is still open ends with the process.
        drop(tokio::time::timeout(settings.drain.timeout, handle.stop(true)).await);
    };
    let outcome = tokio::select! {
        outcome = server => outcome,
        () = drained => Ok(()),
    };
    if let Some(admin) = admin {
        admin.stop(false).await;
    }
    tracing.finish().await;
    outcome
}

/// Connections that each of so many workers may have open: all together take half of the `memory`
/// limit at most. More wait in the listen queue.
fn connections_each(workers: usize, memory: Option<u64>, files: Option<u64>) -> usize {
    /// One with a body of the largest size under way: up to 45 KiB were measured.
    const CONNECTION_BYTES: u64 = 48 * 1024;
    /// What the framework takes without a limit.
    const MOST: u64 = 25_600;
    const FEWEST: u64 = 16;
    let all = [memory.map(|bytes| bytes / 2 / CONNECTION_BYTES), files];
    let all = all.into_iter().flatten().min();
    let each = all.map_or(MOST, |all| all / workers.max(1) as u64);
    usize::try_from(each.clamp(FEWEST, MOST)).unwrap_or(usize::MAX)
}

/// A resource that answers other methods than its own with 405 and the list of its own.
#[must_use]
pub fn resource(path: &str, allow: &'static str) -> actix_web::Resource {
    web::resource(path).default_service(web::to(move || async move {
        Err::<HttpResponse, _>(Problem::method_not_allowed(allow))
    }))
}

/// Serves a service's description of itself.
pub fn describe(routes: &mut web::ServiceConfig, document: String) {
    let document = web::Bytes::from(document);
    let answer = move || {
        let document = document.clone();
        async move {
            HttpResponse::Ok()
                .content_type("application/json")
                .body(document)
        }
    };
    routes.service(
        resource(openapi::PATH, READ_ONLY)
            .route(web::get().to(answer.clone()))
            .route(web::head().to(answer)),
    );
}

/// The trace of the request, for spans below it; `None` when the request is not recorded.
#[must_use]
pub fn trace_of(request: &impl HttpMessage) -> Option<TraceHandle> {
    request.extensions().get::<TraceHandle>().cloned()
}

#[derive(Clone)]
struct Observer {
    tracing: Tracing,
    metrics: Metrics,
    draining: Arc<AtomicBool>,
}

async fn observe(
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    let started = Instant::now();
    let observer = request
        .app_data::<web::Data<Observer>>()
        .cloned()
        .ok_or_else(Problem::internal)?;
    let method = metrics::method_label(request.method().as_str());
    let mut span = if operations::are_asked(request.path()) {
        Span::silent()
    } else {
        observer
            .tracing
            .server_span(method, |name| lines(request.request(), name))
    };
    let recording = span.is_recording();
    if let Some(handle) = span.handle() {
        describe_request(&mut span, method, request.request());
        request.extensions_mut().insert(handle);
    }

    body::limit_time(&mut request);
    let mut response = next.call(request).await?;
    body::close_after(&mut response);

    let route = match response.request().match_pattern() {
        Some(route) => Cow::Owned(route),
        None => Cow::Borrowed("unmatched"),
    };
    let status = response.status().as_u16();
    if recording {
        if route != "unmatched" {
            span.rename(format!("{method} {route}"));
            span.set("http.route", route.to_string());
        }
        span.set("http.response.status_code", i64::from(status));
        if status >= 500 {
            span.fail(status.to_string());
        }
        tracing::debug!(
            trace_id = span.trace_id(),
            method, %route, status,
            "answered"
        );
    }
    if observer.draining.load(Ordering::Relaxed) {
        // The gateway then opens its next connection elsewhere instead of finding this one closed.
        response
            .response_mut()
            .head_mut()
            .set_connection_type(actix_web::http::ConnectionType::Close);
    }
    observer
        .metrics
        .request_histogram(method, route, status)
        .observe(started.elapsed(), span.trace_id());
    Ok(response)
}

fn json_config() -> web::JsonConfig {
    web::JsonConfig::default()
        .limit(JSON_LIMIT_BYTES)
        .error_handler(|error, _| {
            let problem = match &error {
                JsonPayloadError::Overflow { limit }
                | JsonPayloadError::OverflowKnownLength { limit, .. } => Problem::too_large(*limit),
                JsonPayloadError::Payload(error) if is_late(error) => Problem::request_timeout(),
                JsonPayloadError::ContentType => {
                    Problem::unsupported_media_type("application/json")
                }
                JsonPayloadError::Deserialize(reason) => {
                    Problem::bad_request(format!("The body is not the expected JSON: {reason}"))
                }
                _ => Problem::bad_request("The body could not be read"),
            };
            InternalError::from_response(error, actix_web::ResponseError::error_response(&problem))
                .into()
        })
}

async fn not_found() -> Result<HttpResponse, Problem> {
    Err(Problem::not_found())
}

#[cfg(test)]
mod tests {
    use super::connections_each;

    #[test]
    fn connections_take_half_of_the_memory_and_no_more_files_than_there_are() {
        let mib = |number: u64| Some(number << 20);
        assert_eq!(connections_each(2, None, None), 25_600);
        assert_eq!(connections_each(2, mib(96), Some(1 << 20)), 512);
        assert_eq!(connections_each(4, mib(96), None), 256);
        assert_eq!(connections_each(1, mib(8192), Some(1024)), 1024);
        assert_eq!(connections_each(8, mib(1), None), 16);
    }
}
