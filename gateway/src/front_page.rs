//! `/`, where no route takes it: what is behind this gateway, and a request to try for each route.
//!
//! Made once, of the configuration alone: nothing of a request is in it.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, header};
use maud::{DOCTYPE, PreEscaped, html};

use crate::{
    problem::{Refusal, document},
    routes::RouteSettings,
};

/// What a page for people says besides the routes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrontPageSettings {
    /// Where clients reach this gateway, then whatever else is to be found. Never empty.
    pub links: Vec<Link>,
}

/// Something that has an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// What it is.
    pub name: String,
    /// Where it is: `http` or `https`.
    pub url: String,
}

impl FrontPageSettings {
    /// All of them on one line.
    #[must_use]
    pub fn addresses(&self) -> String {
        let one = |link: &Link| format!("{} {}", link.name, link.url);
        let all: Vec<String> = self.links.iter().map(one).collect();
        all.join(" · ")
    }
}

/// The page in both its forms.
pub(crate) struct FrontPage {
    html: Bytes,
    text: Bytes,
}

const HTML: &str = "text/html; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";

const STYLE: &str = ":root{color-scheme:light dark;font-family:system-ui,sans-serif;line-height:1.5}\
main{max-width:60rem;margin:2rem auto;padding:0 1rem}h1{font-size:1.5rem}h2{font-size:1.1rem;margin-top:2rem}\
pre{border:1px solid;border-radius:.3rem;padding:.7rem;overflow-x:auto;user-select:all}\
pre,code{font-family:ui-monospace,monospace;font-size:.9rem}dt{font-weight:600}";

/// Nothing is loaded and nothing runs; the one style is named by its SHA-256.
const POLICY: &str = "default-src 'none'; style-src 'sha256-Kq/aMV4huRr4671ffHtIFcV8NSqnm1+mYURY3BrYHUA='; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The pool of the auth-service, by the name that the default routes give it.
const AUTH_POOL: &str = "auth";

/// Of a pool that is named after a strategy: the variable of the credential that it takes, and in a
/// few words what it does with it.
const STRATEGIES: [(&str, &str, &str); 6] = [
    ("jwt", TOKEN, "a signed token, checked in process"),
    ("session", SESSION, "an opaque id, looked up in Redis"),
    (
        "session-cached",
        SESSION,
        "an opaque id, in memory until Redis says otherwise",
    ),
    ("jwt-revocable", TOKEN, "a signed token that can be revoked"),
    (
        "introspection",
        SESSION,
        "an opaque id that the auth-service is asked about",
    ),
    ("phantom", SESSION, "an opaque id outside, a token inside"),
];

const TOKEN: &str = "TOKEN";
const SESSION: &str = "SID";

const JSON: &str = "-H 'content-type: application/json'";
const USER: &str = r#""username":"ada","password":"correct horse battery""#;

/// Lines for a shell under a heading.
struct Step {
    what: String,
    lines: Vec<String>,
}

impl FrontPage {
    /// `pools` are names, by the index that routes have.
    pub(crate) fn new(
        settings: &FrontPageSettings,
        routes: &[RouteSettings],
        pools: &[&str],
    ) -> Self {
        let steps = steps(settings, routes, pools);
        let others = other_routes(routes, pools);
        Self {
            html: page(settings, &steps, &others).into(),
            text: text(settings, &steps, &others).into(),
        }
    }

    /// The answer to a request for `/` that no route takes.
    pub(crate) fn answer(&self, method: &Method, headers: &HeaderMap) -> Response<Bytes> {
        if method != Method::GET && method != Method::HEAD {
            return Refusal::ReadOnly.response();
        }
        let (content_type, body) = match preferred(headers) {
            Some(Form::Html) => (HTML, &self.html),
            Some(Form::Text) => (TEXT, &self.text),
            None => {
                let mut response = Refusal::NoRoute.response();
                let vary = HeaderValue::from_static("accept");
                response.headers_mut().insert(header::VARY, vary);
                return response;
            }
        };
        let mut response = document(content_type, body.clone());
        let fields = response.headers_mut();
        for (name, value) in [
            (header::CACHE_CONTROL, "max-age=60"),
            (header::VARY, "accept"),
            (header::CONTENT_SECURITY_POLICY, POLICY),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::REFERRER_POLICY, "no-referrer"),
        ] {
            fields.insert(name, HeaderValue::from_static(value));
        }
        response
    }
}

enum Form {
    Html,
    Text,
}

/// HTML for who asks for it by name, as browsers do; text for who takes anything, as curl does; none
/// for who wants something else, such as JSON: a program that has lost its way.
fn preferred(headers: &HeaderMap) -> Option<Form> {
    let mut ranges = headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|range| {
            let mut parts = range.split(';').map(str::trim);
            let name = parts.next()?.to_ascii_lowercase();
            // RFC 9110 §12.4.2: a weight of zero is "not acceptable".
            let refused = parts.any(|part| {
                let weight = part.strip_prefix("q=").or(part.strip_prefix("Q="));
                weight.is_some_and(|weight| weight.parse() == Ok(0.0))
            });
            (!refused).then_some(name)
        })
        .peekable();
    if ranges.peek().is_none() {
        return (!headers.contains_key(header::ACCEPT)).then_some(Form::Text);
    }
    ranges.fold(None, |found, range| match (range.as_str(), found) {
        ("text/html", _) | (_, Some(Form::Html)) => Some(Form::Html),
        ("*/*" | "text/*" | "text/plain", _) => Some(Form::Text),
        (_, found) => found,
    })
}

