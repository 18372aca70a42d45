//! The gateway's own paths: `/healthz`, `/readyz`, `/metrics`, `/pools`, `/openapi.json`.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    iter,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, header};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Serialize;
use shared::{
    openapi,
    problem::Problem,
    telemetry::{
        metrics::{self, Metrics},
        trace::Unasked,
    },
};
use tokio::net::TcpListener;
use utoipa::{OpenApi, ToSchema};

use crate::{
    memory::{Level, Memory},
    problem::{Refusal, document, respond},
    tasks::Tasks,
    upstream::{
        check::HealthSettings,
        health::{Readiness, State},
        pool::Pool,
    },
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
    /// Where it takes requests.
    address: String,
    /// Where it is asked how it is: what else it has for operators is there too.
    health_address: String,
    healthy: bool,
    /// It was told to end and answers until then; it gets requests when nobody is healthy.
    ending: bool,
    ejected: bool,
    in_flight: u32,
}

/// What operators may see and ask.
pub(crate) struct Admin {
    pools: Vec<Arc<Pool>>,
    metrics: Metrics,
    memory: Arc<Memory>,
    health: HealthSettings,
    /// The answers to `/readyz`.
    probes: Unasked,
    /// `/metrics` and `/pools` are on the admin listener only.
    apart: bool,
    accepting: AtomicBool,
    draining: AtomicBool,
}

impl Admin {
    pub(crate) fn new(
        pools: Vec<Arc<Pool>>,
        metrics: Metrics,
        memory: Arc<Memory>,
        health: HealthSettings,
        probes: Unasked,
        apart: bool,
    ) -> Arc<Self> {
        Arc::new(Self {
            pools,
            metrics,
            memory,
            health,
            probes,
            apart,
            accepting: AtomicBool::new(false),
            draining: AtomicBool::new(false),
        })
    }

    /// From now on clients are let in.
    pub(crate) fn accept(&self) {
        self.accepting.store(true, Ordering::Relaxed);
    }

    /// From now on the gateway is not ready.
    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Whether the gateway is about to end.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// The answer to a path of ours; `None` when it is none, or not on this listener.
    pub(crate) fn answer(
        &self,
        method: &Method,
        path: &str,
        public: bool,
    ) -> Option<Response<Bytes>> {
        let respond: fn(&Self) -> Response<Bytes> = match path {
            "/healthz" => |_| json(&serde_json::json!({"status": "alive"})),
            "/readyz" => Self::readyz,
            "/metrics" | "/pools" | openapi::PATH if public && self.apart => return None,
            "/metrics" => |admin| document(metrics::CONTENT_TYPE, admin.metrics.render()),
            "/pools" => pools,
            openapi::PATH => |_| document("application/json", openapi::write::<Api>(&[])),
            _ => return None,
        };
        if method != Method::GET && method != Method::HEAD {
            return Some(Refusal::ReadOnly.response());
        }
        let mut response = respond(self);
        response
            .headers_mut()
            .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Some(response)
    }

    fn readyz(&self) -> Response<Bytes> {
        let mut missing: Vec<(&'static str, String)> = self
            .pools
            .iter()
            .filter(|pool| pool.members().is_empty())
            .map(|pool| ("pool", format!("pool {}: no upstream is known", pool.name)))
            .collect();
        let ending = self.is_draining();
        if !ending && !self.accepting.load(Ordering::Relaxed) {
            missing.push(("server", "server: starting".to_owned()));
        }
        if self.memory.level() != Level::Easy {
            missing.push(("memory", "memory: short".to_owned()));
        }
        let answers = missing.is_empty();
        if ending {
            missing.push(("server", "server: draining".to_owned()));
        } else if answers {
            self.probes.succeeded();
        }
        let names = missing.iter().map(|(name, _)| *name);
        self.metrics.note_readiness(answers && !ending, names);
        let reasons: Vec<String> = missing.into_iter().map(|(_, reason)| reason).collect();
        if !answers && !ending {
            self.trace_failed(&reasons.join("; "));
        }
        match (answers, ending) {
            (true, false) => json(&serde_json::json!({"status": "ready"})),
            (true, true) => respond(&Problem::ending(&reasons)),
            (false, _) => respond(&Problem::not_ready(&reasons)),
        }
    }

    /// The span of a probe that found something missing.
    fn trace_failed(&self, missing: &str) {
        let Some(tracing) = self.probes.failed() else {
            return;
        };
        let mut span = tracing.server_span("GET /readyz", |_| iter::empty());
        if span.is_recording() {
            span.set("http.request.method", "GET");
            span.set("http.route", "/readyz");
            span.set("url.path", "/readyz");
            span.set("url.scheme", "http");
            span.set("http.response.status_code", 503_i64);
            span.set("statewise.readiness.missing", missing.to_owned());
            span.fail("503");
        }
    }
}

/// The members of each pool and how they stand.
#[utoipa::path(
    get,
    path = "/pools",
    responses((status = 200, description = "As this gateway sees them now", body = Pools<'static>))
)]
fn pools(admin: &Admin) -> Response<Bytes> {
    let pools = admin.pools.iter().map(|pool| {
        let upstreams = pool
            .members()
            .iter()
            .map(|member| UpstreamState {
                address: member.address.to_string(),
                health_address: admin.health.asked(member.address).to_string(),
                healthy: member.health.readiness() == Readiness::Ready,
                ending: member.health.readiness() == Readiness::Ending,
                ejected: member.health.state(&pool.clock) == State::Ejected,
                in_flight: member.in_flight(),
            })
            .collect();
        (pool.name.as_str(), PoolState { upstreams })
    });
    json(&Pools {
        pools: pools.collect(),
    })
}

/// What the gateway answers itself; everything else is its upstreams'.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Statewise gateway",
        description = "The gateway's own paths. With GATEWAY_ADMIN_LISTEN, all but the health checks are on that \
                       address only. Every path that takes GET takes HEAD as well. Requests to a route are \
                       answered by its pool. Where that cannot be, the gateway answers with a problem: 503 and \
                       Retry-After when no member could be reached and nothing was sent, 502 when it was sent \
                       and the answer was lost or is none, 504 when none came in time."
    ),
    paths(pools)
)]
struct Api;

/// Serves operators until dropped.
pub(crate) async fn serve(listener: TcpListener, admin: Arc<Admin>, tasks: Tasks) {
    /// An operator's connection that says nothing for this long is closed.
    const PATIENCE: Duration = Duration::from_secs(30);
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of descriptors, or the client is gone; either passes.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let admin = Arc::clone(&admin);
        tasks.spawn_passing(async move {
            let service = service_fn(|request: Request<Incoming>| {
                let own = admin.answer(request.method(), request.uri().path(), false);
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

fn json(value: &impl Serialize) -> Response<Bytes> {
    // These documents have string keys only, so they can be written.
    let text = serde_json::to_string(value).unwrap_or_default();
    document("application/json", text)
}
