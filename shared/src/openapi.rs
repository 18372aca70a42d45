//! The description of a service's interface, OpenAPI 3.1: what all services describe alike.
//!
//! A service describes each operation at its handler (`#[utoipa::path]`) and each body at its type
//! (`utoipa::ToSchema`), lists the handlers (`#[derive(OpenApi)]`), and has the document
//! written by [`write()`], which adds what all services have: health, metrics, this document, problem
//! bodies and the header fields that belong to a status. A test of each service compares what it
//! serves with the copy in `docs/openapi/`, and schemathesis compares it with what the service does.
//!
//! | at a handler | becomes |
//! | --- | --- |
//! | the first paragraph of its documentation | the summary, without the full stop |
//! | `(status = 4xx, description = "…")` without a body | a problem body of that status |
//! | 401, 412, 429 or 503 with a body of JSON | the same with the header fields of that status |

use utoipa::{
    OpenApi, PartialSchema, ToSchema,
    openapi::{
        Content, Header, Object, Ref, RefOr, Type,
        path::Operation,
        security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};

use crate::problem::{self, ProblemBody};

/// Where each service serves its document.
pub const PATH: &str = "/openapi.json";

/// Ways to show who is calling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Credential {
    /// A token or a session id in `Authorization` (RFC 6750).
    Bearer,
    /// The session's cookie.
    SessionCookie,
    /// Id and secret of a client (RFC 6749 §2.3.1).
    Client,
}

impl Credential {
    fn name(self) -> &'static str {
        match self {
            Self::Bearer => "bearer",
            Self::SessionCookie => "session",
            Self::Client => "client",
        }
    }

    fn scheme(self) -> SecurityScheme {
        let http = |scheme| SecurityScheme::Http(HttpBuilder::new().scheme(scheme).build());
        match self {
            Self::Bearer => http(HttpAuthScheme::Bearer),
            Self::SessionCookie => {
                SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::new("__Host-sid")))
            }
            Self::Client => http(HttpAuthScheme::Basic),
        }
    }
}

/// Writes the document of a service as JSON, the same at every start: what the handlers of `Api` say
/// of themselves, the credentials that they name, and what every service has.
#[must_use]
pub fn write<Api: OpenApi>(credentials: &[Credential]) -> String {
    let mut api = Api::openapi();
    api.merge(Common::openapi());
    let components = api.components.get_or_insert_default();
    components
        .schemas
        .insert(ProblemBody::name().into_owned(), ProblemBody::schema());
    for credential in credentials {
        components.add_security_scheme(credential.name(), credential.scheme());
    }
    for path in api.paths.paths.values_mut() {
        let operations = [
            &mut path.get,
            &mut path.put,
            &mut path.post,
            &mut path.delete,
            &mut path.patch,
        ];
        operations.into_iter().flatten().for_each(complete);
    }
    // Keys and values of our own making can be written.
    let mut text = api.to_pretty_json().unwrap_or_default();
    text.push('\n');
    text
}

/// Adds to an operation what its handler need not repeat.
fn complete(operation: &mut Operation) {
    // Named after the modules of the handlers, which tell a reader nothing.
    operation.tags = None;
    if let Some(summary) = &mut operation.summary {
        *summary = summary.trim_end_matches('.').replace('\n', " ");
    }
    for (status, response) in &mut operation.responses.responses {
        let RefOr::T(response) = response else {
            continue;
        };
        if status.as_str() >= "400" && response.content.is_empty() {
            let body = Content::new(Some(Ref::from_schema_name(ProblemBody::name())));
            let content_type = problem::CONTENT_TYPE.to_owned();
            response.content.insert(content_type, body.into());
        }
        if response.content.keys().any(|kind| kind.ends_with("json")) {
            for (name, description) in fields_of(status.parse().unwrap_or_default()) {
                let mut header = Header::new(Object::with_type(Type::String));
                header.description = Some((*description).to_owned());
                response.headers.insert((*name).to_owned(), header.into());
            }
        }
    }
}

/// What every service has. Each answers by itself; only the description is common.
#[derive(OpenApi)]
#[openapi(paths(common::healthz, common::readyz, common::metrics, common::openapi))]
struct Common;

#[expect(
    dead_code,
    reason = "each service has the handlers that these describe"
)]
mod common {
    use super::{Health, PATH};
    use crate::telemetry::metrics::CONTENT_TYPE;

    /// Whether the process lives.
    #[utoipa::path(
        get,
        path = "/healthz",
        responses((status = 200, description = "It does", body = Health))
    )]
    fn healthz() {}

    /// Whether it would answer now.
    #[utoipa::path(
        get,
        path = "/readyz",
        responses(
            (status = 200, description = "It would; what works in part only is named", body = Health),
            (status = 503, description = "What is missing is named in the detail"),
        )
    )]
    fn readyz() {}

    /// Prometheus text.
    #[utoipa::path(
        get,
        path = "/metrics",
        responses((
            status = 200,
            description = "Counters, gauges and histograms",
            content_type = CONTENT_TYPE,
        ))
    )]
    fn metrics() {}

    /// This document.
    #[utoipa::path(
        get,
        path = PATH,
        responses((
            status = 200,
            description = "OpenAPI 3.1",
            content_type = "application/json",
        ))
    )]
    fn openapi() {}
}

/// Header fields that a status of ours always has.
fn fields_of(status: u16) -> &'static [(&'static str, &'static str)] {
    match status {
        401 => &[("www-authenticate", "How to authenticate, RFC 9110 §11.6.1")],
        412 => &[("etag", "The version that is there now")],
        429 | 503 => &[("retry-after", "Seconds until it may be tried again")],
        _ => &[],
    }
}

/// What health checks answer.
#[derive(serde::Serialize, ToSchema)]
pub struct Health {
    /// `alive` or `ready`.
    pub status: &'static str,
    /// What works in part only, and why. Not there when all works.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub degraded: Vec<String>,
}
