//! What operators ask a service: `/healthz`, `/readyz` and `/metrics`.

use std::{
    net::TcpListener,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use actix_web::{App, HttpResponse, HttpServer, dev::ServerHandle, web};

use super::{Missing, READ_ONLY, Readiness, Worker, not_found, resource};
use crate::{
    openapi::Health,
    problem::Problem,
    telemetry::metrics::{self, Metrics},
};

/// What all threads share of it.
#[derive(Clone)]
pub(super) struct Operations {
    pub(super) draining: Arc<AtomicBool>,
    pub(super) metrics: Metrics,
}

/// What a thread answers by.
struct Asked {
    operations: Operations,
    readiness: Readiness,
}

/// Adds `/healthz`, which says that the process lives and nothing else.
pub(super) fn health(routes: &mut web::ServiceConfig) {
    routes.service(
        resource("/healthz", READ_ONLY)
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
                resource("/readyz", READ_ONLY)
                    .route(web::get().to(readyz))
                    .route(web::head().to(readyz)),
            )
            .service(
                resource("/metrics", READ_ONLY)
                    .route(web::get().to(render_metrics))
                    .route(web::head().to(render_metrics)),
            );
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

async fn readyz(asked: web::Data<Asked>) -> Result<HttpResponse, Problem> {
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
