//! Who calls this service's own endpoints: a user, by an access token or a session id of a login by
//! `POST /login`.
//!
//! The user is read from the database each time, so that a disabled user is refused and roles are
//! those of now. What cannot be decided is an error of the store that did not answer.

use actix_web::{
    HttpRequest,
    http::header::{self, AsHeaderName, HeaderValue},
};
use shared::{
    credential::{self, Ambiguous},
    cross_site,
    session::SessionId,
};
use utoipa::IntoResponses;

use super::{call::Call, cookie, error::Error};
use crate::{clients::CLIENT_ID, users::User};

/// What a route of a user's own logins may answer besides its own.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "described and never made")]
pub(super) enum UserRefusals {
    /// More than one credential is presented
    #[response(status = 400)]
    Ambiguous,
    /// There is no credential, or it is not valid
    #[response(status = 401)]
    InvalidCredential,
    /// The cookie was sent on behalf of another site
    #[response(status = 403)]
    CrossSite,
    /// Something needed to answer did not answer
    #[response(status = 503)]
    Unavailable,
}

/// What a route of administrators may answer besides its own.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "described and never made")]
pub(super) enum AdminRefusals {
    /// There is no credential, or it is not valid
    #[response(status = 401)]
    InvalidCredential,
    /// The caller is no administrator
    #[response(status = 403)]
    NotAllowed,
    /// Something needed to answer did not answer
    #[response(status = 503)]
    Unavailable,
}

/// What a caller can present. A session id and a token cannot be confused: a token has dots.
pub(super) enum Presented {
    /// An opaque id.
    Session(SessionId),
    /// A signed token, not looked at yet.
    Token(String),
}

/// A user who is logged in.
#[derive(Debug)]
pub(super) struct SignedIn {
    /// Who it is, by the database.
    pub(super) user: User,
    /// The public id of the login that the credential belongs to; empty when it has none.
    pub(super) login: String,
    /// Whether a browser sent the credential by itself.
    pub(super) by_cookie: bool,
}

impl SignedIn {
    /// The caller of a request.
    pub(crate) async fn of(call: &Call) -> Result<Self, Error> {
        let (subject, login) = match presented(&call.request)? {
            Presented::Session(id) => {
                let session = call
                    .sessions
                    .read(&id, call.now().get(), call.trace())
                    .await?;
                let record = session.ok_or(Error::InvalidCredential)?.record;
                (record.subject, record.sid)
            }
            Presented::Token(token) => {
                let claims = call.issuer.verify(&token)?;
                if call.revocations.refuses(&claims, call.at()).await? {
                    return Err(Error::InvalidCredential);
                }
                // A client that a user logged in to, or a service that acts for them, uses the APIs;
                // accounts, keys and other logins are no part of that.
                if claims.client_id != CLIENT_ID {
                    return Err(Error::NotAllowed);
                }
                (claims.sub, claims.sid.unwrap_or_default())
            }
        };
        let account = call.users.by_id(&subject, call.at()).await?;
        match account {
            Some(account) if !account.disabled => Ok(Self {
                user: account.user,
                login,
                by_cookie: !call.request.headers().contains_key(header::AUTHORIZATION),
            }),
            // A client that speaks for itself is no user either.
            _ => Err(Error::InvalidCredential),
        }
    }

    /// The caller of a request that only administrators may make.
    pub(crate) async fn admin(call: &Call) -> Result<Self, Error> {
        let caller = Self::of(call).await?;
        if caller.user.is_admin() {
            Ok(caller)
        } else {
            Err(Error::NotAllowed)
        }
    }
}

/// The `Authorization` header if there is one, otherwise the cookie: a cookie is sent by the
/// browser, a header on purpose. A cookie therefore changes nothing on behalf of another site.
pub(super) fn presented(request: &HttpRequest) -> Result<Presented, Error> {
    if request.headers().contains_key(header::AUTHORIZATION) {
        let token = credential::bearer(values(request, header::AUTHORIZATION))
            .map_err(|Ambiguous| Error::Ambiguous)?
            .filter(|token| !token.is_empty())
            .ok_or(Error::InvalidCredential)?;
        return Ok(match SessionId::parse(token) {
            Some(id) => Presented::Session(id),
            None => Presented::Token(token.to_owned()),
        });
    }
    let cookie = cookie(request)
        .map_err(|Ambiguous| Error::Ambiguous)?
        .ok_or(Error::NoCredential)?;
    if cross_site::is_forged(request.method().as_str(), |name| values(request, name)) {
        return Err(Error::CrossSite);
    }
    SessionId::parse(cookie)
        .map(Presented::Session)
        .ok_or(Error::InvalidCredential)
}

