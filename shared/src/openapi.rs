//! The description of a service's interface, OpenAPI 3.1: what all services describe alike.
//!
//! A service describes each operation at its handler (`#[utoipa::path]`) and each body at its type
//! (`utoipa::ToSchema`), lists the handlers (`#[derive(utoipa::OpenApi)]`), and has the document
//! written by [`write`], which adds what all services have: health, metrics, this document, problem
//! bodies and the header fields that belong to a status. A test of each service compares what it
//! serves with the copy in `docs/openapi/`, and schemathesis compares it with what the service does.
//!
//! | at a handler | becomes |
//! | --- | --- |
//! | the first paragraph of its documentation | the summary, without the full stop |
//! | `(status = 4xx, description = "…")` without a body | a problem body of that status |
//! | 401, 412, 429 or 503 with a body of JSON | the same with the header fields of that status |

use std::collections::BTreeMap;

use utoipa::{
    ToSchema,
    openapi::{
        Components, Content, Header, HttpMethod, InfoBuilder, LicenseBuilder, Object, OpenApi,
        OpenApiBuilder, PathItem, PathsBuilder, Ref, RefOr, Required, ResponseBuilder, Schema,
        Type,
        path::{OperationBuilder, ParameterBuilder, ParameterIn},
        request_body::RequestBodyBuilder,
        security::{
            ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
        },
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
pub fn write<Api: utoipa::OpenApi>(credentials: &[Credential]) -> String {
    let mut api = Api::openapi();
    api.merge(<Common as utoipa::OpenApi>::openapi());
    let components = api.components.get_or_insert_default();
    components.schemas.insert(
        ProblemBody::name().into_owned(),
        <ProblemBody<'_> as utoipa::PartialSchema>::schema(),
    );
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
fn complete(operation: &mut utoipa::openapi::path::Operation) {
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
#[derive(utoipa::OpenApi)]
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
            (status = 200, description = "It would", body = Health),
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

/// A document that is being written.
pub struct Document {
    title: &'static str,
    description: &'static str,
    version: &'static str,
    paths: BTreeMap<&'static str, PathItem>,
    schemas: BTreeMap<String, RefOr<Schema>>,
    credentials: Vec<Credential>,
}

/// What a method of a path takes and answers.
pub struct Operation {
    operation: OperationBuilder,
    schemas: Vec<(String, RefOr<Schema>)>,
    credentials: Vec<Credential>,
}

impl Document {
    /// A document with what every service has.
    #[must_use]
    pub fn new(title: &'static str, version: &'static str, description: &'static str) -> Self {
        let document = Self {
            title,
            description,
            version,
            paths: BTreeMap::new(),
            schemas: BTreeMap::new(),
            credentials: Vec::new(),
        };
        document
            .get(
                "/healthz",
                Operation::new("healthz", "Whether the process lives")
                    .answers::<Health>(200, "It does"),
            )
            .get(
                "/readyz",
                Operation::new("readyz", "Whether it would answer now")
                    .answers::<Health>(200, "It would")
                    .refuses(503, "What is missing is named in the detail"),
            )
            .get(
                "/metrics",
                Operation::new("metrics", "Prometheus text").answers_as(
                    200,
                    "Counters, gauges and histograms",
                    crate::telemetry::metrics::CONTENT_TYPE,
                ),
            )
            .get(
                PATH,
                Operation::new("openapi", "This document").answers_as(
                    200,
                    "OpenAPI 3.1",
                    "application/json",
                ),
            )
    }

    /// Adds `GET` of a path, which answers `HEAD` too.
    #[must_use]
    pub fn get(self, path: &'static str, operation: Operation) -> Self {
        self.on(HttpMethod::Get, path, operation)
    }

    /// Adds a method of a path.
    #[must_use]
    pub fn on(mut self, method: HttpMethod, path: &'static str, operation: Operation) -> Self {
        self.schemas.extend(operation.schemas);
        self.credentials.extend(operation.credentials);
        let item = PathItem::new(method, operation.operation.build());
        match self.paths.get_mut(path) {
            Some(known) => known.merge_operations(item),
            None => drop(self.paths.insert(path, item)),
        }
        self
    }

    /// The document as JSON, the same at every start.
    #[must_use]
    pub fn to_json(self) -> String {
        // Keys and values of our own making can be written.
        let mut text = self.build().to_pretty_json().unwrap_or_default();
        text.push('\n');
        text
    }

    fn build(self) -> OpenApi {
        let info = InfoBuilder::new()
            .title(self.title)
            .version(self.version)
            .description(Some(self.description))
            .license(Some(
                LicenseBuilder::new()
                    .name("MIT OR Apache-2.0")
                    .identifier(Some("MIT OR Apache-2.0"))
                    .build(),
            ))
            .build();
        let mut paths = PathsBuilder::new();
        for (path, item) in self.paths {
            paths = paths.path(path, item);
        }
        let mut components = Components::new();
        components.schemas.extend(self.schemas);
        for credential in self.credentials {
            components.add_security_scheme(credential.name(), credential.scheme());
        }
        OpenApiBuilder::new()
            .info(info)
            .paths(paths.build())
            .components(Some(components))
            .build()
    }
}

impl Operation {
    /// An operation that answers nothing yet.
    #[must_use]
    pub fn new(id: &str, summary: &str) -> Self {
        Self {
            operation: OperationBuilder::new()
                .operation_id(Some(id))
                .summary(Some(summary)),
            schemas: Vec::new(),
            credentials: Vec::new(),
        }
    }

    /// Any one of these credentials is needed.
    #[must_use]
    pub fn needs(mut self, credentials: &[Credential]) -> Self {
        for credential in credentials {
            let requirement = SecurityRequirement::new(credential.name(), [""; 0]);
            self.operation = self.operation.security(requirement);
        }
        self.credentials.extend(credentials);
        self
    }

    /// One of these credentials may be shown, and none need be.
    #[must_use]
    pub fn may(mut self, credentials: &[Credential]) -> Self {
        self.operation = self.operation.security(SecurityRequirement::default());
        self.needs(credentials)
    }

    /// A part of the path, which is always text.
    #[must_use]
    pub fn path(self, name: &str, description: &str, schema: Object) -> Self {
        self.parameter(ParameterIn::Path, name, description, Required::True, schema)
    }

    /// A header field of the request.
    #[must_use]
    pub fn header(self, name: &str, description: &str, required: bool, schema: Object) -> Self {
        let required = if required {
            Required::True
        } else {
            Required::False
        };
        self.parameter(ParameterIn::Header, name, description, required, schema)
    }

    /// A parameter of the query, which may be absent as far as this description goes.
    #[must_use]
    pub fn query(self, name: &str, description: &str, schema: Object) -> Self {
        self.parameter(
            ParameterIn::Query,
            name,
            description,
            Required::False,
            schema,
        )
    }

    fn parameter(
        mut self,
        place: ParameterIn,
        name: &str,
        description: &str,
        required: Required,
        schema: Object,
    ) -> Self {
        let parameter = ParameterBuilder::new()
            .name(name)
            .parameter_in(place)
            .description(Some(description))
            .required(required)
            .schema(Some(schema))
            .build();
        self.operation = self.operation.parameter(parameter);
        self
    }

    /// A body of JSON.
    #[must_use]
    pub fn json<T: ToSchema>(self) -> Self {
        self.body::<T>("application/json")
    }

    /// A body as a form posts it.
    #[must_use]
    pub fn form<T: ToSchema>(self) -> Self {
        self.body::<T>("application/x-www-form-urlencoded")
    }

    fn body<T: ToSchema>(mut self, content_type: &str) -> Self {
        let content = Content::new(Some(self.schema::<T>()));
        let body = RequestBodyBuilder::new()
            .content(content_type, content)
            .required(Some(Required::True))
            .build();
        self.operation = self.operation.request_body(Some(body));
        self
    }

    /// A status with a body of JSON.
    #[must_use]
    pub fn answers<T: ToSchema>(self, status: u16, description: &str) -> Self {
        self.answers_with::<T>(status, description, &[])
    }

    /// A status with a body of JSON and header fields, each with what it says.
    #[must_use]
    pub fn answers_with<T: ToSchema>(
        self,
        status: u16,
        description: &str,
        headers: &[(&str, &str)],
    ) -> Self {
        self.answer::<T>(status, description, "application/json", headers)
    }

    /// A status with a body of JSON that has a media type of its own.
    #[must_use]
    pub fn answers_in<T: ToSchema>(
        self,
        status: u16,
        description: &str,
        content_type: &str,
    ) -> Self {
        self.answer::<T>(status, description, content_type, &[])
    }

    fn answer<T: ToSchema>(
        mut self,
        status: u16,
        description: &str,
        content_type: &str,
        headers: &[(&str, &str)],
    ) -> Self {
        let content = Content::new(Some(self.schema::<T>()));
        let response = ResponseBuilder::new()
            .description(description)
            .content(content_type, content);
        self.respond(status, with_headers(response, headers))
    }

    /// A status with a body of another kind.
    #[must_use]
    pub fn answers_as(self, status: u16, description: &str, content_type: &str) -> Self {
        let content = Content::new(None::<Schema>);
        let response = ResponseBuilder::new()
            .description(description)
            .content(content_type, content);
        self.respond(status, response)
    }

    /// A status without a body.
    #[must_use]
    pub fn answers_empty(self, status: u16, description: &str) -> Self {
        self.respond(status, ResponseBuilder::new().description(description))
    }

    /// A status with a problem body, and the header fields that belong to it.
    #[must_use]
    pub fn refuses(self, status: u16, description: &str) -> Self {
        self.refuses_with(status, description, &[])
    }

    /// Like [`Operation::refuses`], with more header fields, each with what it says.
    #[must_use]
    pub fn refuses_with(self, status: u16, description: &str, more: &[(&str, &str)]) -> Self {
        let fields = [fields_of(status), more].concat();
        self.answer::<ProblemBody<'static>>(status, description, problem::CONTENT_TYPE, &fields)
    }

    /// Like [`Operation::refuses`], for a status that an endpoint of OAuth answers in its own form.
    #[must_use]
    pub fn refuses_as<T: ToSchema>(self, status: u16, description: &str) -> Self {
        self.answers_with::<T>(status, description, fields_of(status))
    }

    fn respond(mut self, status: u16, response: ResponseBuilder) -> Self {
        self.operation = self
            .operation
            .response(status.to_string(), response.build());
        self
    }

    fn schema<T: ToSchema>(&mut self) -> Ref {
        self.schemas.push((T::name().into_owned(), T::schema()));
        T::schemas(&mut self.schemas);
        Ref::from_schema_name(T::name())
    }
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

fn with_headers(mut response: ResponseBuilder, headers: &[(&str, &str)]) -> ResponseBuilder {
    for (name, description) in headers {
        let mut header = Header::new(Object::with_type(Type::String));
        header.description = Some((*description).to_owned());
        response = response.header(*name, header);
    }
    response
}

/// What health checks answer.
#[derive(serde::Serialize, ToSchema)]
pub struct Health {
    /// `alive` or `ready`.
    pub status: &'static str,
}