/// What to try, in the order in which it works.
fn steps(settings: &FrontPageSettings, routes: &[RouteSettings], pools: &[&str]) -> Vec<Step> {
    let address = settings.links.first().map_or("", |link| &link.url);
    let mut steps = Vec::new();
    if let Some(auth) = strips_to(routes, pools, AUTH_POOL) {
        steps.push(Step {
            what: "A user, and a login of each kind (curl and jq)".to_owned(),
            lines: logins(address.trim_end_matches('/'), auth),
        });
    }
    for (pool, credential, what) in STRATEGIES {
        if let Some(prefix) = strips_to(routes, pools, pool) {
            let line = format!(r#"curl -s $G{prefix}/me -H "authorization: Bearer ${credential}""#);
            steps.push(Step {
                what: format!("{pool}: {what}"),
                lines: vec![line],
            });
        }
    }
    steps
}

fn logins(address: &str, auth: &str) -> Vec<String> {
    let login = |variable: &str, kind: &str, member: &str| {
        format!(
            r#"{variable}=$(curl -s $G{auth}/login {JSON} -d '{{{USER},"credential":"{kind}"}}' | jq -r .{member})"#
        )
    };
    vec![
        format!("G='{address}'"),
        format!("curl -s $G{auth}/register {JSON} -d '{{{USER}}}'"),
        login(TOKEN, "token", "access_token"),
        login(SESSION, "session", "session_id"),
    ]
}

/// The prefix below which a pool of this name is asked, where it is only taken off.
fn strips_to<'a>(routes: &'a [RouteSettings], pools: &[&str], pool: &str) -> Option<&'a str> {
    let found = routes
        .iter()
        .find(|route| route.rule.replacement.is_empty() && pools[route.pool] == pool)?;
    Some(&found.rule.prefix)
}

/// Routes that no step shows: their prefixes and pools.
fn other_routes<'a>(routes: &'a [RouteSettings], pools: &[&'a str]) -> Vec<(&'a str, &'a str)> {
    let shown = |name: &str| name == AUTH_POOL || STRATEGIES.iter().any(|(one, ..)| *one == name);
    let pair = |route: &'a RouteSettings| (&*route.rule.prefix, pools[route.pool]);
    let others = routes.iter().map(pair).filter(|(_, pool)| !shown(pool));
    others.collect()
}

const TITLE: &str = "Statewise: tokens or sessions?";
const INTRODUCTION: &str =
    "This is the gateway. Behind each of its routes the same API knows its callers in another way.";

fn text(settings: &FrontPageSettings, steps: &[Step], others: &[(&str, &str)]) -> String {
    let mut text = format!("{TITLE}\n\n{INTRODUCTION}\n\n");
    for link in &settings.links {
        text.push_str(&format!("{:<14}{}\n", link.name, link.url));
    }
    for step in steps {
        text.push_str(&format!("\n# {}\n{}\n", step.what, step.lines.join("\n")));
    }
    if !others.is_empty() {
        text.push_str("\n# other routes\n");
    }
    for (prefix, pool) in others {
        text.push_str(&format!("{prefix:<14}{pool}\n"));
    }
    text
}

fn page(settings: &FrontPageSettings, steps: &[Step], others: &[(&str, &str)]) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (TITLE) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                main {
                    h1 { (TITLE) }
                    p { (INTRODUCTION) }
                    ul {
                        @for link in &settings.links {
                            li { (link.name) " " a href=(link.url) { (link.url) } }
                        }
                    }
                    @for step in steps {
                        h2 { (step.what) }
                        pre { (step.lines.join("\n")) }
                    }
                    @if !others.is_empty() {
                        h2 { "Other routes" }
                        dl {
                            @for (prefix, pool) in others {
                                dt { code { (prefix) } }
                                dd { (pool) }
                            }
                        }
                    }
                }
            }
        }
    };
    page.into_string()
}

#[cfg(test)]
mod tests {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    use sha2::{Digest, Sha256};

    use super::*;

    #[test]
    fn the_policy_names_the_style() {
        let hash = STANDARD.encode(Sha256::digest(STYLE));
        assert!(POLICY.contains(&format!("'sha256-{hash}'")), "{hash}");
    }

    #[test]
    fn the_form_is_the_one_that_was_asked_for() {
        let form = |accept: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in accept {
                headers.append(header::ACCEPT, HeaderValue::from_static(value));
            }
            match preferred(&headers) {
                Some(Form::Html) => "html",
                Some(Form::Text) => "text",
                None => "none",
            }
        };
        assert_eq!(form(&[]), "text");
        assert_eq!(form(&["*/*"]), "text");
        assert_eq!(form(&["text/plain"]), "text");
        assert_eq!(form(&["text/html,application/xhtml+xml,*/*;q=0.8"]), "html");
        assert_eq!(form(&["*/*;q=0.1", "TEXT/HTML; q=0.5"]), "html");
        assert_eq!(form(&["text/html;q=0, */*"]), "text");
        assert_eq!(form(&["application/json"]), "none");
        assert_eq!(form(&["*/*;q=0.0"]), "none");
        assert_eq!(form(&[""]), "none");
    }
}
