//! What a client asks the authorization endpoint for, RFC 6749 §4.1.1 and RFC 7636 §4.3.

use crate::{clients::Clients, codes::Purpose, http::oauth::form::Parameters, scope::Scope};

/// Parameters that are looked at after it is known where to send the answer.
const ONCE: [&str; 8] = [
    "response_type",
    "response_mode",
    "scope",
    "code_challenge",
    "code_challenge_method",
    "dpop_jkt",
    "username",
    "password",
];
pub(super) const UNKNOWN_URI: &str = "redirect_uri must be one of those that AUTH_PUBLIC_CLIENTS or AUTH_REDIRECT_URIS lists for the client.";

/// RFC 7636 §4.2: a SHA-256 in base64url.
const CHALLENGE_CHARACTERS: usize = 43;
/// Of `state`, which the client gets back: more would not fit into a URL everywhere.
const STATE_LIMIT: usize = 1024;

/// A request that can be granted.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Authorization {
    pub(super) purpose: Purpose,
    /// The client's own, given back as it came.
    pub(super) state: Option<String>,
}

/// A request that is refused.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// To the user, because the client is unknown or the browser must not be sent there.
    Here(&'static str),
    /// To the client.
    AtClient {
        redirect_uri: String,
        state: Option<String>,
        error: &'static str,
        reason: &'static str,
    },
}

pub(super) fn read(
    parameters: &Parameters,
    clients: &Clients,
    audience: &str,
) -> Result<Authorization, Refusal> {
    let client_id = single(parameters, "client_id")
        .map_err(Refusal::Here)?
        .ok_or(Refusal::Here("client_id is missing."))?;
    let registered = clients.redirect_uris(client_id).ok_or(Refusal::Here(
        "client_id must be one of AUTH_PUBLIC_CLIENTS or AUTH_REDIRECT_URIS.",
    ))?;
    let redirect_uri = single(parameters, "redirect_uri")
        .map_err(Refusal::Here)?
        .filter(|asked| registered.iter().any(|uri| uri.admits(asked)))
        .ok_or(Refusal::Here(UNKNOWN_URI))?;
    // From here on faults go to the client, with its state if there is one to give back.
    let state = single(parameters, "state").and_then(|state| match state {
        Some(state) if !is_state(state) => {
            Err("state must be up to 1024 printable characters of ASCII")
        }
        state => Ok(state),
    });
    let refuse = |error, reason| Refusal::AtClient {
        redirect_uri: redirect_uri.to_owned(),
        state: state.ok().flatten().map(str::to_owned),
        error,
        reason,
    };
    let invalid = |reason| refuse("invalid_request", reason);
    let opaque = state.map_err(invalid)?;
    // RFC 6749 §3.1: no parameter more than once.
    for name in ONCE {
        single(parameters, name).map_err(invalid)?;
    }
    let get = |name| given(parameters, name);
    match get("response_type") {
        Some("code") => {}
        Some(_) => return Err(refuse("unsupported_response_type", "the only one is code")),
        None => return Err(invalid("response_type is missing")),
    }
    if get("response_mode").is_some_and(|mode| mode != "query") {
        return Err(invalid("the only response_mode is query"));
    }
    if get("dpop_jkt").is_some() {
        return Err(invalid("tokens are not bound to a key here"));
    }
    let scope = get("scope").map(Scope::granted).transpose();
    let scope = scope.map_err(|_| refuse("invalid_scope", "the scope is malformed"))?;
    // RFC 8707 §2: several may be given.
    let resources = parameters.iter().filter(|(name, _)| name == "resource");
    if !resources
        .into_iter()
        .all(|(_, resource)| resource.is_empty() || resource == audience)
    {
        return Err(refuse(
            "invalid_target",
            "no token is issued for this resource",
        ));
    }
    let challenge = challenge(parameters).map_err(invalid)?;
    Ok(Authorization {
        purpose: Purpose {
            client_id: client_id.to_owned(),
            redirect_uri: redirect_uri.to_owned(),
            challenge: challenge.to_owned(),
            scope,
        },
        state: opaque.map(str::to_owned),
    })
}

/// RFC 9700 §2.1.1: public clients must use PKCE, and all others should. RFC 7636 §4.4.1: `plain` may be refused.
fn challenge(parameters: &Parameters) -> Result<&str, &'static str> {
    if given(parameters, "code_challenge_method") != Some("S256") {
        return Err("code_challenge_method must be S256");
    }
    let challenge = given(parameters, "code_challenge").ok_or("code_challenge is missing")?;
    let base64url = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if challenge.len() != CHALLENGE_CHARACTERS || !challenge.bytes().all(base64url) {
        return Err("code_challenge is no SHA-256 in base64url without padding");
    }
    Ok(challenge)
}

/// RFC 6749 appendix A.5.
fn is_state(text: &str) -> bool {
    text.len() <= STATE_LIMIT && text.bytes().all(|byte| (b' '..=b'~').contains(&byte))
}

/// A parameter of a request that [`read`] has looked at, so that it is there once at most.
pub(super) fn given<'a>(parameters: &'a Parameters, name: &str) -> Option<&'a str> {
    single(parameters, name).ok().flatten()
}

