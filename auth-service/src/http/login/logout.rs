//! `POST /logout`: ends what the presented credential belongs to, and says what it could not end.

use std::time::{Duration, UNIX_EPOCH};

use actix_web::{HttpResponse, ResponseError, http::StatusCode};
use serde::Serialize;
use shared::session::SessionId;
use utoipa::ToSchema;

use crate::{
    http::{
        answer,
        call::Call,
        cookie, ending,
        error::Error,
        signed_in::{Presented, presented},
    },
    revocations::Push,
};

/// What a logout has ended.
#[derive(Serialize, ToSchema)]
struct Ended {
    ended: WhatEnded,
    /// Only for a token.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    revocation: Option<Push>,
    /// Until when a signed token is good where nobody follows revocations: its `exp`. A service may
    /// allow for clocks that differ, and accept it some seconds longer.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    access_token_valid_until: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum WhatEnded {
    Session,
    Login,
}

/// Ends what the presented credential stands for.
#[utoipa::path(
    post,
    path = "/logout",
    security(("bearer" = []), ("session" = [])),
    responses(
        (status = 200, description = "What was ended, and it is published", body = Ended),
        (status = 202, description = "It has ended, and will be published", body = Ended),
        (status = 401, description = "There is no credential, or it is not valid"),
        (status = 403, description = "The cookie was sent on behalf of another site"),
        (status = 503, description = "Whether it ended is not known: present it again"),
    )
)]
pub(crate) async fn logout(call: Call) -> Result<HttpResponse, Error> {
    match presented(&call.request)? {
        Presented::Session(id) => end_session(&call, &id).await,
        Presented::Token(token) => end_login(&call, &token).await,
    }
}

async fn end_session(call: &Call, id: &SessionId) -> Result<HttpResponse, Error> {
    // An error leaves the cookie: the session may go on, and the browser must be able to retry.
    let existed = ending::session(call, id).await?.is_some();
    let mut response = if existed {
        let ended = Ended {
            ended: WhatEnded::Session,
            revocation: None,
            access_token_valid_until: None,
        };
        answer::json(StatusCode::OK, &ended)
    } else {
        Error::InvalidCredential.error_response()
    };
    cookie::add(&mut response, cookie::expire());
    Ok(response)
}

async fn end_login(call: &Call, token: &str) -> Result<HttpResponse, Error> {
    let claims = call.issuer.verify(token)?;
    if call.revocations.refuses(&claims, call.at()).await? {
        return Err(Error::InvalidCredential);
    }
    let login = claims.sid.ok_or(Error::InvalidCredential)?;
    let push = ending::login(call, &login).await?;
    let valid_until = UNIX_EPOCH + Duration::from_secs(claims.exp);
    let ended = Ended {
        ended: WhatEnded::Login,
        revocation: Some(push),
        access_token_valid_until: Some(humantime::format_rfc3339_seconds(valid_until).to_string()),
    };
    Ok(ending::answer(push, &ended))
}
