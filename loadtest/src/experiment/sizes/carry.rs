//! What each login is given to carry, and what comes of it.

use std::{fmt, io, time::Duration};

use reqwest::blocking::{Client, RequestBuilder, Response};
use url::Url;

use super::{
    cart,
    size::{Size, roles},
};
use crate::{
    experiment::{administrator::Administrator, error::ExperimentError},
    load::Variant,
    subject::{
        client::client,
        login::{LoginError, Users},
        strategy::Strategy,
    },
};

const PATIENCE: Duration = Duration::from_secs(20);
/// Where the API gives a client what it is to carry, and reads it again.
const STATE: &str = "statewise-state";

/// One strategy with one size, ready to be driven.
pub(super) struct Arm {
    pub(super) strategy: Strategy,
    pub(super) size: Size,
    /// What the client keeps and presents.
    pub(super) credential_bytes: u64,
    /// One a login.
    pub(super) variants: Vec<Variant>,
}

/// A request that was not answered as it should be.
#[derive(Clone)]
pub(super) struct Refusal {
    pub(super) request: String,
    pub(super) status: u16,
}

/// What was wanted, or who would not have it.
pub(super) type Prepared<T> = Result<Result<T, Refusal>, ExperimentError>;

/// Logs in, and has data written.
pub(super) struct Carrier {
    client: Client,
    gateway: Url,
    /// Logins of each strategy and size.
    logins: usize,
}

impl Carrier {
    pub(super) fn new(gateway: &Url, logins: usize) -> Result<Self, ExperimentError> {
        Ok(Self {
            client: client(PATIENCE).map_err(unreachable("building an HTTP client"))?,
            gateway: gateway.clone(),
            logins,
        })
    }

    /// Logs in as often as needed, has the data written where there are some, and tries one request.
    pub(super) fn prepare(&self, strategy: Strategy, size: Size, users: &Users) -> Prepared<Arm> {
        let logins = users.log_in_times(self.logins, strategy.credential());
        let logins = match logins {
            Err(LoginError::Refused { status, .. }) => {
                return Ok(Err(Refusal {
                    request: "POST /auth/login".to_owned(),
                    status: status.as_u16(),
                }));
            }
            logins => logins?,
        };
        let mut arm = Arm {
            strategy,
            size,
            credential_bytes: 0,
            variants: Vec::new(),
        };
        for login in logins {
            let mut variant = Variant::bearer(&login.credential);
            let mut bytes = login.credential.len();
            if let Some(size) = size.record_bytes() {
                match self.write(strategy, &variant, size)? {
                    Ok(Some(state)) => {
                        bytes += state.len();
                        variant = variant.header(STATE, &state);
                    }
                    Ok(None) => {}
                    Err(refusal) => return Ok(Err(refusal)),
                }
            }
            arm.credential_bytes = arm.credential_bytes.max(bytes as u64);
            arm.variants.push(variant);
        }
        let url = self.url(strategy, size.path());
        let tried = arm.variants.first().map(|variant| {
            let request = presenting(self.client.get(url.clone()), variant);
            self.send(request, "GET", &url)
        });
        Ok(match tried.transpose()? {
            Some(Err(refusal)) => Err(refusal),
            _ => Ok(arm),
        })
    }

    /// Writes data of a login; the state that the client is to carry from then on, if any.
    fn write(&self, strategy: Strategy, login: &Variant, bytes: u64) -> Prepared<Option<String>> {
        let url = self.url(strategy, "cart");
        let request = self
            .client
            .put(url.clone())
            .header("content-type", "application/json")
            // The version of a cart that nobody has written yet.
            .header("if-match", "\"0\"")
            .body(cart::of(bytes as usize));
        let answer = self.send(presenting(request, login), "PUT", &url)?;
        Ok(answer.map(|answer| {
            let state = answer.headers().get(STATE)?;
            Some(state.to_str().ok()?.to_owned())
        }))
    }

    fn send(&self, request: RequestBuilder, method: &str, url: &Url) -> Prepared<Response> {
        let answer = request.send().map_err(unreachable("asking the API"))?;
        let status = answer.status();
        Ok(match status.is_success() {
            true => Ok(answer),
            false => Err(Refusal {
                request: format!("{method} {}", url.path()),
                status: status.as_u16(),
            }),
        })
    }

    pub(super) fn url(&self, strategy: Strategy, path: &str) -> Url {
        let mut url = self.gateway.clone();
        url.set_path(&format!("/{}/{path}", strategy.name()));
        url
    }
}

/// A user of this size.
pub(super) fn user(size: Size, administrator: &Administrator) -> Prepared<Users> {
    let users = Users::register(administrator.gateway(), 1)?;
    if let Size::Roles(count) = size {
        match administrator.change_now(users.username(0), &roles(count)) {
            Err(ExperimentError::Change { status }) => {
                let request = "PATCH /auth/users/{username}".to_owned();
                return Ok(Err(Refusal { request, status }));
            }
            given => given?,
        }
    }
    Ok(Ok(users))
}

/// As in a sentence: `jwt with 10 roles`.
impl fmt::Display for Arm {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} with {}", self.strategy.name(), self.size)
    }
}

fn presenting(request: RequestBuilder, login: &Variant) -> RequestBuilder {
    let headers = login.headers().iter();
    headers.fold(request, |request, (name, value)| {
        request.header(name, value)
    })
}

fn unreachable(what: &'static str) -> impl FnOnce(reqwest::Error) -> ExperimentError {
    move |error| ExperimentError::System {
        what,
        // Its URL may hold no secret, but its header fields do.
        source: io::Error::other(error.without_url()),
    }
}
