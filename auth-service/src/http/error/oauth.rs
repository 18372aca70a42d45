//! Refusals of the endpoints of OAuth, RFC 6749 §5.2.

use actix_web::HttpResponse;
use serde::Serialize;
use utoipa::ToSchema;

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
    /// The scope is none, or more than was granted to the login.
    #[error("the scope is malformed, or more than was granted")]
    InvalidScope,
    /// No token is issued for this audience or resource.
    #[error("no token is issued for this audience or resource")]
    InvalidTarget,
    /// Another grant than those of the metadata.
    #[error("the grant types are those of the authorization server metadata")]
    UnsupportedGrantType,
}

/// RFC 6749 §5.2.
#[derive(Serialize, ToSchema)]
pub(crate) struct OAuthRefusal {
    error: OAuthCode,
    error_description: String,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum OAuthCode {
    InvalidRequest,
    InvalidClient,
    UnauthorizedClient,
    InvalidGrant,
    InvalidScope,
    InvalidTarget,
    UnsupportedGrantType,
}

impl OAuthError {
    fn code(self) -> OAuthCode {
        match self {
            Self::InvalidRequest(_) => OAuthCode::InvalidRequest,
            Self::InvalidClient => OAuthCode::InvalidClient,
            Self::UnauthorizedClient => OAuthCode::UnauthorizedClient,
            Self::InvalidGrant => OAuthCode::InvalidGrant,
            Self::InvalidScope => OAuthCode::InvalidScope,
            Self::InvalidTarget => OAuthCode::InvalidTarget,
            Self::UnsupportedGrantType => OAuthCode::UnsupportedGrantType,
        }
    }

    /// 401 asks for authentication and names the way (RFC 6749 §5.2, RFC 9110 §15.5.2).
    pub(super) fn response(self) -> HttpResponse {
        let mut response = match self {
            Self::InvalidClient => {
                let mut response = HttpResponse::Unauthorized();
                response.insert_header(("www-authenticate", "Basic realm=\"statewise\""));
                response
            }
            _ => HttpResponse::BadRequest(),
        };
        response.json(OAuthRefusal {
            error: self.code(),
            error_description: self.to_string(),
        })
    }
}
