//! The service in process on a free port, and requests to it.

use std::{
    collections::BTreeMap,
    net::TcpListener,
    time::{Duration, UNIX_EPOCH},
};

use api_service::{
    Authorities, Config, IssuerSettings, JwksSettings, Jwt, KeySource, LoginSettings, Session,
    StateKeys, StrategyConfig, TokenSettings, run,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use reqwest::{Method, header::HeaderMap};
use serde_json::Value;
use shared::{
    clock::Clock,
    server::ServerSettings,
    session::StoreSettings,
    shutdown::{CancellationToken, Drain},
    telemetry::{ResourceAttributes, TelemetrySettings, logs::LogSettings},
    token::{AccessTokenProfile, RolesClaim, TokenAlgorithms, TokenTypes},
};

use crate::{
    eventually,
    issuer::Issuer,
    signer::{AUDIENCE, ISSUER},
};

/// Where the clock of every test stands at first.
pub(crate) const NOW: u64 = 1_800_000_000;
/// Longer than any test: what is due after it does not happen.
pub(crate) const NEVER: Duration = Duration::from_secs(3_600);

pub(crate) struct Service {
    pub(crate) clock: Clock,
    pub(crate) url: String,
    client: reqwest::Client,
    shutdown: CancellationToken,
}

/// A header of a request, or a part of a query.
pub(crate) type Header = (&'static str, String);

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// Cannot be decided: to be asked again, and nothing said about the credential.
    #[track_caller]
    pub(crate) fn is_undecidable(&self) {
        assert_eq!(self.status, 503, "{self:?}");
        assert_eq!(self.header("retry-after"), Some("1"), "{self:?}");
        assert_eq!(self.header("cache-control"), Some("no-store"), "{self:?}");
        assert_eq!(self.header("www-authenticate"), None, "{self:?}");
        assert_eq!(self.header("set-cookie"), None, "{self:?}");
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json")
        );
    }
}

/// The profile of tokens with keys from this issuer, none remembered.
pub(crate) fn tokens(issuer: &Issuer, refresh: Duration, cooldown: Duration) -> TokenSettings {
    TokenSettings {
        issuer: trusted(ISSUER, KeySource::At(issuer.url()), refresh, cooldown),
        others: Vec::new(),
        remembered: 0,
    }
}

/// An issuer of this name, with keys from there.
pub(crate) fn trusted(
    name: &str,
    keys: KeySource,
    refresh: Duration,
    cooldown: Duration,
) -> IssuerSettings {
    IssuerSettings {
        profile: AccessTokenProfile {
            issuer: name.to_owned(),
            audience: AUDIENCE.to_owned(),
            leeway: Duration::from_secs(30),
            max_lifetime: Duration::from_secs(86_400),
            types: TokenTypes::default(),
            algorithms: TokenAlgorithms::default(),
            roles: RolesClaim::default(),
        },
        jwks: JwksSettings {
            issuer: name.to_owned(),
            keys,
            authorities: Authorities::default(),
            refresh,
            cooldown,
            leeway: Duration::from_secs(30),
        },
    }
}

/// The jwt strategy with keys from this issuer.
pub(crate) fn jwt(issuer: &Issuer, refresh: Duration, cooldown: Duration) -> StrategyConfig {
    Jwt(tokens(issuer, refresh, cooldown)).into()
}

/// The session strategy with this Redis.
pub(crate) fn session(store: StoreSettings) -> StrategyConfig {
    Session(store).into()
}

/// Data of a login when a test says nothing about them.
pub(crate) fn no_state() -> LoginSettings {
    LoginSettings {
        state_keys: None,
        state_ttl: Duration::from_secs(43_200),
        meaningless_cookie: false,
    }
}

/// With these keys, of which the first seals.
pub(crate) fn state_keys(ids: &[(&str, u8)]) -> LoginSettings {
    let keys = ids.iter().map(|(id, byte)| {
        let key = URL_SAFE_NO_PAD.encode([*byte; 32]);
        format!("{id}={key}")
    });
    let keys: Vec<_> = keys.collect();
    LoginSettings {
        state_keys: Some(StateKeys::parse(&keys.join(",")).unwrap()),
        ..no_state()
    }
}

impl Service {
    /// Starts and does not wait until it is ready.
    pub(crate) fn start(strategy: StrategyConfig) -> Self {
        Self::start_with(strategy, BTreeMap::new())
    }

    /// Starts with a table of routes.
    pub(crate) fn start_with(
        strategy: StrategyConfig,
        routes: BTreeMap<&'static str, StrategyConfig>,
    ) -> Self {
        Self::launch(strategy, routes, no_state())
    }

    fn launch(
        strategy: StrategyConfig,
        routes: BTreeMap<&'static str, StrategyConfig>,
        login: LoginSettings,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let clock = Clock::manual(UNIX_EPOCH + Duration::from_secs(NOW));
        let shutdown = CancellationToken::new();
        let config = Config {
            listen: listener.local_addr().unwrap(),
            admin_listen: None,
            replica: Some("replica-1".to_owned()),
            strategy,
            routes,
            login,
            server: ServerSettings {
                workers: 2,
                drain: Drain {
                    grace: Duration::ZERO,
                    timeout: Duration::from_secs(1),
                },
            },
            telemetry: TelemetrySettings {
                logs: LogSettings::default(),
                tracing: None,
                service_name: None,
                attributes: ResourceAttributes::default(),
            },
        };
        tokio::spawn(run(config, listener, clock.clone(), shutdown.clone()));
        Self {
            clock,
            url,
            client: reqwest::Client::builder().no_proxy().build().unwrap(),
            shutdown,
        }
    }

    /// Starts and waits until it is ready.
    pub(crate) async fn ready(strategy: StrategyConfig) -> Self {
        Self::ready_with(strategy, no_state()).await
    }

    /// Starts with what the client carries, and waits until it is ready.
    pub(crate) async fn ready_with(strategy: StrategyConfig, login: LoginSettings) -> Self {
        let service = Self::launch(strategy, BTreeMap::new(), login);
        eventually(async || service.get("/readyz", &[]).await.status == 200).await;
        service
    }

    pub(crate) async fn get(&self, path: &str, headers: &[Header]) -> Answer {
        self.send(Method::GET, path, headers).await
    }

    /// `GET /me` with a bearer.
    pub(crate) async fn me(&self, bearer: &str) -> Answer {
        self.get("/me", &[("authorization", format!("Bearer {bearer}"))])
            .await
    }

    pub(crate) async fn send(&self, method: Method, path: &str, headers: &[Header]) -> Answer {
        self.send_body(method, path, headers, "").await
    }

    pub(crate) async fn send_body(
        &self,
        method: Method,
        path: &str,
        headers: &[Header],
        body: impl Into<reqwest::Body>,
    ) -> Answer {
        let mut request = self.client.request(method, format!("{}{path}", self.url));
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let response = request.body(body).send().await.unwrap();
        Answer {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            body: response.text().await.unwrap(),
        }
    }

    /// Whether the metrics have a line that begins so.
    pub(crate) async fn measures(&self, line: &str) -> bool {
        let text = self.get("/metrics", &[]).await.body;
        text.lines().any(|known| known.starts_with(line))
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}
