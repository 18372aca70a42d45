use std::num::NonZeroUsize;

use super::*;
use crate::{
    session::{SessionId, SessionRecord},
    telemetry::{Identity, metrics::Metrics},
};

const NOW: u64 = 1_800_000_000;
const LONG: Duration = Duration::from_secs(3_600);

fn memory(entries: usize, trust: Duration, serve_stale: Duration) -> Memory {
    let identity = Identity {
        service: "test".into(),
        version: "0",
        instance: String::new(),
    };
    let cache = CacheSettings {
        entries: NonZeroUsize::new(entries).unwrap(),
        serve_stale,
    };
    let counters = CacheCounters::register(&Metrics::new(&identity));
    Memory::new(cache, trust, counters)
}

/// Connected, and believed for longer than a test takes.
fn connected() -> Memory {
    let memory = memory(9, LONG, Duration::ZERO);
    memory.connected(1);
    memory
}

fn session() -> Session {
    Session {
        record: SessionRecord {
            sid: "s".to_owned(),
            subject: "u".to_owned(),
            username: "ada".to_owned(),
            roles: Vec::new(),
            created_at: NOW,
            expires_at: NOW + 1_000,
            idle_seconds: 300,
            generation: None,
        },
        last_seen: NOW,
    }
}

fn learn(memory: &Memory, id: &SessionId) {
    let mark = memory.mark(&id.digest()).expect("it is not known");
    memory.settle(&id.digest(), mark, Some(session()));
}

fn knows(memory: &Memory, id: &SessionId) -> bool {
    matches!(memory.look(&id.digest(), NOW), Look::Live(_) | Look::Due(_))
}

#[test]
fn a_reply_that_is_stored_after_its_invalidation_is_not_believed() {
    let (memory, id) = (connected(), SessionId::generate("u1"));
    let digest = id.digest();
    let early = memory.mark(&digest).unwrap();
    memory.invalidated(Some(id.key().as_bytes()));
    let late = memory.mark(&digest).unwrap();
    memory.settle(&digest, early, Some(session()));
    assert!(!knows(&memory, &id));
    memory.settle(&digest, late, Some(session()));
    assert!(knows(&memory, &id));
}

#[test]
fn a_reply_over_a_lost_connection_is_not_believed_on_the_next() {
    let (memory, id) = (connected(), SessionId::generate("u1"));
    let mark = memory.mark(&id.digest()).unwrap();
    memory.lost(1);
    memory.connected(2);
    memory.settle(&id.digest(), mark, Some(session()));
    assert!(!knows(&memory, &id));
}

#[test]
fn one_read_of_a_session_is_under_way_at_a_time_and_a_failed_one_leaves_nothing() {
    let (memory, id) = (connected(), SessionId::generate("u1"));
    let digest = id.digest();
    let mark = memory.mark(&digest).unwrap();
    assert_eq!(memory.mark(&digest), None);
    memory.settle(&digest, mark, None);
    assert!(!knows(&memory, &id));
    learn(&memory, &id);
    assert_eq!(memory.mark(&digest), None, "it is known");
}

#[test]
fn looking_for_what_is_not_there_takes_no_room() {
    let memory = memory(2, LONG, Duration::ZERO);
    memory.connected(1);
    let ids = [(); 2].map(|()| SessionId::generate("u1"));
    for id in &ids {
        learn(&memory, id);
    }
    for _ in 0..100 {
        assert!(!knows(&memory, &SessionId::generate("u1")));
    }
    assert!(ids.iter().all(|id| knows(&memory, id)));
    assert_eq!(memory.counters.evicted.get(), 0);
}

#[test]
fn nothing_is_known_without_a_connection_or_when_it_was_silent_for_too_long() {
    let id = SessionId::generate("u1");
    let unconnected = memory(9, LONG, Duration::ZERO);
    assert_eq!(unconnected.mark(&id.digest()), None);

    let silent = memory(9, Duration::ZERO, Duration::ZERO);
    silent.connected(1);
    assert_eq!(silent.mark(&id.digest()), None);

    let lost = connected();
    learn(&lost, &id);
    lost.lost(1);
    assert_eq!(lost.mark(&id.digest()), None);
    assert!(!knows(&lost, &id));
    assert_eq!(lost.counters.flushes.get(), 1);
}

#[test]
fn a_loss_that_is_reported_late_does_not_touch_the_next_connection() {
    let (memory, id) = (connected(), SessionId::generate("u1"));
    memory.connected(2);
    learn(&memory, &id);
    memory.lost(1);
    assert!(knows(&memory, &id));
    let asked = Asked {
        at: Instant::now(),
        connection: Some(1),
    };
    let before = memory.lock().confirmed;
    memory.confirm(asked);
    assert_eq!(memory.lock().confirmed, before);
}

#[test]
fn what_is_served_without_redis_is_only_what_was_not_invalidated_and_goes_with_the_next_connection()
{
    let [ended, other] = [SessionId::generate("u1"), SessionId::generate("u1")];
    let memory = memory(9, LONG, LONG);
    memory.connected(1);
    learn(&memory, &ended);
    learn(&memory, &other);
    memory.invalidated(Some(ended.key().as_bytes()));
    memory.lost(1);
    assert!(!knows(&memory, &ended));
    assert!(knows(&memory, &other));
    assert_eq!(memory.counters.stale.get(), 1);
    // A message that was still on its way is heard too.
    memory.invalidated(Some(other.key().as_bytes()));
    assert!(!knows(&memory, &other));

    memory.connected(2);
    learn(&memory, &other);
    memory.lost(2);
    memory.connected(3);
    assert!(!knows(&memory, &other));
}

#[test]
fn the_limits_of_a_session_are_kept_without_redis() {
    let (memory, id) = (connected(), SessionId::generate("u1"));
    let look = |now| memory.look(&id.digest(), now);
    learn(&memory, &id);
    assert!(matches!(look(NOW + 29), Look::Live(_)));
    assert!(matches!(look(NOW + 30), Look::Due(_)));
    assert!(matches!(look(NOW + 30), Look::Live(_)), "asked twice");
    assert!(matches!(look(NOW + 300), Look::Unknown));
    learn(&memory, &id);
    assert!(matches!(look(NOW + 1_000), Look::Over));
}

#[test]
fn everything_goes_with_a_flush_of_the_server() {
    let (memory, id) = (connected(), SessionId::generate("u1"));
    learn(&memory, &id);
    memory.invalidated(None);
    assert!(!knows(&memory, &id));
}

#[test]
fn a_key_of_something_else_is_nobodys() {
    assert!(digest_of(b"statewise:sessions:u").is_none());
    assert!(digest_of(b"statewise:session:zz").is_none());
    let id = SessionId::generate("u1");
    assert_eq!(digest_of(id.key().as_bytes()), Some(id.digest()));
}

#[test]
fn the_memory_is_bounded() {
    let memory = memory(2, LONG, Duration::ZERO);
    memory.connected(1);
    let ids = [(); 3].map(|()| SessionId::generate("u1"));
    for id in &ids {
        learn(&memory, id);
    }
    assert_eq!(memory.lock().slots.len(), 2);
    assert_eq!(memory.counters.evicted.get(), 1);
}
