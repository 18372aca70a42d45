//! Why Redis cannot be used: what its answers and the failures of its connections mean.

mod tls;

use std::{borrow::Cow, error::Error, fmt, io, sync::Arc};

use redis::{ErrorKind, RedisError};

/// Why Redis cannot be used, or not for everything. The text holds no address and no credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    reach: Reach,
    lasting: bool,
    reason: Cow<'static, str>,
}

/// What a fault keeps from working.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    /// A slot, where the server is a node of a cluster; otherwise it is of no use.
    Slot,
    /// The connection: over another one, also to where its name leads by now, it may work.
    Connection,
    /// What writes, and perhaps only here: the server may have lost its place to another one.
    Isolated,
    /// Some commands. The others work.
    Commands,
}

/// What an error code of Redis means: code, reach, whether only an operator ends it, and the reason.
const CODES: &[(&str, Reach, bool, &str)] = &[
    ("READONLY", Reach::Connection, false, Fault::REPLICA),
    (
        "LOADING",
        Reach::Connection,
        false,
        "it is loading its data (LOADING)",
    ),
    (
        "MASTERDOWN",
        Reach::Connection,
        false,
        "it is a replica that has lost its primary (MASTERDOWN)",
    ),
    (
        "UNBLOCKED",
        Reach::Connection,
        false,
        "it was made a replica (UNBLOCKED)",
    ),
    (
        "CLUSTERDOWN",
        Reach::Slot,
        false,
        "its cluster is down, or this part of it (CLUSTERDOWN)",
    ),
    ("MOVED", Reach::Slot, true, CLUSTER),
    ("ASK", Reach::Slot, true, CLUSTER),
    ("TRYAGAIN", Reach::Slot, true, CLUSTER),
    ("CROSSSLOT", Reach::Connection, true, CLUSTER),
    (
        "NOAUTH",
        Reach::Connection,
        true,
        "it asks for a password and the URL has none (NOAUTH)",
    ),
    ("WRONGPASS", Reach::Connection, true, PASSWORD),
    (
        "NOREPLICAS",
        Reach::Isolated,
        false,
        "it has fewer replicas than it needs to take writes (NOREPLICAS)",
    ),
    (
        "OOM",
        Reach::Commands,
        false,
        "it is full and stores nothing new (OOM): raise its maxmemory",
    ),
    (
        "MISCONF",
        Reach::Commands,
        false,
        "it cannot save to disk and takes no writes (MISCONF)",
    ),
    (
        "BUSY",
        Reach::Commands,
        false,
        "a script keeps it busy (BUSY)",
    ),
];
const CLUSTER: &str =
    "it is a node of a cluster, and the key is with another: for a cluster write redis+cluster://";
const PASSWORD: &str = "it refuses the user or the password of the URL (WRONGPASS)";

impl Fault {
    pub(super) const NOT_YET: Self = Self::passing("no connection was made yet");
    pub(super) const UNSERVED: Self =
        Self::passing("no node of the cluster is in charge of the slot");
    pub(super) const MOVING: Self = Self::passing("the slot is being moved to another node");
    pub(super) const OTHER_FORM: Self =
        Self::passing("what it says of its cluster is of another form");
    const NOBODY: &str = "nothing listens at its address";
    const REPLICA: &str = "it is a replica and takes no writes (READONLY)";
    pub(crate) const REPLACED: Self =
        Self::passing("its sentinels name another server by now, or nobody can ask them");
    pub(super) const BEING_REPLACED: Self = Self {
        reach: Reach::Commands,
        lasting: false,
        reason: Cow::Borrowed("its sentinels promote a replica, so what it writes now may be lost"),
    };
    pub(crate) const SILENT: Self = Self::passing("it does not answer in time");
    pub(super) const UNSUPPORTED: Self =
        Self::lasting("the URL names something that nothing here can use");
    /// A Redis that speaks no TLS waits for the end of what it takes for a command.
    pub(super) const NO_TLS: Self =
        Self::passing("it does not answer over TLS in time: if it speaks none, write redis://");

    const fn passing(reason: &'static str) -> Self {
        Self {
            reach: Reach::Connection,
            lasting: false,
            reason: Cow::Borrowed(reason),
        }
    }

