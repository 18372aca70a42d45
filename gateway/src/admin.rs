//! The gateway's own paths: `/healthz`, `/readyz`, `/metrics`, `/pools`, `/openapi.json`.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Serialize;
use shared::{
    openapi::{self, Document, Operation},
    problem::Problem,
    telemetry::metrics,
};
use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;
use utoipa::ToSchema;

use crate::{
    problems::{Refusal, document, respond},
    server::Shared,
    upstream::health::Standing,
};

/// Every pool by its name.
#[derive(Serialize, ToSchema)]
struct Pools<'a> {
    pools: BTreeMap<&'a str, PoolState>,
}

#[derive(Serialize, ToSchema)]
struct PoolState {
    upstreams: Vec<UpstreamState>,
}

#[derive(Serialize, ToSchema)]
struct UpstreamState {
    address: String,
    healthy: bool,
    ejected: bool,
    in_flight: u32,
}

/// The answer to a path of ours; `None` when it is none, or not on this listener.
pub(crate) fn answer(
    shared: &Shared,
    method: &Method,
    path: &str,
    public: bool,
) -> Option<Response<Bytes>> {
    let respond_to: fn(&Shared) -> _ = match path {
        "/healthz" => |_| json(&serde_json::json!({"status": "alive"})),
        "/readyz" => readyz,
        "/metrics" | "/pools" | openapi::PATH if public && shared.admin_apart => return None,
        "/metrics" => |shared| {
            let text = shared.metrics.render();
            document(
                StatusCode::OK,
                metrics::CONTENT_TYPE,
                text,
                HeaderMap::new(),
            )
        },
        "/pools" => pools,
        openapi::PATH => |_| {
            document(
                StatusCode::OK,
                "application/json",
                description().to_json(),
                HeaderMap::new(),
            )
        },
        _ => return None,
    };
    if method != Method::GET && method != Method::HEAD {
        return Some(Refusal::ReadOnly.response());
    }
    let mut response = respond_to(shared);
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Some(response)
}

/// What the gateway answers itself; everything else is its upstreams'.
fn description() -> Document {
    Document::new(
        "Statewise gateway",
        env!("CARGO_PKG_VERSION"),
        "The gateway's own paths. With GATEWAY_ADMIN_LISTEN, all but the health checks are on that \
         address only. Every path that takes GET takes HEAD as well. Requests to a route are \
         answered by its pool. Where that cannot be, the gateway answers with a problem: 503 and \
         Retry-After when no member could be reached and nothing was sent, 502 when it was sent \
         and the answer was lost or is none, 504 when none came in time.",
    )
    .get(
        "/pools",
        Operation::new("pools", "The members of each pool and how they stand")
            .answers::<Pools<'static>>(200, "As this gateway sees them now"),
    )
}

/// Serves operators until dropped.
pub(crate) async fn serve(listener: TcpListener, shared: Arc<Shared>, tasks: TaskTracker) {
    /// An operator's connection that says nothing for this long is closed.
    const PATIENCE: Duration = Duration::from_secs(30);
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of descriptors, or the client is gone; either passes.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let shared = Arc::clone(&shared);
        tasks.spawn(async move {
            let service = service_fn(|request: Request<Incoming>| {
                let own = answer(&shared, request.method(), request.uri().path(), false);
                let response = own.unwrap_or_else(|| Refusal::NoRoute.response());
                std::future::ready(Ok::<_, Infallible>(response.map(Full::new)))
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(PATIENCE)
                // One request a connection: nothing is left to drain, and operators are few.
                .keep_alive(false)
                .serve_connection(TokioIo::new(stream), service);
            // The client went away; nobody is left to tell.
            drop(tokio::time::timeout(PATIENCE, connection).await);
        });
    }
}

fn readyz(shared: &Shared) -> Response<Bytes> {
    let mut missing: Vec<String> = shared
        .pools
        .iter()
        .filter(|pool| pool.members().is_empty())
        .map(|pool| format!("pool {}: no upstream is known", pool.name))
        .collect();
    if shared.draining.load(Ordering::Relaxed) {
        missing.push("server: draining".to_owned());
    }
    if missing.is_empty() {
        return json(&serde_json::json!({"status": "ready"}));
    }
    respond(
        &Problem::unavailable("not-ready", "Something needed to answer is missing")
            .detail(missing.join("; ")),
    )
}

fn pools(shared: &Shared) -> Response<Bytes> {
    let pools = shared.pools.iter().map(|pool| {
        let upstreams = pool
            .members()
            .iter()
            .map(|member| UpstreamState {
                address: member.address.to_string(),
                healthy: member.health.is_ready(),
                ejected: member.health.standing(&pool.clock) == Standing::Ejected,
                in_flight: member.in_flight(),
            })
            .collect();
        (pool.name.as_str(), PoolState { upstreams })
    });
    json(&Pools {
        pools: pools.collect(),
    })
}

fn json(value: &impl Serialize) -> Response<Bytes> {
    // These documents have string keys only, so they can be written.
    let text = serde_json::to_string(value).unwrap_or_default();
    document(StatusCode::OK, "application/json", text, HeaderMap::new())
}