/// RFC 6749 §3.1: a parameter without a value counts as absent.
fn single<'a>(parameters: &'a Parameters, name: &str) -> Result<Option<&'a str>, &'static str> {
    let mut values = parameters
        .iter()
        .filter(|(key, value)| key == name && !value.is_empty())
        .map(|(_, value)| value.as_str());
    let value = values.next();
    match values.next() {
        None => Ok(value),
        Some(_) => Err("a parameter is repeated"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clients::{PublicClient, PublicClients};

    const URI: &str = "https://app.example.org/back";
    const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

    fn clients() -> Clients {
        let page = PublicClient::page("http://gate/page".to_owned());
        let public = PublicClients::parse(&format!("app={URI}"), page).unwrap();
        Clients::default().with_public(public).unwrap()
    }

    /// A good request with some parameters in place of others; an empty one is absent.
    fn with(changes: &[(&str, &str)]) -> Result<Authorization, Refusal> {
        let good = [
            ("response_type", "code"),
            ("client_id", "app"),
            ("redirect_uri", URI),
            ("state", "x y"),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
        ];
        let kept = good
            .iter()
            .filter(|(name, _)| changes.iter().all(|(changed, _)| changed != name));
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let parameters: Parameters = kept.chain(changes).map(own).collect();
        read(&parameters, &clients(), "statewise-api")
    }

    /// RFC 6749 §4.1.1, RFC 7636 appendix B.
    #[test]
    fn a_request_with_everything_that_is_needed_is_granted() {
        let purpose = Purpose {
            client_id: "app".to_owned(),
            redirect_uri: URI.to_owned(),
            challenge: CHALLENGE.to_owned(),
            scope: None,
        };
        for (changes, state) in [
            (vec![], Some("x y".to_owned())),
            (vec![("state", "")], None),
            (vec![("state", "s"), ("unknown", "1")], Some("s".to_owned())),
            (
                vec![("state", "s"), ("response_mode", "query")],
                Some("s".to_owned()),
            ),
        ] {
            let purpose = purpose.clone();
            assert_eq!(with(&changes), Ok(Authorization { purpose, state }));
        }
    }

    /// RFC 6749 §3.3, RFC 8707 §2, RFC 8252 §7.3.
    #[test]
    fn scope_resource_and_the_port_of_this_machine_are_the_clients_choice() {
        let granted = |asked: &str| with(&[("scope", asked)]).unwrap().purpose.scope;
        assert_eq!(
            granted("openid profile").map(Scope::text),
            Some("api profile")
        );
        assert_eq!(granted("all").map(Scope::text), Some("api"));
        assert!(with(&[("resource", "statewise-api")]).is_ok());
        let local = "http://127.0.0.1:51004/back";
        let page = PublicClient::page("http://gate/page".to_owned());
        let public = PublicClients::parse("app=http://127.0.0.1/back", page).unwrap();
        let clients = Clients::default().with_public(public).unwrap();
        let parameters: Parameters = [
            ("response_type", "code"),
            ("client_id", "app"),
            ("redirect_uri", local),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        let read = read(&parameters, &clients, "statewise-api").unwrap();
        assert_eq!(read.purpose.redirect_uri, local);
    }

    /// RFC 6749 §4.1.2.1, RFC 9700 §4.11: an unknown client or URI is no reason to send anybody there.
    #[test]
    fn an_unknown_client_or_uri_is_shown_to_the_user_only() {
        for changes in [
            vec![("client_id", "")],
            vec![("client_id", "eve")],
            vec![("client_id", "app"), ("client_id", "app")],
            vec![("redirect_uri", "")],
            vec![("redirect_uri", "https://app.example.org/back/")],
            vec![("redirect_uri", "https://app.example.org/back?a=b")],
            vec![("redirect_uri", "https://app.example.org.eve.example/back")],
            vec![("redirect_uri", "http://gate/page")],
            vec![
                ("redirect_uri", URI),
                ("redirect_uri", "https://eve.example/"),
            ],
        ] {
            assert!(
                matches!(with(&changes), Err(Refusal::Here(_))),
                "{changes:?}"
            );
        }
    }

    /// RFC 6749 §4.1.2.1, RFC 7636 §4.4.1.
    #[test]
    fn other_faults_go_to_the_client_with_its_state() {
        for (changes, code) in [
            (vec![("response_type", "")], "invalid_request"),
            (
                vec![("response_type", "token")],
                "unsupported_response_type",
            ),
            (
                vec![("response_type", "code"), ("response_type", "code")],
                "invalid_request",
            ),
            (vec![("response_mode", "fragment")], "invalid_request"),
            (vec![("scope", "a\"b")], "invalid_scope"),
            (
                vec![("resource", "https://other.example/")],
                "invalid_target",
            ),
            (
                vec![("resource", "statewise-api"), ("resource", "x")],
                "invalid_target",
            ),
            (vec![("dpop_jkt", "x")], "invalid_request"),
            (vec![("scope", "a"), ("scope", "b")], "invalid_request"),
            (
                vec![("response_mode", "query"), ("response_mode", "query")],
                "invalid_request",
            ),
            (
                vec![("password", "a"), ("password", "b")],
                "invalid_request",
            ),
            (vec![("code_challenge", "")], "invalid_request"),
            (vec![("code_challenge", &CHALLENGE[1..])], "invalid_request"),
            (
                vec![("code_challenge", &CHALLENGE.replace('-', "="))],
                "invalid_request",
            ),
            (vec![("code_challenge_method", "")], "invalid_request"),
            (vec![("code_challenge_method", "plain")], "invalid_request"),
        ] {
            let Err(Refusal::AtClient {
                redirect_uri,
                state,
                error,
                ..
            }) = with(&changes)
            else {
                panic!("{changes:?} does not go to the client");
            };
            assert_eq!((redirect_uri.as_str(), error), (URI, code), "{changes:?}");
            assert_eq!(state.as_deref(), Some("x y"));
        }
    }
}