    const fn lasting(reason: &'static str) -> Self {
        Self {
            reach: Reach::Connection,
            lasting: true,
            reason: Cow::Borrowed(reason),
        }
    }

    /// Why sentinels do not say which server is in charge.
    pub(super) fn of_sentinels(reason: String, lasting: bool) -> Self {
        Self {
            reach: Reach::Connection,
            lasting,
            reason: reason.into(),
        }
    }

    /// Whether it does not end by itself: the settings, or what Redis permits, must be changed.
    #[must_use]
    pub fn is_lasting(&self) -> bool {
        self.lasting
    }

    /// Whether nothing works over the connection that showed it.
    pub(super) fn is_of_connection(&self) -> bool {
        matches!(self.reach, Reach::Connection | Reach::Slot)
    }

    /// Whether a node of a cluster has said so of one slot.
    pub(super) fn is_of_slot(&self) -> bool {
        self.reach == Reach::Slot
    }

    /// So many nodes of a cluster cannot be used, one of them for this reason.
    pub(super) fn of_nodes(away: usize, all: usize, reason: &Self) -> Self {
        Self {
            reason: format!("{away} of the {all} nodes in charge cannot be used: {reason}").into(),
            ..Self::NOT_YET
        }
    }

    /// So many slots are with no node.
    pub(super) fn of_slots(unserved: usize) -> Self {
        Self {
            reason: format!("no node is in charge of {unserved} of its slots").into(),
            ..Self::UNSERVED
        }
    }

    /// Whether another server may have taken the place of the one that showed it.
    pub(super) fn is_of_isolated(&self) -> bool {
        self.reach == Reach::Isolated
    }

    /// It was made a replica, or never was a primary.
    pub(super) fn replica() -> Self {
        Self::passing(Self::REPLICA)
    }

    /// What a command lacks that Redis does not know or does not permit to this user.
    pub(super) fn lacking(command: &str) -> Self {
        Self {
            reach: Reach::Commands,
            lasting: true,
            reason: format!(
                "the user of the URL may not run {command} on the keys statewise:*, \
                 or this Redis does not know it: change its ACL"
            )
            .into(),
        }
    }

    /// What an answer that is an error means beyond the command that it answers, by its text as Redis
    /// sends it; `None` when it means nothing. `command` is named if it may not be run.
    pub(super) fn of_answer(command: &str, answer: &str) -> Option<Self> {
        // The code comes first. Old servers wrap what happened inside a script into another error.
        let code = |word: &str| CODES.iter().find(|(code, ..)| *code == word);
        let mut words = answer.split_ascii_whitespace();
        let known = words.next().and_then(code).or_else(|| {
            let inner = words.find_map(|word| word.strip_prefix('-'))?;
            code(inner)
        });
        if let Some((_, reach, lasting, reason)) = known {
            return Some(Self {
                reach: *reach,
                lasting: *lasting,
                reason: Cow::Borrowed(reason),
            });
        }
        // Redis 7.0 says of what is not permitted inside a script: "The user executing the script
        // can't run this command or subcommand", and later ones "ACL failure in script".
        let refused = [
            "NOPERM",
            "no permissions",
            "The user executing the script",
            "ACL failure",
        ];
        refused
            .iter()
            .any(|text| answer.contains(text))
            .then(|| Self::lacking(command))
    }

    /// The same, of an error as the library has it.
    pub(super) fn of_error(command: &str, error: &RedisError) -> Option<Self> {
        Self::of_answer(command, &text_of(error))
    }

    /// What it means that a command failed over a connection that stood.
    pub(crate) fn of_call(command: &str, error: &RedisError) -> Self {
        Self::of_error(command, error).unwrap_or_else(|| {
            if error.is_io_error() && !error.is_timeout() {
                Self::passing("it closed the connection")
            } else {
                Self::of_attempt(error)
            }
        })
    }

