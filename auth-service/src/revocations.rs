//! What was taken back, kept in the database first: the one record that survives everything else.

use shared::{telemetry::trace::TraceHandle, token::AccessClaims};

use crate::{
    database::{Database, DatabaseError, Operation, on_database},
    users::seconds,
};

/// A disabled user's tokens are refused whatever their watermark says.
const REFUSES: &str = "SELECT \
     (SELECT COUNT(*) FROM revocations WHERE (kind = 'token' AND id = $1) \
      OR (kind = 'session' AND id = $2) \
      OR (kind = 'user' AND id = $3 AND up_to >= $4 AND (spared = '' OR spared <> $2)) \
      OR (kind = 'all' AND up_to >= $4)) \
     + (SELECT COUNT(*) FROM users WHERE id = $3 AND disabled_at IS NOT NULL)";

/// Revocations in the database. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Revocations {
    database: Database,
}

impl Revocations {
    /// Revocations of this database.
    #[must_use]
    pub fn new(database: Database) -> Self {
        Self { database }
    }

    /// Whether a token that this service signed was taken back since.
    ///
    /// # Errors
    ///
    /// The database did not answer.
    pub async fn refuses(
        &self,
        claims: &AccessClaims,
        trace: Option<&TraceHandle>,
    ) -> Result<bool, DatabaseError> {
        let statement = async {
            on_database!(self.database, pool => sqlx::query_as::<_, (i64,)>(REFUSES)
                .bind(&claims.jti)
                .bind(claims.sid.as_deref().unwrap_or_default())
                .bind(&claims.sub)
                .bind(seconds(claims.iat))
                .fetch_one(pool))
        };
        let operation = operation("SELECT");
        let (found,) = self.database.call(operation, trace, statement).await?;
        Ok(found > 0)
    }
}

fn operation(name: &'static str) -> Operation {
    Operation {
        name,
        collection: "revocations",
    }
}
