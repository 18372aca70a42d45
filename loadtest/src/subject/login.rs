//! Real users: registered and logged in through the gateway, with real password hashing.

mod tokens;

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use reqwest::{
    StatusCode,
    blocking::{Client, RequestBuilder, Response},
};
use serde::{Deserialize, Serialize};
use url::Url;

use crate::{
    load::Variant,
    subject::{
        client::client,
        stack::{Role, StackOptions},
        strategy::Credential,
    },
};

/// Hashing a password takes tens of milliseconds of CPU, on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(20);

/// Requests at a time: enough to keep the auth service busy, and far fewer than it lets wait.
const AT_A_TIME: usize = 8;

/// The least work that Argon2id does: 8 KiB, one pass.
const CHEAP_HASHING: [(&str, &str); 2] = [
    ("AUTH_ARGON2_MEMORY_KIB", "8"),
    ("AUTH_ARGON2_ITERATIONS", "1"),
];
/// What the results of a system with [`cheap_hashing`] must say.
pub const CHEAP_HASHING_NOTE: &str = "Passwords were hashed with 8 KiB and one pass of Argon2id in \
    place of 19 MiB and two, so that many logins are possible: a login costs tens of milliseconds of \
    CPU less here than in production.";

/// The same system with a password hash that costs next to nothing, for what needs many logins.
#[must_use]
pub fn cheap_hashing(stack: StackOptions) -> StackOptions {
    CHEAP_HASHING
        .into_iter()
        .fold(stack, |stack, (name, value)| {
            stack.variable(Role::Auth, name, value)
        })
}

/// The body of a request for a new access token (RFC 6749 §6), and its media type.
#[must_use]
pub fn refreshing(refresh_token: &str) -> (&'static str, String) {
    let form = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("grant_type", "refresh_token")
        .append_pair("refresh_token", refresh_token)
        .finish();
    ("application/x-www-form-urlencoded", form)
}

/// A password that nobody else has.
///
/// # Errors
///
/// The operating system gives no random numbers.
pub fn password() -> Result<String, LoginError> {
    let random = || getrandom::u64().map_err(LoginError::Random);
    Ok(format!("{:016x}{:016x}", random()?, random()?))
}

/// Users could not be registered or logged in.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// The auth service, or the gateway before it, could not be reached.
    #[error("{what} at {url}: {source}")]
    Unreachable {
        /// What was tried.
        what: &'static str,
        /// Where.
        url: String,
        /// Why it failed.
        source: reqwest::Error,
    },
    /// It answered something else than expected.
    #[error("{what} at {url} was answered with {status}")]
    Refused {
        /// What was tried.
        what: &'static str,
        /// Where.
        url: String,
        /// The answer.
        status: StatusCode,
    },
    /// The operating system gives no random numbers.
    #[error("no random numbers: {0}")]
    Random(getrandom::Error),
}

/// Registered users, who can be logged in as often as needed.
pub struct Users {
    client: Client,
    auth: String,
    accounts: Vec<Account>,
}

#[derive(Serialize)]
struct Account {
    username: String,
    password: String,
}

#[derive(Serialize)]
struct Login<'a> {
    #[serde(flatten)]
    account: &'a Account,
    credential: Credential,
}

#[derive(Deserialize)]
struct Granted {
    access_token: Option<String>,
    session_id: Option<String>,
    refresh_token: Option<String>,
    expires_in: Option<u64>,
}

/// What a login gave.
pub struct LoggedIn {
    /// Access token or session id.
    pub credential: String,
    /// What renews the access token, once; sessions have none.
    pub refresh_token: Option<String>,
    /// How long the credential lasts, if the answer says so.
    pub expires_in: Option<Duration>,
}

impl Users {
    /// Registers `count` users with names and passwords that nobody else has, through `gateway`.
    ///
    /// # Errors
    ///
    /// The auth service cannot be reached or refuses.
    pub fn register(gateway: &Url, count: usize) -> Result<Self, LoginError> {
        let accounts = (0..count)
            .map(|_| Account::new())
            .collect::<Result<Vec<_>, _>>()?;
        let users = Self::of(gateway, accounts)?;
        in_parallel(count, |user| {
            let account = &users.accounts[user];
            users.post(
                "registering a user",
                "/register",
                account,
                StatusCode::CREATED,
            )
        })?;
        Ok(users)
    }

    fn of(gateway: &Url, accounts: Vec<Account>) -> Result<Self, LoginError> {
        let auth = format!("{}/auth", gateway.as_str().trim_end_matches('/'));
        let client = client(PATIENCE).map_err(|source| LoginError::Unreachable {
            what: "building an HTTP client",
            url: auth.clone(),
            source,
        })?;
        Ok(Self {
            client,
            auth,
            accounts,
        })
    }

    /// A user who was registered elsewhere, such as the administrator of a stack.
    ///
    /// # Errors
    ///
    /// No HTTP client can be made.
    pub fn known(gateway: &Url, username: &str, password: &str) -> Result<Self, LoginError> {
        let account = Account {
            username: username.to_owned(),
            password: password.to_owned(),
        };
        Self::of(gateway, vec![account])
    }

    /// Name of a user.
    #[must_use]
    pub fn username(&self, user: usize) -> &str {
        &self.accounts[user].username
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.accounts.len()
    }

    /// The body of a login of a user, as `POST /login` takes it.
    #[must_use]
    pub fn login_body(&self, user: usize, credential: Credential) -> String {
        let login = Login {
            account: &self.accounts[user],
            credential,
        };
        serde_json::to_string(&login).unwrap_or_default()
    }

