//! `POST /register`: a new user.

use actix_web::{HttpResponse, http::StatusCode, web};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::{
    credentials::{Password, Username},
    http::{
        answer,
        body::{Body, JsonRefusals},
        call::Call,
        error::Error,
    },
    passwords::{Asker, Kind},
};

/// What everybody may do who has registered.
const ROLES: [&str; 1] = ["user"];

/// A new user.
#[derive(Debug, ToSchema)]
struct Registration {
    /// Compared without regard to case.
    #[schema(value_type = String, max_length = 64, pattern = "^[._@-]{0,63}[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$")]
    username: Username,
    /// None of the commonest, and more than the username. Any long passphrase is good.
    #[schema(value_type = String, min_length = 8, max_length = 256)]
    password: Password,
}

#[derive(Serialize, ToSchema)]
struct Registered {
    /// Stable and meaningless: `sub` of tokens.
    user_id: String,
    username: String,
    roles: Vec<String>,
}

/// A new user.
#[utoipa::path(
    post,
    path = "/register",
    request_body = Registration,
    responses(
        JsonRefusals,
        (status = 201, description = "The user", body = Registered),
        (status = 409, description = "The username is taken"),
    )
)]
pub(crate) async fn register(call: Call, json: web::Json<Value>) -> Result<HttpResponse, Error> {
    let Registration { username, password } = Registration::read(json.into_inner())?;
    let asker = Asker {
        kind: Kind::Registration,
        network: call.client(),
    };
    let turn = call.passwords.turn(asker).await?;
    let hash = turn.hash(password.into_secret(), call.trace()).await?;
    let user = call
        .users
        .add(&username, &hash, &ROLES, call.at())
        .await?
        .ok_or(Error::Taken)?;
    let registered = Registered {
        user_id: user.id,
        username: user.username,
        roles: user.roles,
    };
    Ok(answer::json(StatusCode::CREATED, &registered))
}

impl Registration {
    fn read(json: Value) -> Result<Self, Error> {
        let mut body = Body::new(json)?;
        let username = body
            .text("username")
            .and_then(|text| body.check("username", Username::choose(text.expose())));
        let password = body
            .text("password")
            .and_then(|text| body.check("password", Password::choose(&text, username.as_ref())));
        let read = username.zip(password);
        body.finish(read.map(|(username, password)| Self { username, password }))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn faults(json: Value) -> Vec<String> {
        match Registration::read(json) {
            Err(Error::Faulty(faults)) => faults,
            other => panic!("not faulty: {other:?}"),
        }
    }

    #[test]
    fn every_fault_is_reported_and_no_value_repeated() {
        assert_eq!(faults(json!([])).len(), 1);
        assert_eq!(
            faults(json!({})),
            ["username: is missing", "password: is missing"]
        );
        let reported = faults(json!({"username": "é ", "password": 12_345_678}));
        assert_eq!(reported.len(), 2, "{reported:?}");
        assert!(!reported.concat().contains("12345678"));
    }
}
