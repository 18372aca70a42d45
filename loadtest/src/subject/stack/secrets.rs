//! The secrets of one stack: made at its start, known to its processes and to its ready file only.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Serialize;

use super::StackError;

/// A program that authenticates itself at the auth service.
#[derive(Clone, Serialize)]
pub struct Client {
    /// Its `client_id`.
    pub id: String,
    /// Its `client_secret`.
    pub secret: String,
    /// What it may do, as `AUTH_CLIENTS` spells it.
    pub rights: Vec<String>,
}

/// The secret stays out of logs.
impl std::fmt::Debug for Client {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Client")
            .field("id", &self.id)
            .field("rights", &self.rights)
            .finish_non_exhaustive()
    }
}

impl Client {
    fn new(id: &str, rights: &[&str]) -> Result<Self, StackError> {
        Ok(Self {
            id: id.to_owned(),
            secret: random_text()?,
            rights: rights.iter().map(|&right| right.to_owned()).collect(),
        })
    }

    /// One entry of `AUTH_CLIENTS`.
    fn entry(&self) -> String {
        format!("{}:{}:{}", self.id, self.secret, self.rights.join("+"))
    }
}

/// Everything secret that the processes of one stack share.
pub(super) struct Secrets {
    /// The API replicas: they ask about credentials.
    pub(super) api: Client,
    /// The gateway: it exchanges session ids for tokens.
    pub(super) gateway: Client,
    /// Whoever measures or tests the stack from outside.
    pub(super) loadtest: Client,
    /// Under which private signing keys are kept in the database.
    pub(super) key_encryption_key: String,
    state_key: String,
}

impl Secrets {
    /// Random ones.
    pub(super) fn random() -> Result<Self, StackError> {
        Ok(Self {
            api: Client::new("statewise-api", &["introspect"])?,
            gateway: Client::new("statewise-gateway", &["exchange"])?,
            loadtest: Client::new("statewise-loadtest", &["token", "introspect"])?,
            key_encryption_key: random_text()?,
            state_key: random_text()?,
        })
    }

    /// Every client.
    pub(super) fn clients(&self) -> Vec<Client> {
        vec![
            self.api.clone(),
            self.gateway.clone(),
            self.loadtest.clone(),
        ]
    }

    /// `AUTH_CLIENTS`.
    pub(super) fn auth_clients(&self) -> String {
        let entries: Vec<String> = self.clients().iter().map(Client::entry).collect();
        entries.join(",")
    }

    /// `API_STATE_KEYS`: every replica opens what another sealed.
    pub(super) fn state_keys(&self) -> String {
        format!("stack={}", self.state_key)
    }
}

/// 32 random bytes as 43 characters of the base64url alphabet.
pub(super) fn random_text() -> Result<String, StackError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)
        .map_err(std::io::Error::other)
        .map_err(StackError::system("making a secret"))?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_spelled_as_the_auth_service_reads_them() {
        let secrets = Secrets::random().unwrap();
        let text = secrets.auth_clients();
        let entries: Vec<Vec<&str>> = text
            .split(',')
            .map(|entry| entry.split(':').collect())
            .collect();
        assert_eq!(entries.len(), 3);
        assert_eq!(entries[0][0], "statewise-api");
        assert_eq!(entries[0][2], "introspect");
        assert_eq!(entries[1][2], "exchange");
        assert_eq!(entries[2][2], "token+introspect");
        for entry in &entries {
            assert_eq!(entry[1].len(), 43, "at least 32 characters are needed");
        }
    }

    #[test]
    fn no_two_stacks_share_a_secret() {
        let (one, other) = (Secrets::random().unwrap(), Secrets::random().unwrap());
        assert_ne!(one.api.secret, other.api.secret);
        assert_ne!(one.api.secret, one.gateway.secret);
        assert_ne!(one.state_keys(), other.state_keys());
    }

    #[test]
    fn a_secret_is_not_shown() {
        let client = Client::new("someone", &["token"]).unwrap();
        assert!(!format!("{client:?}").contains(&client.secret));
    }
}