    /// Logs every user in and gives one request variant each.
    ///
    /// # Errors
    ///
    /// The auth service cannot be reached or refuses.
    pub fn log_in(&self, credential: Credential) -> Result<Vec<Variant>, LoginError> {
        let logins = self.log_in_times(self.accounts.len(), credential)?;
        let variants = logins
            .iter()
            .map(|login| Variant::bearer(&login.credential));
        Ok(variants.collect())
    }

    /// Logs users in, in turn, until there are `count` logins.
    ///
    /// # Errors
    ///
    /// The auth service cannot be reached or refuses.
    pub fn log_in_times(
        &self,
        count: usize,
        credential: Credential,
    ) -> Result<Vec<LoggedIn>, LoginError> {
        in_parallel(count, |number| {
            self.log_in_once(number % self.accounts.len(), credential)
        })
    }

    /// Logs one user in and gives the credential.
    ///
    /// # Errors
    ///
    /// The auth service cannot be reached or refuses.
    pub fn log_in_one(&self, user: usize, credential: Credential) -> Result<String, LoginError> {
        Ok(self.log_in_once(user, credential)?.credential)
    }

    /// Logs one user in.
    ///
    /// # Errors
    ///
    /// The auth service cannot be reached or refuses.
    pub fn log_in_once(&self, user: usize, credential: Credential) -> Result<LoggedIn, LoginError> {
        const WHAT: &str = "logging in";
        let login = Login {
            account: &self.accounts[user],
            credential,
        };
        let response = self.post(WHAT, "/login", &login, StatusCode::OK)?;
        granted(WHAT, response, credential)
    }

    fn post(
        &self,
        what: &'static str,
        path: &str,
        body: &impl Serialize,
        wanted: StatusCode,
    ) -> Result<Response, LoginError> {
        let url = format!("{}{path}", self.auth);
        let request = self.client.post(&url).json(body);
        answered(what, url, request, wanted)
    }
}

/// The answer to a request, which must have the status `wanted`.
fn answered(
    what: &'static str,
    url: String,
    request: RequestBuilder,
    wanted: StatusCode,
) -> Result<Response, LoginError> {
    match request.send() {
        Ok(response) if response.status() == wanted => Ok(response),
        Ok(response) => Err(LoginError::Refused {
            what,
            url,
            status: response.status(),
        }),
        Err(source) => Err(unreachable(what, url)(source)),
    }
}

/// What a login, or a renewal, gave.
fn granted(
    what: &'static str,
    response: Response,
    credential: Credential,
) -> Result<LoggedIn, LoginError> {
    let url = response.url().to_string();
    let granted: Granted = response.json().map_err(unreachable(what, url.clone()))?;
    let given = match credential {
        Credential::Token => granted.access_token,
        Credential::Session => granted.session_id,
    };
    let given = given.ok_or(LoginError::Refused {
        what: "logging in, without a credential in the answer,",
        url,
        status: StatusCode::OK,
    })?;
    Ok(LoggedIn {
        credential: given,
        refresh_token: granted.refresh_token,
        expires_in: granted.expires_in.map(Duration::from_secs),
    })
}

fn unreachable(what: &'static str, url: String) -> impl FnOnce(reqwest::Error) -> LoginError {
    move |source| LoginError::Unreachable {
        what,
        url,
        // It would be told twice.
        source: source.without_url(),
    }
}

/// Does `work` for 0 to `count`, some at a time, and gives what came in that order, or the first
/// failure; nothing is begun after one.
pub(super) fn in_parallel<T: Send, E: Send>(
    count: usize,
    work: impl Fn(usize) -> Result<T, E> + Sync,
) -> Result<Vec<T>, E> {
    let next = AtomicUsize::new(0);
    let worker = || {
        let mut done = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count {
                return Ok(done);
            }
            match work(number) {
                Ok(one) => done.push((number, one)),
                Err(error) => {
                    next.store(count, Ordering::Relaxed);
                    return Err(error);
                }
            }
        }
    };
    let parts = thread::scope(|scope| {
        let workers: Vec<_> = (0..AT_A_TIME.min(count))
            .map(|_| scope.spawn(worker))
            .collect();
        let joined = workers.into_iter().map(|worker| match worker.join() {
            Ok(part) => part,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        joined.collect::<Result<Vec<_>, E>>()
    })?;
    let mut all: Vec<(usize, T)> = parts.into_iter().flatten().collect();
    all.sort_unstable_by_key(|(number, _)| *number);
    Ok(all.into_iter().map(|(_, one)| one).collect())
}

impl Account {
    fn new() -> Result<Self, LoginError> {
        let name = getrandom::u64().map_err(LoginError::Random)?;
        Ok(Self {
            username: format!("load-{name:016x}"),
            password: password()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_done_in_parallel_comes_in_order() {
        let done: Result<Vec<usize>, ()> = in_parallel(1_000, Ok);
        assert_eq!(done, Ok((0..1_000).collect()));
        assert_eq!(in_parallel(0, Err::<(), _>), Ok(Vec::new()));
    }

    #[test]
    fn nothing_is_begun_after_a_failure() {
        let begun = AtomicUsize::new(0);
        let done = in_parallel(100_000, |number| {
            begun.fetch_add(1, Ordering::Relaxed);
            if number == 10 { Err(number) } else { Ok(()) }
        });
        assert_eq!(done, Err(10));
        assert!(begun.load(Ordering::Relaxed) < 100_000);
    }
}
