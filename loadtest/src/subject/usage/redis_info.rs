//! What Redis says of itself in `INFO`.

use std::{collections::BTreeSet, time::Duration};

use redis::{Client, Connection, RedisError};

/// Commands that are not counted as work for requests: what connections say at their start, health
/// checks, and the questions of this program.
pub const UNCOUNTED_COMMANDS: [&str; 12] = [
    "auth", "client", "cluster", "command", "config", "dbsize", "hello", "info", "memory", "ping",
    "scan", "select",
];

const PATIENCE: Duration = Duration::from_secs(2);

/// More keys than this are not looked through.
const MOST_KEYS: usize = 100_000;

pub(super) struct RedisMeter {
    connection: Connection,
    pub(super) version: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct RedisReading {
    pub(super) cpu_seconds: f64,
    pub(super) commands: u64,
    /// Read from and written to its sockets since it started, without the answer that told this.
    pub(super) network_bytes: u64,
    /// Length of that answer.
    pub(super) answer_bytes: u64,
    pub(super) resident_bytes: u64,
}

impl RedisMeter {
    pub(super) fn connect(url: &str) -> Result<Self, RedisError> {
        let connection = Client::open(url)?.get_connection_with_timeout(PATIENCE)?;
        connection.set_read_timeout(Some(PATIENCE))?;
        connection.set_write_timeout(Some(PATIENCE))?;
        let mut meter = Self {
            connection,
            version: None,
        };
        let server: String = redis::cmd("INFO")
            .arg("server")
            .query(&mut meter.connection)?;
        meter.version = field(&server, "redis_version").map(str::to_owned);
        Ok(meter)
    }

    pub(super) fn read(&mut self) -> Result<RedisReading, RedisError> {
        let info: String = redis::cmd("INFO")
            .arg("everything")
            .query(&mut self.connection)?;
        Ok(parse(&info))
    }

    /// The names of all keys; `None` when there are more than can be looked through in passing.
    pub(super) fn keys(&mut self) -> Result<Option<BTreeSet<Vec<u8>>>, RedisError> {
        let count: usize = redis::cmd("DBSIZE").query(&mut self.connection)?;
        if count > MOST_KEYS {
            return Ok(None);
        }
        let mut keys = BTreeSet::new();
        let mut cursor: u64 = 0;
        loop {
            let mut scan = redis::cmd("SCAN");
            scan.arg(cursor).arg("COUNT").arg(1_000);
            let (next, found): (u64, Vec<Vec<u8>>) = scan.query(&mut self.connection)?;
            keys.extend(found);
            cursor = next;
            if cursor == 0 {
                return Ok(Some(keys));
            }
        }
    }

    /// Memory that these keys take with what they hold; a key that is gone takes none.
    pub(super) fn memory_of<'a>(
        &mut self,
        keys: impl IntoIterator<Item = &'a Vec<u8>>,
    ) -> Result<u64, RedisError> {
        let mut sum = 0;
        for key in keys {
            let usage: Option<u64> = redis::cmd("MEMORY")
                .arg("USAGE")
                .arg(key)
                .query(&mut self.connection)?;
            sum += usage.unwrap_or(0);
        }
        Ok(sum)
    }
}

fn parse(info: &str) -> RedisReading {
    let number = |name| {
        field(info, name)
            .and_then(|text| text.parse::<f64>().ok())
            .unwrap_or(0.0)
    };
    RedisReading {
        cpu_seconds: number("used_cpu_sys") + number("used_cpu_user"),
        commands: info.lines().filter_map(counted_calls).sum(),
        network_bytes: (number("total_net_input_bytes") + number("total_net_output_bytes")) as u64,
        answer_bytes: info.len() as u64,
        resident_bytes: number("used_memory_rss") as u64,
    }
}

fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        .map(str::trim)
}

/// `cmdstat_get:calls=12,usec=34,…`; a subcommand is written `cmdstat_client|setinfo`.
fn counted_calls(line: &str) -> Option<u64> {
    let (command, statistics) = line.strip_prefix("cmdstat_")?.split_once(':')?;
    let command = command.split('|').next()?.to_ascii_lowercase();
    if UNCOUNTED_COMMANDS.contains(&command.as_str()) {
        return None;
    }
    let calls = statistics
        .split(',')
        .find_map(|pair| pair.strip_prefix("calls="))?;
    calls.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_for_requests_are_counted_and_chatter_is_not() {
        let info = "# CPU\r\nused_cpu_sys:1.5\r\nused_cpu_user:2.25\r\nused_cpu_sys_children:9\r\n\
            # Memory\r\nused_memory_rss:4096\r\n# Stats\r\ntotal_net_input_bytes:300\r\ntotal_net_output_bytes:700\r\n\
            # Commandstats\r\n\
            cmdstat_get:calls=12,usec=34,usec_per_call=2.8\r\n\
            cmdstat_client|setinfo:calls=100,usec=1\r\ncmdstat_ping:calls=100,usec=1\r\n\
            cmdstat_info:calls=3,usec=1\r\ncmdstat_set:calls=5,usec=1\r\n";
        let expected = RedisReading {
            cpu_seconds: 3.75,
            commands: 17,
            network_bytes: 1_000,
            answer_bytes: info.len() as u64,
            resident_bytes: 4096,
        };
        assert_eq!(parse(info), expected);
    }
}
