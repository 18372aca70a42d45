//! The login that the tests of sessions have in common.

use shared::session::SessionRecord;

/// When it began, in seconds since the epoch.
pub(crate) const NOW: u64 = 1_700_000_000;

/// Its record: for an hour, with an idle limit of 100 s.
pub(crate) fn record() -> SessionRecord {
    SessionRecord {
        sid: SessionRecord::new_sid(NOW),
        subject: "u1".to_owned(),
        username: "ada".to_owned(),
        roles: vec!["user".to_owned()],
        created_at: NOW,
        expires_at: NOW + 3_600,
        idle_seconds: 100,
        generation: None,
    }
}
