//! Feature `web`: an actix-web service from its listener to its drain.
//!
//! [`serve`] adds to a service's own routes what every service has: `GET /healthz`, `/readyz` and
//! `/metrics`, a span and a histogram observation for each request, problem bodies for what the
//! framework refuses, and a drain in the order not ready → wait → finish.

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
    http::header,
    middleware::{Next, from_fn},
    web,
};
use serde::Serialize;

use crate::{
    openapi,
    problem::Problem,
    shutdown::{CancellationToken, Drain},
    telemetry::{
        metrics::{self, Metrics},
        trace::{TraceHandle, Tracing},
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

/// What one thing that answers depend on says of itself: its name and why it is missing.
#[derive(Clone, Debug, Serialize)]
pub struct Missing {
    /// What is missing, such as `redis` or `jwks`.
    pub name: &'static str,
    /// Why, as far as an operator may see it without credentials.
    pub reason: String,
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

/// Serves until `shutdown` is cancelled and the drain is over.
///
/// `worker` is called once on each worker thread, inside its runtime, so that a connection made
/// there is driven by the thread that uses it.
///
/// # Errors
///
/// The listener cannot be used.
pub async fn serve<F>(
    listener: TcpListener,
    settings: ServerSettings,
    tracing: Tracing,
    metrics: Metrics,
    shutdown: CancellationToken,
    worker: F,
) -> std::io::Result<()>
where
    F: Fn() -> Worker + Clone + Send + 'static,
{
    let draining = Arc::new(AtomicBool::new(false));
    let observer = Observer {
        tracing: tracing.clone(),
        metrics,
        draining: Arc::clone(&draining),
    };
    let server = HttpServer::new(move || {
        let Worker { routes, readiness } = worker();
        let health = Health {
            readiness,
            draining: Arc::clone(&observer.draining),
            metrics: observer.metrics.clone(),
        };
        App::new()
            .app_data(web::Data::new(observer.clone()))
            .app_data(web::Data::new(health))
            .app_data(json_config())
            .wrap(from_fn(observe))
            .service(
                resource("/healthz", READ_ONLY)
                    .route(web::get().to(healthz))
                    .route(web::head().to(healthz)),
            )
            .service(
                resource("/readyz", READ_ONLY)
                    .route(web::get().to(readyz))
                    .route(web::head().to(readyz)),
            )
            .service(
                resource("/metrics", READ_ONLY)
                    .route(web::get().to(render_metrics))
                    .route(web::head().to(render_metrics)),
            )
            .configure(routes)
            .default_service(web::to(not_found))
    })
    .workers(settings.workers)
    .shutdown_timeout(settings.drain.timeout.as_secs().max(1))
    .disable_signals()
    .listen(listener)?
    .run();

    let handle = server.handle();
    let drain = tokio::spawn(async move {
        shutdown.cancelled().await;
        draining.store(true, Ordering::Relaxed);
        tokio::time::sleep(settings.drain.grace).await;
        handle.stop(true).await;
    });
    let outcome = server.await;
    drain.abort();
    let flush = tokio::task::spawn_blocking(move || tracing.flush(settings.drain.timeout));
    // The flush has its own deadline; a panic in it must not hide how the server ended.
    drop(flush.await);
    outcome
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

struct Health {
    readiness: Readiness,
    draining: Arc<AtomicBool>,
    metrics: Metrics,
}

async fn observe(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    let started = Instant::now();
    let observer = request
        .app_data::<web::Data<Observer>>()
        .cloned()
        .ok_or_else(Problem::internal)?;
    let method = metrics::method_label(request.method().as_str());
    let mut span = observer
        .tracing
        .server_span(method, |name| request.headers().get(name)?.to_str().ok());
    let recording = span.is_recording();
    if let Some(handle) = span.handle() {
        request.extensions_mut().insert(handle);
        span.set("http.request.method", method);
        span.set("url.path", request.path().to_owned());
        span.set("url.scheme", request.connection_info().scheme().to_owned());
        span.set(
            "network.protocol.version",
            protocol_version(request.version()),
        );
        let local = request.app_config().local_addr();
        span.set("server.address", local.ip().to_string());
        span.set("server.port", i64::from(local.port()));
        if let Some(peer) = request.peer_addr() {
            span.set("network.peer.address", peer.ip().to_string());
        }
        if let Some(agent) = request.headers().get(header::USER_AGENT)
            && let Ok(agent) = agent.to_str()
        {
            span.set("user_agent.original", agent.to_owned());
        }
    }

    let mut response = next.call(request).await?;

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
        .observe_request(method, route, status, started.elapsed());
    Ok(response)
}

fn protocol_version(version: actix_web::http::Version) -> &'static str {
    if version == actix_web::http::Version::HTTP_10 {
        "1.0"
    } else {
        "1.1"
    }
}

fn json_config() -> web::JsonConfig {
    web::JsonConfig::default()
        .limit(JSON_LIMIT_BYTES)
        .error_handler(|error, _| {
            let problem = match &error {
                JsonPayloadError::Overflow { limit }
                | JsonPayloadError::OverflowKnownLength { limit, .. } => Problem::too_large(*limit),
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

async fn healthz() -> HttpResponse {
    HttpResponse::Ok().json(serde_json::json!({"status": "alive"}))
}

async fn readyz(health: web::Data<Health>) -> Result<HttpResponse, Problem> {
    let mut missing = (health.readiness)().await;
    if health.draining.load(Ordering::Relaxed) {
        missing.push(Missing {
            name: "server",
            reason: "draining".to_owned(),
        });
    }
    if missing.is_empty() {
        return Ok(HttpResponse::Ok().json(serde_json::json!({"status": "ready"})));
    }
    let list: Vec<String> = missing
        .iter()
        .map(|missing| format!("{}: {}", missing.name, missing.reason))
        .collect();
    Err(
        Problem::unavailable("not-ready", "Something needed to answer is missing")
            .detail(list.join("; ")),
    )
}

async fn render_metrics(health: web::Data<Health>) -> HttpResponse {
    HttpResponse::Ok()
        .content_type(metrics::CONTENT_TYPE)
        .body(health.metrics.render())
}

async fn not_found() -> Result<HttpResponse, Problem> {
    Err(Problem::not_found())
}
