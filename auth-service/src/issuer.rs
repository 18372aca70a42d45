//! The only signer of access tokens and the only maker of sessions.

use std::{str::FromStr, time::Duration};

use shared::{
    clock::Clock,
    config::Secret,
    session::{SessionId, SessionRecord},
    token::{
        AccessClaims, AccessTokenProfile, RolesClaim, TokenAlgorithms, TokenError, TokenTypes,
    },
};

use crate::{
    keys::{KeyRing, KeysUnknown},
    random,
    scope::Scope,
    storage::UnixSeconds,
    users::User,
};

/// How far `iat` may lie ahead: a login after an end of all logins bears a later second than it.
const ISSUED_AHEAD: Duration = Duration::from_secs(60);

/// What is said in every token.
#[derive(Clone, Debug)]
pub struct TokenSettings {
    /// `iss`, byte for byte as configured.
    pub issuer: String,
    /// `aud`.
    pub audience: String,
    /// From `iat` to `exp`.
    pub access_ttl: Duration,
    /// From the login to the end of its family of refresh tokens.
    pub refresh_ttl: Duration,
    /// The longest life of a token by exchange.
    pub exchange_ttl: Duration,
    /// Values of `aud` that only exchanged tokens can have.
    pub exchange_audiences: Vec<String>,
}

/// The limits of sessions.
#[derive(Clone, Copy, Debug)]
pub struct SessionSettings {
    /// Without a request for so long it is over.
    pub idle: Duration,
    /// After so long it is over.
    pub absolute: Duration,
    /// Up to this fraction is taken from both.
    pub jitter: f64,
    /// The most logins of each kind, for tokens and for sessions, that a user has at a time.
    pub most: usize,
    /// The form of new ids.
    pub ids: SessionIds,
}

/// The form of the ids of new sessions. Those that are out are good in either.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionIds {
    /// They say where the session is in Redis.
    Tagged,
    /// As versions before there were tags know them.
    Plain,
}

impl FromStr for SessionIds {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "tagged" => Ok(Self::Tagged),
            "plain" => Ok(Self::Plain),
            _ => Err("must be tagged or plain"),
        }
    }
}

impl SessionSettings {
    /// What is left of the limits of one session: between `1 - jitter` and 1.
    pub(crate) fn share(&self) -> f64 {
        // Without randomness sessions only end together, so that is no error.
        let random = getrandom::u32().unwrap_or_default();
        1.0 - self.jitter * f64::from(random) / f64::from(u32::MAX)
    }
}

/// Signs tokens and begins sessions. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Issuer {
    keys: KeyRing,
    tokens: TokenSettings,
    sessions: SessionSettings,
    clock: Clock,
}

