//! The cart of a login, kept in the session's own hash, so that it lives exactly as long as the
//! session.
//!
//! Two fields: `cart`, the document as JSON, and `cart_version`, which counts its changes. A write
//! names the version that it was made from and is refused when there is another by now, so no
//! update is lost. It is refused as well when the session is over: a write that arrives late must
//! not bring an ended session back.

use redis::{Cmd, Value};

use super::{
    SessionId, StoreError,
    commands::{FIELD_RECORD, unexpected},
    scripts,
    store::SessionStore,
};
use crate::telemetry::trace::TraceHandle;

const FIELD_CART: &str = "cart";
const FIELD_VERSION: &str = "cart_version";

/// The cart as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptCart {
    /// How often it was changed; zero when it never was.
    pub version: u64,
    /// The document, as it was written. `None` at version zero.
    pub json: Option<String>,
}

/// How a write ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CartWrite {
    /// It is kept, at this version.
    Written(u64),
    /// It was made from another version than the one that is there, which is this.
    Changed(u64),
    /// The session is over; nothing was written.
    Ended,
}

impl SessionStore {
    /// Reads the cart: one `HMGET`. `None` when the session is over.
    ///
    /// # Errors
    ///
    /// The store did not answer in time or not in the expected form.
    pub async fn read_cart(
        &self,
        id: &SessionId,
        trace: Option<&TraceHandle>,
    ) -> Result<Option<KeptCart>, StoreError> {
        let mut command = Cmd::new();
        command
            .arg("HMGET")
            .arg(id.key())
            .arg(FIELD_RECORD)
            .arg(FIELD_CART)
            .arg(FIELD_VERSION);
        decode(&self.link.lookup("HMGET", &command, trace).await?)
    }

    /// Writes the cart if it is still at the version `made_from`.
    ///
    /// # Errors
    ///
    /// The store did not confirm the write in time; whether it happened is unknown, and reading
    /// the version tells.
    pub async fn write_cart(
        &self,
        id: &SessionId,
        made_from: u64,
        json: &str,
        trace: Option<&TraceHandle>,
    ) -> Result<CartWrite, StoreError> {
        let mut command = Cmd::new();
        command
            .arg("EVAL")
            .arg(scripts::WRITE_CART)
            .arg(1)
            .arg(id.key())
            .arg(made_from)
            .arg(json);
        outcome(&self.link.command("EVAL", &command, trace).await?)
    }
}

fn decode(value: &Value) -> Result<Option<KeptCart>, StoreError> {
    let Value::Array(fields) = value else {
        return Err(unexpected("HMGET", value));
    };
    match fields.as_slice() {
        [Value::Nil, _, _] => Ok(None),
        [_, Value::Nil, Value::Nil] => Ok(Some(KeptCart {
            version: 0,
            json: None,
        })),
        [_, Value::BulkString(json), Value::BulkString(version)] => {
            let version = text(version)?
                .parse()
                .map_err(|_| StoreError::Protocol("a cart's version".to_owned()))?;
            Ok(Some(KeptCart {
                version,
                json: Some(text(json)?.to_owned()),
            }))
        }
        _ => Err(unexpected("HMGET", value)),
    }
}

fn text(bytes: &[u8]) -> Result<&str, StoreError> {
    std::str::from_utf8(bytes)
        .map_err(|_| StoreError::Protocol("a cart that is no text".to_owned()))
}

fn outcome(value: &Value) -> Result<CartWrite, StoreError> {
    let Value::Array(parts) = value else {
        return Err(unexpected("EVAL", value));
    };
    let (Some(Value::BulkString(what)), Some(Value::Int(version))) = (parts.first(), parts.get(1))
    else {
        return Err(unexpected("EVAL", value));
    };
    let version = u64::try_from(*version).unwrap_or_default();
    match what.as_slice() {
        b"written" => Ok(CartWrite::Written(version)),
        b"changed" => Ok(CartWrite::Changed(version)),
        b"ended" => Ok(CartWrite::Ended),
        _ => Err(unexpected("EVAL", value)),
    }
}
