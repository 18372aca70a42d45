//! `POST /register`: a new user.

use actix_web::{HttpRequest, HttpResponse, http::header, web};
use serde_json::{Value, json};
use shared::server::trace_of;

use crate::{
    credentials::{Password, Username},
    http::{body::Body, error::Error, state::State},
};

/// What everybody may do who has registered.
const ROLES: [&str; 1] = ["user"];

pub(crate) async fn register(
    request: HttpRequest,
    state: web::Data<State>,
    json: web::Json<Value>,
) -> Result<HttpResponse, Error> {
    let (username, password) = read(json.into_inner())?;
    let trace = trace_of(&request);
    let hash = state
        .passwords
        .hash(password.into_secret(), trace.as_ref())
        .await?;
    let now = state.issuer.now();
    let user = state
        .users
        .add(&username, &hash, &ROLES, now, trace.as_ref())
        .await?
        .ok_or(Error::Taken)?;
    Ok(HttpResponse::Created()
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .json(json!({
            "user_id": user.id,
            "username": user.username,
            "roles": user.roles,
        })))
}

fn read(json: Value) -> Result<(Username, Password), Error> {
    let mut body = Body::new(json)?;
    let username = body
        .text("username")
        .and_then(|text| body.check("username", Username::parse(text.expose())));
    let password = body
        .text("password")
        .and_then(|text| body.check("password", Password::parse(text)));
    body.finish(username.zip(password))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(json: Value) -> Vec<String> {
        match read(json) {
            Err(Error::Faulty(faults)) => faults,
            other => panic!("not faulty: {other:?}"),
        }
    }

    #[test]
    fn every_fault_is_told_and_no_value_repeated() {
        assert_eq!(faults(json!([])).len(), 1);
        assert_eq!(
            faults(json!({})),
            ["username: is missing", "password: is missing"]
        );
        let told = faults(json!({"username": "é ", "password": 12_345_678}));
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(!told.concat().contains("12345678"));
    }
}