/// A token could not be signed: a fault of ours.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// The claims have no JSON form.
    #[error("the claims of a token cannot be written: {0}")]
    Claims(#[from] serde_json::Error),
    /// The key refused.
    #[error("the cryptographic library did not sign")]
    Sign,
    /// It is unknown which key signs.
    #[error(transparent)]
    Keys(#[from] KeysUnknown),
}

/// A token is none of ours, or it is unknown whether it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// It is not one, or it is over.
    #[error(transparent)]
    Refused(#[from] TokenError),
    /// Its key may be one that another replica made since the keys were read.
    #[error(transparent)]
    Undecided(#[from] KeysUnknown),
}

/// Whom a token speaks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// `sub`.
    pub id: String,
    /// The name the user logged in with; clients have none.
    pub username: Option<String>,
    /// What the subject may do.
    pub roles: Vec<String>,
    /// The login, if there is one.
    pub sid: Option<String>,
    /// When what the token is issued for ends; `None` for no end.
    pub ends_at: Option<UnixSeconds>,
    /// What was granted of the scope that was asked for, if any was.
    pub scope: Option<Scope>,
    /// `iat`; without it, the second in which the token is signed.
    pub issued_at: Option<UnixSeconds>,
    /// The generation of the credential that the token is issued for: what ends that ends the token.
    pub generation: Option<u64>,
}

/// A signed token for its owner.
#[derive(Debug)]
pub struct AccessToken {
    /// The token.
    pub text: Secret<String>,
    /// Seconds until it ends.
    pub expires_in: u64,
}

impl Issuer {
    /// An issuer with these keys and lives.
    #[must_use]
    pub fn new(
        keys: KeyRing,
        tokens: TokenSettings,
        sessions: SessionSettings,
        clock: Clock,
    ) -> Self {
        Self {
            keys,
            tokens,
            sessions,
            clock,
        }
    }

    /// Signs an access token of RFC 9068 for one login that a client has begun, which ends with the
    /// login at the latest.
    ///
    /// # Errors
    ///
    /// The key could not sign.
    pub fn access_token(
        &self,
        user: &User,
        client_id: &str,
        login: &str,
        login_ends: UnixSeconds,
        scope: Option<Scope>,
    ) -> Result<AccessToken, IssueError> {
        let subject = Subject {
            id: user.id.clone(),
            username: Some(user.username.clone()),
            roles: user.roles.clone(),
            sid: Some(login.to_owned()),
            ends_at: Some(login_ends),
            scope,
            issued_at: Some(user.issue_at),
            generation: Some(user.generation.get()),
        };
        let audience = self.audience();
        self.issue(subject, client_id, audience, self.tokens.access_ttl)
    }

    /// Signs a token in which a client speaks for itself: `sub` is the client (RFC 9068 §2.2), and
    /// it has no roles.
    ///
    /// # Errors
    ///
    /// The key could not sign.
    pub fn client_token(
        &self,
        client_id: &str,
        scope: Option<Scope>,
    ) -> Result<AccessToken, IssueError> {
        let subject = Subject {
            id: client_id.to_owned(),
            username: None,
            roles: Vec::new(),
            sid: None,
            ends_at: None,
            scope,
            issued_at: None,
            generation: None,
        };
        let audience = self.audience();
        self.issue(subject, client_id, audience, self.tokens.access_ttl)
    }

    /// Signs a short token for a client that presented a credential of the subject (RFC 8693), for
    /// an audience that [`Issuer::exchanges_for`].
    ///
    /// # Errors
    ///
    /// The key could not sign.
    pub fn exchanged_token(
        &self,
        subject: Subject,
        client_id: &str,
        audience: &str,
    ) -> Result<AccessToken, IssueError> {
        self.issue(subject, client_id, audience, self.tokens.exchange_ttl)
    }

    fn issue(
        &self,
        subject: Subject,
        client_id: &str,
        audience: &str,
        longest: Duration,
    ) -> Result<AccessToken, IssueError> {
        let now = self.now();
        let issued_at = subject.issued_at.unwrap_or(now);
        let latest = issued_at + longest;
        let ends_at = subject.ends_at.unwrap_or(latest).max(issued_at);
        let expires_at = latest.min(ends_at).get();
        let granted = subject.scope.unwrap_or(Scope::ALL);
        let claims = AccessClaims {
            iss: self.tokens.issuer.clone(),
            sub: subject.id,
            aud: vec![audience.to_owned()],
            client_id: client_id.to_owned(),
            iat: issued_at.get(),
            exp: expires_at,
            nbf: None,
            jti: random::text::<16>(),
            roles: if granted.has_roles() {
                subject.roles
            } else {
                Vec::new()
            },
            scope: subject.scope.map(|scope| scope.text().to_owned()),
            sid: subject.sid,
            preferred_username: subject.username.filter(|_| granted.has_profile()),
            generation: subject.generation,
        };
        let token = self
            .keys
            .signing(now)?
            .sign(&serde_json::to_vec(&claims)?)
            .map_err(|_| IssueError::Sign)?;
        Ok(AccessToken {
            text: Secret::new(token),
            expires_in: expires_at.saturating_sub(now.get()),
        })
    }

    /// Checks a token that this service signed, by the same profile as any resource server.
    ///
    /// # Errors
    ///
    /// It is not one, or it is over, or the keys are too old to tell.
    pub fn verify(&self, token: &str) -> Result<AccessClaims, VerifyError> {
        let profile = AccessTokenProfile {
            issuer: self.tokens.issuer.clone(),
            audience: self.tokens.audience.clone(),
            leeway: ISSUED_AHEAD,
            max_lifetime: self.tokens.access_ttl,
            types: TokenTypes::default(),
            algorithms: TokenAlgorithms::default(),
            roles: RolesClaim::default(),
        };
        let now = self.clock.unix_seconds();
        let verdict: Result<AccessClaims, TokenError> = self
            .keys
            .with_public(|keys| profile.verify(token, keys, now));
        match verdict {
            // Signed and checked by the same clock, so what is over is over.
            Ok(claims) if now >= claims.exp => Err(TokenError::Expired.into()),
            Err(TokenError::UnknownKey { .. }) if !self.keys.is_complete() => {
                Err(KeysUnknown.into())
            }
            verdict => Ok(verdict?),
        }
    }

    /// A new session of a user: always a new id, so that one planted before a login is worth
    /// nothing after it.
    #[must_use]
    pub fn session(&self, user: &User) -> (SessionId, SessionRecord) {
        let now = user.issue_at.get();
        let share = self.sessions.share();
        let record = SessionRecord {
            sid: SessionRecord::new_sid(now),
            subject: user.id.clone(),
            username: user.username.clone(),
            roles: user.roles.clone(),
            created_at: now,
            expires_at: now + shortened(self.sessions.absolute, share),
            idle_seconds: shortened(self.sessions.idle, share),
            generation: Some(user.generation.get()),
        };
        let id = match self.sessions.ids {
            SessionIds::Tagged => SessionId::generate(&user.id),
            SessionIds::Plain => SessionId::generate_plain(),
        };
        (id, record)
    }

    /// The most logins for tokens that a user has at a time.
    #[must_use]
    pub fn most_logins(&self) -> usize {
        self.sessions.most
    }

    /// The life of an exchanged token.
    #[must_use]
    pub fn exchanged_life(&self) -> Duration {
        self.tokens.exchange_ttl
    }

    /// When a login of now can be renewed no more.
    #[must_use]
    pub fn refresh_limit(&self) -> UnixSeconds {
        self.now() + self.tokens.refresh_ttl
    }

    /// The time by which this issuer counts.
    #[must_use]
    pub fn now(&self) -> UnixSeconds {
        UnixSeconds::now(&self.clock)
    }

    /// `iss`, byte for byte.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.tokens.issuer
    }

    /// `aud` of every token that is not exchanged for another audience.
    #[must_use]
    pub fn audience(&self) -> &str {
        &self.tokens.audience
    }

    /// Whether an exchange gives tokens for this audience.
    #[must_use]
    pub fn exchanges_for(&self, audience: &str) -> bool {
        let further = &self.tokens.exchange_audiences;
        audience == self.audience() || further.iter().any(|other| other == audience)
    }

    /// The published keys.
    #[must_use]
    pub fn keys(&self) -> &KeyRing {
        &self.keys
    }
}

/// A limit in whole seconds, never longer than configured and never nothing.
fn shortened(limit: std::time::Duration, share: f64) -> u64 {
    limit.mul_f64(share).as_secs().max(1)
}
