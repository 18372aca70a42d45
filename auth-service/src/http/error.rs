//! From what happened inside to what a caller sees: the only place that knows status codes.

use actix_web::{HttpResponse, ResponseError, http::StatusCode};
use serde_json::json;
use shared::{problem::Problem, session::StoreError};

use crate::{
    issuer::{IssueError, VerifyError},
    keys::{KeyError, KeysUnknown, RotationError},
    limits::Remaining,
    passwords::{self, HashError},
    refresh::RotateError,
    storage::DatabaseError,
};

/// A request that was not answered as hoped.
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
    /// The same was asked for several times in the last seconds.
    #[error("asked for too often")]
    TooSoon,
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
    /// Nothing has the name or the id.
    #[error("there is no such thing")]
    NotFound,
    /// An administrator would lock themselves out.
    #[error("an administrator keeps the role and stays enabled")]
    OwnAccount,
    /// A browser sent the cookie on behalf of another site.
    #[error("another site sent the cookie")]
    CrossSite,
    /// Everything of the user was ended while the login was under way.
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
    /// The keys were given as files, which nobody rotates here.
    #[error("the signing keys were given as files")]
    GivenKeys,
    /// Another replica may have made a key since they were read.
    #[error(transparent)]
    KeysUnknown(#[from] KeysUnknown),
    /// The next signing key was not made.
    #[error(transparent)]
    Keys(KeyError),
}

/// The registered error codes that the endpoints of OAuth answer with (RFC 6749 §5.2, and
/// RFC 8693 §2.2.2 for the last).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum OAuthError {
    /// A parameter is missing, repeated or of the wrong form.
    #[error("{0}")]
    InvalidRequest(&'static str),
    /// The client did not prove who it is.
    #[error("the client is unknown or did not authenticate")]
    InvalidClient,
    /// The client is known and may not do this.
    #[error("the client may not do this")]
    UnauthorizedClient,
    /// The code or token is unknown, over, spent, revoked or another client's.
    #[error("the code or token is not valid, or it is another client's")]
    InvalidGrant,
    /// There are no scopes here.
    #[error("there are no scopes here: leave scope out")]
    InvalidScope,
    /// No token is issued for this audience or resource.
    #[error("no token is issued for this audience or resource")]
    InvalidTarget,
    /// Another grant than those of the metadata.
    #[error("the grant types are those of the authorization server metadata")]
    UnsupportedGrantType,
}

impl OAuthError {
    fn code(self) -> &'static str {
        match self {
            Self::InvalidRequest(_) => "invalid_request",
            Self::InvalidClient => "invalid_client",
            Self::UnauthorizedClient => "unauthorized_client",
            Self::InvalidGrant => "invalid_grant",
            Self::InvalidScope => "invalid_scope",
            Self::InvalidTarget => "invalid_target",
            Self::UnsupportedGrantType => "unsupported_grant_type",
        }
    }

    /// 401 asks for authentication and names the way (RFC 6749 §5.2, RFC 9110 §15.5.2).
    fn response(self) -> HttpResponse {
        let mut response = match self {
            Self::InvalidClient => {
                let mut response = HttpResponse::Unauthorized();
                response.insert_header(("www-authenticate", "Basic realm=\"statewise\""));
                response
            }
            _ => HttpResponse::BadRequest(),
        };
        response.json(json!({
            "error": self.code(),
            "error_description": self.to_string(),
        }))
    }
}

impl Error {
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
            Self::TooSoon => Problem::new(429, "too-often", "This was asked for too often")
                .detail("Once a second is enough: it was done a moment ago.")
                .header("retry-after", "1"),
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
            Self::OAuth(error) => {
                let status = if *error == OAuthError::InvalidClient {
                    401
                } else {
                    400
                };
                Problem::new(status, error.code(), "The request to OAuth was refused")
            }
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
            Self::Hash(HashError::Failed(_)) | Self::Issue(_) | Self::Seal | Self::Keys(_) => {
                Problem::internal()
            }
        }
    }
}

impl ResponseError for Error {
    fn status_code(&self) -> StatusCode {
        self.problem().status_code()
    }

    fn error_response(&self) -> HttpResponse {
        let problem = self.problem();
        // Once, at the edge: a caller's fault is no event of ours.
        if problem.status >= 500 {
            tracing::warn!(error = %self, status = problem.status, "a request was not answered");
        }
        let mut response = match self {
            Self::OAuth(error) => error.response(),
            _ => problem.error_response(),
        };
        response.headers_mut().insert(
            actix_web::http::header::CACHE_CONTROL,
            actix_web::http::header::HeaderValue::from_static("no-store"),
        );
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
            Error::Sessions(StoreError::Down),
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
