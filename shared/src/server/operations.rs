//! What operators ask a service: `/healthz`, `/readyz` and `/metrics`.

use std::{
    net::TcpListener,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, dev::ServerHandle, web};

use super::{
    Missing, READ_ONLY, Readiness, Worker, not_found, resource,
    spans::{describe_request, lines},
};
use crate::{
    openapi::Health,
    problem::Problem,
    telemetry::{
        metrics::{self, Metrics},
        trace::Unasked,
    },
};

const HEALTHZ: &str = "/healthz";
const READYZ: &str = "/readyz";
const METRICS: &str = "/metrics";

/// Whether it is this that a request asks for: machines do, again and again.
pub(super) fn are_asked(path: &str) -> bool {
    matches!(path, HEALTHZ | READYZ | METRICS)
}

/// What all threads share of it.
#[derive(Clone)]
pub(super) struct Operations {
    pub(super) draining: Arc<AtomicBool>,
    pub(super) metrics: Metrics,
    /// The answers to `/readyz`.
    pub(super) probes: Unasked,
}

/// What a thread answers by.
struct Asked {
    operations: Operations,
    readiness: Readiness,
}

/// Adds `/healthz`, which says that the process lives and nothing else.
pub(super) fn health(routes: &mut web::ServiceConfig) {
    routes.service(
        resource(HEALTHZ, READ_ONLY)
            .route(web::get().to(healthz))
            .route(web::head().to(healthz)),
    );
}

impl Operations {
    /// Adds what says how the service is.
    pub(super) fn configure(self, routes: &mut web::ServiceConfig, readiness: Readiness) {
        routes
            .app_data(web::Data::new(Asked {
                operations: self,
                readiness,
            }))
            .service(
                resource(READYZ, READ_ONLY)
                    .route(web::get().to(readyz))
                    .route(web::head().to(readyz)),
            )
            .service(
                resource(METRICS, READ_ONLY)
                    .route(web::get().to(render_metrics))
                    .route(web::head().to(render_metrics)),
            );
    }

    /// The span of a probe that found something missing.
    fn trace_failed(&self, request: &HttpRequest, began: Instant, missing: &str) {
        let Some(tracing) = self.probes.failed() else {
            return;
        };
        let method = metrics::method_label(request.method().as_str());
        let name = format!("{method} {READYZ}");
        let mut span = tracing.server_span_since(name, Some(began), |name| lines(request, name));
        if span.is_recording() {
            describe_request(&mut span, method, request);
            span.set("http.route", READYZ);
            span.set("http.response.status_code", 503_i64);
            span.set("statewise.readiness.missing", missing.to_owned());
            span.fail("503");
        }
    }
}

/// Serves operators on a listener and a thread of their own, until the handle is told to stop.
pub(super) fn serve<F>(
    listener: TcpListener,
    operations: Operations,
    worker: F,
) -> std::io::Result<ServerHandle>
where
    F: Fn() -> Worker + Clone + Send + 'static,
{
    let server = HttpServer::new(move || {
        let (operations, readiness) = (operations.clone(), worker().readiness);
        App::new()
            .configure(move |routes| {
                health(routes);
                operations.configure(routes, readiness);
            })
            .default_service(web::to(not_found))
    })
    .workers(1)
    .tcp_nodelay(true)
    .disable_signals()
    .listen(listener)?
    .run();
    let handle = server.handle();
    // It ends by the handle; the accepting thread is its own.
    tokio::spawn(server);
    Ok(handle)
}

async fn healthz() -> HttpResponse {
    HttpResponse::Ok().json(Health {
        status: "alive",
        degraded: Vec::new(),
    })
}

async fn readyz(request: HttpRequest, asked: web::Data<Asked>) -> Result<HttpResponse, Problem> {
    let began = Instant::now();
    let mut missing = (asked.readiness)().await;
    let answers = missing.iter().all(|missing| missing.ready);
    let ending = asked.operations.draining.load(Ordering::Relaxed);
    if ending {
        missing.push(Missing::needed("server", "draining"));
    }
    let names = missing.iter().map(|missing| missing.name);
    let ready = answers && !ending;
    asked.operations.metrics.note_readiness(ready, names);
    let list: Vec<String> = missing
        .iter()
        .map(|missing| format!("{}: {}", missing.name, missing.reason))
        .collect();
    if ending {
        // It was told to, which is no failure.
    } else if answers {
        asked.operations.probes.succeeded();
    } else {
        let missing = list.join("; ");
        asked.operations.trace_failed(&request, began, &missing);
    }
    match (answers, ending) {
        (true, false) => Ok(HttpResponse::Ok().json(Health {
            status: "ready",
            degraded: list,
        })),
        (true, true) => Err(Problem::ending(&list)),
        (false, _) => Err(Problem::not_ready(&list)),
    }
}

async fn render_metrics(asked: web::Data<Asked>) -> HttpResponse {
    HttpResponse::Ok()
        .content_type(metrics::CONTENT_TYPE)
        .body(asked.operations.metrics.render())
}
