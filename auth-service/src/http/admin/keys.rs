//! `GET /keys` and `POST /keys/rotate`: what an administrator sees and asks of the signing keys.

use actix_web::{HttpResponse, http::StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    http::{
        answer,
        call::Call,
        error::Error,
        signed_in::{AdminRefusals, SignedIn},
    },
    keys::KeyStatus,
};

/// The signing keys, as their administrator sees them.
#[derive(Serialize, ToSchema)]
struct SigningKeys {
    keys: Vec<SigningKey>,
}

#[derive(Serialize, ToSchema)]
struct SigningKey {
    kid: String,
    alg: &'static str,
    /// Announced, signing, or retired and still published.
    stage: &'static str,
    /// Unix seconds.
    created_at: u64,
    /// Unix seconds.
    signs_from: u64,
}

/// The signing keys and their stages.
#[utoipa::path(
    get,
    path = "/keys",
    operation_id = "signingKeys",
    security(("bearer" = []), ("session" = [])),
    responses(AdminRefusals, (status = 200, description = "The keys", body = SigningKeys))
)]
pub(crate) async fn list(call: Call) -> Result<HttpResponse, Error> {
    SignedIn::admin(&call).await?;
    let keys = call.issuer.keys().statuses(call.now());
    let keys = keys.into_iter().map(SigningKey::from).collect();
    Ok(answer::json(StatusCode::OK, &SigningKeys { keys }))
}

/// Announces the next signing key.
#[utoipa::path(
    post,
    path = "/keys/rotate",
    operation_id = "rotateKey",
    security(("bearer" = []), ("session" = [])),
    responses(
        AdminRefusals,
        (status = 202, description = "It signs from the time in the answer", body = SigningKey),
    )
)]
pub(crate) async fn rotate(call: Call) -> Result<HttpResponse, Error> {
    let admin = SignedIn::admin(&call).await?;
    let next = call.issuer.keys().rotate(call.now()).await?;
    let next = SigningKey::from(next);
    tracing::info!(
        subject = %admin.user.id,
        kid = %next.kid,
        signs_from = next.signs_from,
        "an administrator asked for the next signing key"
    );
    Ok(answer::json(StatusCode::ACCEPTED, &next))
}

impl From<KeyStatus> for SigningKey {
    fn from(key: KeyStatus) -> Self {
        Self {
            kid: key.kid,
            alg: key.algorithm,
            stage: key.stage.name(),
            created_at: key.created_at.get(),
            signs_from: key.signs_from.get(),
        }
    }
}