    /// Why no connection could be made.
    pub(super) fn of_attempt(error: &RedisError) -> Self {
        if error.is_timeout() {
            return Self::SILENT;
        }
        if error.is_connection_refusal() {
            return Self::passing(Self::NOBODY);
        }
        match error.kind() {
            ErrorKind::AuthenticationFailed => return Self::lasting(PASSWORD),
            ErrorKind::Parse => {
                return Self::lasting(
                    "what listens at its address does not speak the protocol of Redis, \
                     or wants TLS (rediss://)",
                );
            }
            ErrorKind::RESP3NotSupported => {
                return Self::lasting("it is older than Redis 6");
            }
            ErrorKind::Io => {
                let reached = io_error(error).map(Self::of_io);
                return reached.unwrap_or(Self::passing("it cannot be reached"));
            }
            _ => {}
        }
        let text = text_of(error);
        if let Some(fault) = Self::of_answer("SELECT", &text) {
            return fault;
        }
        if text.contains("DB index") || text.contains("SELECT") {
            return Self::lasting("it has no database of the number in the URL");
        }
        if text.contains("cluster support disabled") {
            return Self::lasting("it is no node of a cluster: begin the URL with redis://");
        }
        if text.contains("max number of clients") {
            return Self::passing("it has as many clients as it takes: raise its maxclients");
        }
        let what = error.code().unwrap_or_else(|| error.category());
        Self {
            reason: format!("it answered {what}").into(),
            ..Self::NOT_YET
        }
    }

    /// Why its address could not be reached, or TLS not be spoken with who is there.
    pub(super) fn of_io(source: &io::Error) -> Self {
        let inner = source.get_ref();
        if let Some(error) = inner.and_then(|inner| inner.downcast_ref()) {
            return Self::of_tls(error);
        }
        let text = source.to_string();
        if text.contains("lookup address") {
            return Self::passing("its name has no address");
        }
        match source.kind() {
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted => Self::passing(
                "it closes new connections at once: \
                 it is about to end, or speaks another protocol, such as TLS (rediss://)",
            ),
            io::ErrorKind::ConnectionRefused => Self::passing(Self::NOBODY),
            io::ErrorKind::TimedOut => Self::SILENT,
            kind => Self {
                reason: format!("it cannot be reached: {kind}").into(),
                ..Self::NOT_YET
            },
        }
    }
}

/// What failed below the library, which keeps it behind an `Arc`.
fn io_error(error: &RedisError) -> Option<&io::Error> {
    let source = error.source()?;
    let shared = source.downcast_ref::<Arc<dyn Error + Send + Sync>>();
    shared.map_or_else(|| source.downcast_ref(), |shared| shared.downcast_ref())
}

/// An answer that is an error, as Redis sent it.
fn text_of(error: &RedisError) -> String {
    let code = error.code().unwrap_or_default();
    format!("{code} {}", error.detail().unwrap_or_default())
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl Error for Fault {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_of_a_demoted_server_condemns_the_connection_also_from_within_a_script() {
        for answer in [
            "READONLY You can't write against a read only replica.",
            "ERR Error running script (call to f_1): @user_script:2: -READONLY You can't write",
            "LOADING Redis is loading the dataset in memory",
            "MASTERDOWN Link with MASTER is down",
            "NOAUTH Authentication required.",
            "MOVED 1234 10.0.0.1:6379",
            "CLUSTERDOWN The cluster is down",
            "UNBLOCKED force unblock from blocking operation",
        ] {
            let fault = Fault::of_answer("EVAL", answer).expect(answer);
            assert!(fault.is_of_connection(), "{answer}");
        }
    }

    #[test]
    fn what_is_refused_to_writes_alone_leaves_the_connection_to_reads() {
        for answer in [
            "OOM command not allowed when used memory > 'maxmemory'.",
            "MISCONF Redis is configured to save RDB snapshots",
            "NOREPLICAS Not enough good replicas to write.",
            "NOPERM this user has no permissions to run the 'eval' command",
            "ERR The user executing the script can't run this command or subcommand",
        ] {
            let fault = Fault::of_answer("EVAL", answer).expect(answer);
            assert!(!fault.is_of_connection(), "{answer}");
        }
    }

    #[test]
    fn an_error_of_the_command_itself_says_nothing_of_redis() {
        for answer in [
            "ERR wrong number of arguments for 'hset' command",
            "WRONGTYPE Operation against a key holding the wrong kind of value",
            "",
        ] {
            assert_eq!(Fault::of_answer("EVAL", answer), None, "{answer}");
        }
    }
}
