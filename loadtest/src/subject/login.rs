//! Real users: registered and logged in through the gateway, with real password hashing.

use std::time::Duration;

use reqwest::{StatusCode, blocking::Client};
use serde::{Deserialize, Serialize};
use url::Url;

use crate::{load::Variant, subject::strategy::Strategy};

/// Hashing a password takes tens of milliseconds of CPU, on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(20);

/// Kind of credential that a strategy is presented with, as `POST /login` spells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Credential {
    /// A signed access token.
    Token,
    /// An opaque session id.
    Session,
}

impl Credential {
    /// What `strategy` is presented with; `None` for a strategy that is not known.
    #[must_use]
    pub fn of(strategy: &str) -> Option<Self> {
        Strategy::named(strategy).map(Strategy::credential)
    }

    /// As in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Session => "session",
        }
    }
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
        for account in &users.accounts {
            users.post(
                "registering a user",
                "/register",
                account,
                StatusCode::CREATED,
            )?;
        }
        Ok(users)
    }

    fn of(gateway: &Url, accounts: Vec<Account>) -> Result<Self, LoginError> {
        let auth = format!("{}/auth", gateway.as_str().trim_end_matches('/'));
        let client = Client::builder()
            .timeout(PATIENCE)
            .build()
            .map_err(|source| LoginError::Unreachable {
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
        let users = 0..self.accounts.len();
        users
            .map(|user| Ok(Variant::bearer(&self.log_in_one(user, credential)?)))
            .collect()
    }

    /// Logs one user in and gives the credential.
    ///
    /// # Errors
    ///
    /// The auth service cannot be reached or refuses.
    pub fn log_in_one(&self, user: usize, credential: Credential) -> Result<String, LoginError> {
        const WHAT: &str = "logging in";
        let login = Login {
            account: &self.accounts[user],
            credential,
        };
        let response = self.post(WHAT, "/login", &login, StatusCode::OK)?;
        let url = response.url().to_string();
        let granted: Granted = response.json().map_err(|source| LoginError::Unreachable {
            what: WHAT,
            url: url.clone(),
            source,
        })?;
        let granted = match credential {
            Credential::Token => granted.access_token,
            Credential::Session => granted.session_id,
        };
        granted.ok_or(LoginError::Refused {
            what: "logging in, without a credential in the answer,",
            url,
            status: StatusCode::OK,
        })
    }

    fn post(
        &self,
        what: &'static str,
        path: &str,
        body: &impl Serialize,
        wanted: StatusCode,
    ) -> Result<reqwest::blocking::Response, LoginError> {
        let url = format!("{}{path}", self.auth);
        match self.client.post(&url).json(body).send() {
            Ok(response) if response.status() == wanted => Ok(response),
            Ok(response) => Err(LoginError::Refused {
                what,
                url,
                status: response.status(),
            }),
            Err(source) => Err(LoginError::Unreachable { what, url, source }),
        }
    }
}

impl Account {
    fn new() -> Result<Self, LoginError> {
        let random = || getrandom::u64().map_err(LoginError::Random);
        Ok(Self {
            username: format!("load-{:016x}", random()?),
            password: format!("{:016x}{:016x}", random()?, random()?),
        })
    }
}
