//! What was taken back, kept in the database first: the one record that survives everything else.

use shared::{
    revocation::{Entry, Revoked},
    telemetry::trace::TraceHandle,
    token::AccessClaims,
};

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

/// Putting something twice changes nothing, unless it is to be remembered longer now.
const PUT: &str = "INSERT INTO revocations (kind, id, spared, up_to, until, published) \
     VALUES ($1, $2, $3, $4, $5, 0) ON CONFLICT (kind, id, spared) DO UPDATE \
     SET up_to = excluded.up_to, until = excluded.until, published = 0 \
     WHERE excluded.up_to > revocations.up_to OR excluded.until > revocations.until";

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

    /// Takes something back, durably; it is pushed to the resource servers from here.
    ///
    /// # Errors
    ///
    /// The database did not confirm it: assume that nothing was taken back.
    pub async fn put(
        &self,
        entry: &Entry,
        trace: Option<&TraceHandle>,
    ) -> Result<(), DatabaseError> {
        let (id, up_to, spared) = match &entry.revoked {
            Revoked::Token { id } | Revoked::Session { id } => (id.as_str(), 0, ""),
            Revoked::User { id, before, except } => {
                (id.as_str(), *before, except.as_deref().unwrap_or_default())
            }
            Revoked::All { before } => ("", *before, ""),
        };
        let statement = async {
            on_database!(self.database, pool => async {
                sqlx::query(PUT)
                    .bind(entry.revoked.kind())
                    .bind(id)
                    .bind(spared)
                    .bind(seconds(up_to))
                    .bind(seconds(entry.until))
                    .execute(pool)
                    .await
                    .map(drop)
            })
        };
        self.database
            .call(operation("INSERT"), trace, statement)
            .await
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
