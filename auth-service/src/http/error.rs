//! From what happened inside to what a caller sees: the one mapping from errors to answers.

mod oauth;

use actix_web::{
    HttpResponse, ResponseError,
    http::{
        StatusCode,
        header::{CACHE_CONTROL, HeaderValue},
    },
};
use shared::{problem::Problem, session::StoreError};

pub(crate) use self::oauth::{OAuthError, OAuthRefusal};
use crate::{
    issuer::{IssueError, VerifyError},
    keys::{KeyError, KeysUnknown, RotationError},
    limits::{LimitError, Remaining},
    passwords::{self, HashError},
    refresh::RotateError,
    storage::DatabaseError,
};

/// A request that was refused or could not be answered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The body is JSON but not what this route takes: every fault of it.
    #[error("the body is not what this route takes")]
    Faulty(Vec<String>),
    /// The name belongs to somebody.
    #[error("the username is taken")]
    Taken,
    /// Unknown user or wrong password; which of them is not said.
    #[error("the username or the password is wrong")]
    WrongCredentials,
    /// Too many logins have failed; why and until when.
    #[error("too many failed logins")]
    TooManyFailures(Remaining),
    /// As many tokens as can be remembered are revoked one by one.
    #[error("too many tokens are revoked one by one")]
    TooManyRevoked,
    /// No credential was presented.
    #[error("no credential")]
    NoCredential,
    /// A credential was presented that is none, or none any more.
    #[error("the credential is not valid")]
    InvalidCredential,
    /// Several credentials were presented, and which one is meant cannot be known.
    #[error("more than one credential")]
    Ambiguous,
    /// The credential is valid, its user may not do this.
    #[error("the caller may not do this")]
    NotAllowed,
    /// The password was right, and the user may not log in.
    #[error("the user is disabled")]
    Disabled,
    /// There is nothing of this name or id.
    #[error("there is no such thing")]
    NotFound,
    /// A text is the id of one user and the name of another.
    #[error("the id of one user and the name of another")]
    AmbiguousUser,
    /// An administrator would lock themselves out.
    #[error("an administrator keeps the role and stays enabled")]
    OwnAccount,
    /// A browser sent the cookie on behalf of another site.
    #[error("another site sent the cookie")]
    CrossSite,
    /// All logins of the user were ended while this one was being made.
    #[error("the login was overtaken by an end of all logins")]
    Superseded,
    /// A refused request to the token endpoint, RFC 6749 §5.2.
    #[error("{0}")]
    OAuth(#[from] OAuthError),
    /// The user store gave no answer.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The session store gave no answer.
    #[error(transparent)]
    Sessions(#[from] StoreError),
    /// The password was not hashed.
    #[error(transparent)]
    Hash(#[from] HashError),
    /// The token was not signed.
    #[error(transparent)]
    Issue(#[from] IssueError),
    /// The successor of a refresh token was not sealed.
    #[error("a refresh token was not sealed")]
    Seal,
    /// The keys were given as files, which are not rotated here.
    #[error("the signing keys were given as files")]
    GivenKeys,
    /// Another replica may have made a key since they were read.
    #[error(transparent)]
    KeysUnknown(#[from] KeysUnknown),
    /// The next signing key was not made.
    #[error(transparent)]
    Keys(KeyError),
}

impl From<LimitError> for Error {
    fn from(error: LimitError) -> Self {
        match error {
            LimitError::Empty(remaining) => Self::TooManyFailures(remaining),
            LimitError::Database(error) => error.into(),
        }
    }
}

impl Error {
    fn answer(&self) -> HttpResponse {
        match self {
            Self::OAuth(error) => error.response(),
            error => error.problem().error_response(),
        }
    }

    fn problem(&self) -> Problem {
        match self {
            Self::Faulty(faults) => {
                Problem::new(400, "invalid-input", "The body is not what this path takes")
                    .detail(faults.join("; "))
            }
            Self::Taken => Problem::new(409, "username-taken", "This username is taken"),
            Self::WrongCredentials => Problem::new(
                401,
                "wrong-credentials",
                "The username or the password is wrong",
            )
            .header("www-authenticate", "Bearer"),
            Self::TooManyFailures(remaining) => {
                Problem::new(429, "too-many-attempts", "Too many logins have failed")
                    .detail("Wait as long as Retry-After says.")
                    .header("retry-after", remaining.next_in.max(1).to_string())
            }
            Self::TooManyRevoked => Problem::new(
                503,
                "too-many-revoked",
                "Too many tokens are revoked one by one",
            )
            .detail("This one goes on until it ends by itself. Its login can be ended.")
            .header("retry-after", "60"),
            Self::NoCredential => Problem::new(401, "no-credential", "Present a credential")
                .header("www-authenticate", "Bearer"),
            Self::InvalidCredential => {
                Problem::new(401, "invalid-credential", "The credential is not valid")
                    .header("www-authenticate", "Bearer error=\"invalid_token\"")
            }
            Self::Ambiguous => Problem::new(
                400,
                "ambiguous-credential",
                "More than one credential is presented",
            )
            .header("www-authenticate", "Bearer error=\"invalid_request\""),
            Self::NotAllowed => Problem::new(403, "not-allowed", "The caller may not do this")
                .header("www-authenticate", "Bearer error=\"insufficient_scope\""),
            Self::Disabled => Problem::new(403, "account-disabled", "This account is disabled"),
            Self::NotFound => Problem::not_found(),
            Self::AmbiguousUser => Problem::new(
                409,
                "ambiguous-user",
                "This is the id of one user and the name of another",
            )
            .detail("Name the user by username, or by id below /users/by-id."),
            Self::OwnAccount => Problem::new(
                409,
                "own-account",
                "Nobody disables themselves or gives their own administration away",
            ),
            Self::CrossSite => Problem::new(
                403,
                "cross-site",
                "A cookie changes nothing on behalf of another site",
            ),
            Self::Superseded => Problem::unavailable(
                "login-overtaken",
                "All logins were ended while this one was under way",
            ),
            Self::Database(_) => Problem::unavailable(
                "user-store-unavailable",
                "Users cannot be read or written now",
            ),
            Self::Sessions(_) => Problem::unavailable(
                "session-store-unavailable",
                "Sessions cannot be read or written now",
            ),
            Self::Hash(HashError::Busy) => Problem::new(
                503,
                "too-many-logins",
                "Too many passwords wait to be checked",
            )
            .header("retry-after", passwords::RETRY_AFTER.as_secs().to_string()),
            Self::KeysUnknown(_) | Self::Issue(IssueError::Keys(_)) => Problem::unavailable(
                "signing-keys-unavailable",
                "The signing keys cannot be read now",
            ),
            Self::GivenKeys => Problem::new(
                409,
                "keys-are-given",
                "The keys are those of AUTH_SIGNING_KEY_FILES, which are not rotated here",
            ),
            Self::Hash(HashError::Failed(_))
            | Self::Issue(_)
            | Self::Seal
            | Self::Keys(_)
            | Self::OAuth(_) => Problem::internal(),
        }
    }
}

impl ResponseError for Error {
    fn status_code(&self) -> StatusCode {
        self.answer().status()
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = self.answer();
        // Once, at the edge: a caller's fault is no event of ours.
        if response.status().is_server_error() {
            let status = response.status().as_u16();
            tracing::warn!(error = %self, status, "a request was not answered");
        }
        response
            .headers_mut()
            .insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}

impl From<RotateError> for Error {
    fn from(error: RotateError) -> Self {
        match error {
            RotateError::Database(error) => Self::Database(error),
            RotateError::Seal => Self::Seal,
        }
    }
}

impl From<VerifyError> for Error {
    fn from(error: VerifyError) -> Self {
        match error {
            VerifyError::Refused(_) => Self::InvalidCredential,
            VerifyError::Undecided(error) => Self::KeysUnknown(error),
        }
    }
}

impl From<RotationError> for Error {
    fn from(error: RotationError) -> Self {
        match error {
            RotationError::Given => Self::GivenKeys,
            RotationError::Failed(KeyError::Database(error)) => Self::Database(error),
            RotationError::Failed(error) => Self::Keys(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_decided_is_never_the_callers_fault() {
        for error in [
            Error::Database(DatabaseError::Failed(sqlx::Error::PoolTimedOut)),
            Error::Sessions(StoreError::Broken),
            Error::Hash(HashError::Busy),
            Error::KeysUnknown(KeysUnknown),
            Error::Issue(KeysUnknown.into()),
        ] {
            let response = error.error_response();
            assert_eq!(response.status(), 503, "{error}");
            assert!(response.headers().contains_key("retry-after"), "{error}");
        }
    }
}