/// Whether another site had a browser send the request.
pub(super) fn is_foreign(request: &HttpRequest) -> bool {
    cross_site::is_foreign(|name| values(request, name))
}

/// The session id in the cookie, whether or not another site had it sent.
pub(super) fn cookie(request: &HttpRequest) -> Result<Option<&str>, Ambiguous> {
    credential::cookie(values(request, header::COOKIE), cookie::NAME)
}

fn values(request: &HttpRequest, name: impl AsHeaderName) -> impl Iterator<Item = &[u8]> {
    request.headers().get_all(name).map(HeaderValue::as_bytes)
}

#[cfg(test)]
mod tests {
    use actix_web::{http::Method, test::TestRequest};

    use super::*;

    #[test]
    fn several_credentials_of_one_kind_are_ambiguous() {
        let [one, other] = [SessionId::generate("nobody"), SessionId::generate("nobody")];
        let headers = |name: &'static str, values: [String; 2]| {
            let request = TestRequest::default();
            let request = values.into_iter().fold(request, |request, value| {
                request.append_header((name, value))
            });
            presented(&request.to_http_request())
        };
        let bearer = |id: &SessionId| format!("Bearer {}", id.expose());
        let cookie = |id: &SessionId| format!("{}={}", cookie::NAME, id.expose());
        let twice = headers("authorization", [bearer(&one), bearer(&one)]);
        assert!(matches!(twice, Err(Error::Ambiguous)));
        let differ = headers("cookie", [cookie(&one), cookie(&other)]);
        assert!(matches!(differ, Err(Error::Ambiguous)));
        assert!(headers("cookie", [cookie(&one), cookie(&one)]).is_ok());
    }

    #[test]
    fn a_header_of_another_scheme_is_no_reason_to_look_at_the_cookie() {
        let cookie = format!(
            "{}={}",
            cookie::NAME,
            SessionId::generate("nobody").expose()
        );
        for value in ["Basic YTpi", "Bearer", "Bearer ", "Bearerabc"] {
            let request = TestRequest::default()
                .insert_header(("authorization", value))
                .insert_header(("cookie", cookie.clone()));
            let found = presented(&request.to_http_request());
            assert!(matches!(found, Err(Error::InvalidCredential)), "{value}");
        }
    }

    #[test]
    fn a_cookie_changes_nothing_on_behalf_of_another_site_and_a_header_does() {
        let id = SessionId::generate("nobody");
        let from = |method: Method, site: &'static str| {
            TestRequest::default()
                .method(method)
                .insert_header(("sec-fetch-site", site))
        };
        for site in ["cross-site", "same-site"] {
            let cookie = format!("{}={}", cookie::NAME, id.expose());
            let post = from(Method::DELETE, site).insert_header(("cookie", cookie.clone()));
            let refused = presented(&post.to_http_request());
            assert!(matches!(refused, Err(Error::CrossSite)), "{site}");
            let get = from(Method::GET, site).insert_header(("cookie", cookie.clone()));
            assert!(presented(&get.to_http_request()).is_ok(), "{site}");
            let old = TestRequest::delete().insert_header(("cookie", cookie.clone()));
            let old = old.insert_header(("origin", "https://evil.example"));
            let refused = presented(&old.to_http_request());
            assert!(
                matches!(refused, Err(Error::CrossSite)),
                "no Sec-Fetch-Site"
            );
            let own = from(Method::DELETE, "same-origin").insert_header(("cookie", cookie));
            assert!(presented(&own.to_http_request()).is_ok());
            let bearer = format!("Bearer {}", id.expose());
            let header = from(Method::DELETE, site).insert_header(("authorization", bearer));
            assert!(presented(&header.to_http_request()).is_ok(), "{site}");
        }
    }
}
