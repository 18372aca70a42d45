//! The question whether Redis can be used: by the commands that will be needed, also those that
//! write, so that a replica, a full server and a lacking permission are seen before a user meets them.
//!
//! No trial changes anything: it names a key that does not exist, or is wrong in a way that Redis
//! finds only after it has looked whether the command may be run here, now and by this user.

use redis::{Cmd, Value};

use super::fault::Fault;
use crate::session::place::Tag;

/// What the connection will be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Sessions are read and touched, and their carts written.
    Check,
    /// Everything: sessions are made and ended, and revocations published.
    Manage,
}

/// Keys of the trials. There are two in two slots, so that a node of a cluster says that it is one.
const KEYS: [&str; 2] = ["statewise:probe", "statewise:probe:other"];

/// Runs a trial of each command named and answers the first that fails, with the error; else nil.
///
/// KEYS: two that do not exist. ARGV: commands.
const TRIALS: &str = r"
local key, other = KEYS[1], KEYS[2]
local trials = {
  DEL = {key}, EXISTS = {key}, EXPIRE = {key, '1'}, GET = {key}, HDEL = {key, 'f'},
  HEXISTS = {key, 'f'}, HGET = {key, 'f'}, HGETALL = {key}, HINCRBY = {key, 'f', 'none'},
  HLEN = {key}, HMGET = {key, 'f'}, HRANDFIELD = {key, '1'}, HSET = {key, 'f', 'v', 'odd'},
  RENAME = {key, other}, SCAN = {'0', 'COUNT', '1'}, SET = {key, 'v', 'XX'}, TTL = {key}, UNLINK = {key},
  XADD = {key, 'NOMKSTREAM', '*', 'f', 'v'}, XRANGE = {key, '-', '+'},
  ZADD = {key, 'XX', '1', 'm'}, ZRANGE = {key, '0', '0'}, ZRANGEBYSCORE = {key, '0', '0'}, ZREM = {key, 'm'}, ZREMRANGEBYSCORE = {key, '0', '0'},
  ZSCORE = {key, 'm'}, ZUNIONSTORE = {key, '1', other},
}
local meant = {'ERR wrong number of arguments', 'ERR value is not an integer', 'ERR no such key'}
for _, name in ipairs(ARGV) do
  local answer = redis.pcall(name, unpack(trials[name]))
  if type(answer) == 'table' and answer.err then
    local fails = true
    for _, text in ipairs(meant) do
      if string.find(answer.err, text, 1, true) then fails = false end
    end
    if fails then return {name, answer.err} end
  end
end
return false";

/// The first writes something that needs memory: a full Redis refuses that to a script only until
/// it has run another command that writes.
const CHECK: &[&str] = &[
    "HSET", "HINCRBY", "EXPIRE", "EXISTS", "HEXISTS", "HGET", "HMGET",
];
const MANAGE: &[&str] = &[
    "HSET",
    "HINCRBY",
    "SET",
    "XADD",
    "ZADD",
    "ZUNIONSTORE",
    "DEL",
    "EXISTS",
    "EXPIRE",
    "GET",
    "HDEL",
    "HEXISTS",
    "HGET",
    "HGETALL",
    "HLEN",
    "HMGET",
    "HRANDFIELD",
    "RENAME",
    "SCAN",
    "TTL",
    "UNLINK",
    "XRANGE",
    "ZRANGE",
    "ZRANGEBYSCORE",
    "ZREM",
    "ZREMRANGEBYSCORE",
    "ZSCORE",
];

/// The questions that a connection is asked.
#[derive(Clone)]
pub(super) struct Questions {
    /// Whether every command may be run.
    pub(super) all: Cmd,
    /// Whether writes are taken.
    pub(super) write: Cmd,
    /// Whether a node of a cluster is asked, which does more than one slot.
    pub(super) of_node: bool,
}

impl Questions {
    /// For one server.
    pub(super) fn new(purpose: Purpose) -> Self {
        Self::about(KEYS.map(str::to_owned), purpose, false)
    }

    /// For the node of a cluster that is in charge of the keys of this tag.
    pub(super) fn of_node(tag: Option<Tag>, purpose: Purpose) -> Self {
        let tag = tag.as_ref().map_or("probe", Tag::text);
        let keys = ["probe", "probe:other"].map(|key| format!("statewise:{{{tag}}}:{key}"));
        Self::about(keys, purpose, true)
    }

    fn about(keys: [String; 2], purpose: Purpose, of_node: bool) -> Self {
        let commands = match purpose {
            Purpose::Check => CHECK,
            Purpose::Manage => MANAGE,
        };
        Self {
            all: question(&keys, commands),
            write: question(&keys, &CHECK[..1]),
            of_node,
        }
    }
}

fn question(keys: &[String; 2], commands: &[&str]) -> Cmd {
    let mut command = Cmd::new();
    command.arg("EVAL").arg(TRIALS).arg(keys.len()).arg(keys);
    command.arg(commands);
    command
}

/// What the answer says; `None` when all commands may be run.
pub(super) fn fault(answer: &Value) -> Option<Fault> {
    let Value::Array(parts) = answer else {
        return None;
    };
    let text = |part: Option<&Value>| match part {
        Some(Value::BulkString(bytes)) => String::from_utf8_lossy(bytes).into_owned(),
        _ => String::new(),
    };
    let (command, error) = (text(parts.first()), text(parts.get(1)));
    // What is not known here may be a command that an old server has not.
    Some(Fault::of_answer(&command, &error).unwrap_or_else(|| Fault::lacking(&command)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Commands in the text of Lua scripts.
    fn called(source: &str) -> BTreeSet<&str> {
        let calls = source.split("redis.call('").skip(1);
        calls.filter_map(|call| call.split('\'').next()).collect()
    }

    #[test]
    fn every_command_of_a_script_is_tried() {
        let sources = [
            include_str!("../scripts.rs"),
            include_str!("../../revocation/feed/scripts.rs"),
        ];
        for name in sources.into_iter().flat_map(called) {
            assert!(MANAGE.contains(&name), "add {name} to MANAGE");
        }
        for name in CHECK {
            assert!(MANAGE.contains(name), "add {name} to MANAGE");
        }
        for name in MANAGE {
            let trial = format!("{name} = {{");
            assert!(TRIALS.contains(&trial), "add {name} to TRIALS");
        }
    }
}
