//! What fits into the memory limit, and what is given up before it is reached.
//!
//! Beyond the limit of its control group the kernel kills the process, with every connection that it
//! has. So at start the number of connections is lowered to what fits when each has a request under
//! way. Bodies, long heads and slow readers need more than that; so what is used is measured:
//!
//! | used | is given up |
//! | --- | --- |
//! | from 70 % of the limit | new connections wait in the listen queue, idle ones are closed; requests with a body of more than 4 KiB are answered with 503, at once or, when one is under way, as soon as it has stood still for a second |
//! | from 85 % | every request is answered with 503, the rest of a head is not waited for; of answers longer than 4 KiB no more is read, and one that stands still for a second is broken off |
//!
//! What is left to the limit is for the kernel: sockets, page tables, the program's own pages.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::{Duration, Instant},
};

use prometheus_client::metrics::{counter::Counter, gauge::Gauge};
use shared::{resources::MemoryLimit, telemetry::metrics::Metrics};

/// A connection whose request waits for its upstream: 35 KiB were measured for its state and its
/// buffers on both sides, and the kernel has two sockets for it.
const CONNECTION_BYTES: u64 = 44 * 1024;
/// A token kept by the exchange: 0.92 KiB were measured with one of 742 characters.
const TOKEN_BYTES: u64 = 1024;
/// The program with nothing to do, and what it may be sending to a trace collector.
const BASE_BYTES: u64 = 10 << 20;
/// With fewer connections than these a gateway is of no use.
const FEWEST_CONNECTIONS: u64 = 16;
/// Open files for a connection: the client's and the upstream's.
const FILES_EACH: u64 = 2;
/// Open files beside: listeners, health checks, the runtime's.
const FILES_BESIDE: u64 = 64;

/// Percent of the limit from where [`Level`]s begin, and where they end again.
const TIGHT: (u64, u64) = (70, 62);
const CRITICAL: (u64, u64) = (85, 78);

/// Between two measurements while less than half is used. Nothing can fill the other half meanwhile.
const SELDOM: Duration = Duration::from_millis(10);
/// Between two measurements else. Each takes some 3 µs.
const OFTEN: Duration = Duration::from_millis(2);
/// Between two times that free memory is given to the kernel, which takes some milliseconds.
const TRIM_AGAIN: Duration = Duration::from_secs(1);

/// What does not fit, and what would.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DoesNotFit {
    /// The memory limit leaves nothing for connections.
    #[error(
        "{tokens} kept tokens and {FEWEST_CONNECTIONS} connections need {} MiB, and the memory limit is {} MiB; \
         raise it, or lower GATEWAY_EXCHANGE_CACHE",
        needed >> 20, limit >> 20
    )]
    Memory {
        /// Tokens that the exchange is to keep.
        tokens: usize,
        /// What all would need, in bytes.
        needed: u64,
        /// In bytes.
        limit: u64,
    },
    /// The limit of open files leaves none for connections.
    #[error(
        "at most {0} files may be open, which leaves none for connections; raise RLIMIT_NOFILE"
    )]
    Files(u64),
}

/// How many of the `wanted` connections fit beside `tokens` kept tokens.
///
/// # Errors
///
/// Too few for a gateway.
pub(crate) fn permitted(
    wanted: usize,
    tokens: usize,
    memory: Option<u64>,
    files: Option<u64>,
) -> Result<usize, DoesNotFit> {
    let mut most = u64::try_from(wanted).unwrap_or(u64::MAX);
    let fewest = FEWEST_CONNECTIONS.min(most);
    if let Some(limit) = memory {
        let beside = BASE_BYTES + TOKEN_BYTES * tokens as u64;
        let fit = (limit / 100 * TIGHT.0).saturating_sub(beside) / CONNECTION_BYTES;
        if fit < fewest {
            let needed = (beside + fewest * CONNECTION_BYTES) * 100 / TIGHT.0;
            return Err(DoesNotFit::Memory {
                tokens,
                needed,
                limit,
            });
        }
        most = most.min(fit);
    }
    if let Some(files) = files {
        let fit = files.saturating_sub(FILES_BESIDE) / FILES_EACH;
        if fit < fewest {
            return Err(DoesNotFit::Files(files));
        }
        most = most.min(fit);
    }
    Ok(usize::try_from(most).unwrap_or(wanted))
}

/// How near the limit is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// There is enough, or there is no limit.
    Easy,
    /// Nothing new may begin to take memory.
    Tight,
    /// What is under way needs what is left.
    Critical,
}

impl Level {
    /// The level with `percent` used, after this one: a level ends lower than where it began.
    fn after(self, percent: u64) -> Self {
        let in_level = |level, (begins, ends)| percent >= if self >= level { ends } else { begins };
        if in_level(Self::Critical, CRITICAL) {
            Self::Critical
        } else if in_level(Self::Tight, TIGHT) {
            Self::Tight
        } else {
            Self::Easy
        }
    }
}

/// The memory of this process.
#[derive(Debug)]
pub(crate) struct Memory {
    level: AtomicU8,
    /// The same for operators.
    shown: Gauge,
    /// Requests that were refused for it.
    refused: Counter,
}

impl Memory {
    /// Enough memory, until [`Memory::watch`] says otherwise.
    pub(crate) fn new(metrics: &Metrics) -> Arc<Self> {
        let (shown, refused) = (Gauge::default(), Counter::default());
        metrics.register(|registry| {
            registry.register(
                "gateway_memory_pressure",
                "How near the memory limit is: 0 enough is left, 1 connections wait, 2 requests are refused",
                shown.clone(),
            );
            registry.register(
                "gateway_memory_refusals",
                "Requests answered with 503 because memory ran short",
                refused.clone(),
            );
        });
        Arc::new(Self {
            level: AtomicU8::new(Level::Easy as u8),
            shown,
            refused,
        })
    }

    /// How near the limit is now.
    pub(crate) fn level(&self) -> Level {
        match self.level.load(Ordering::Relaxed) {
            0 => Level::Easy,
            1 => Level::Tight,
            _ => Level::Critical,
        }
    }

    /// Whether a request is to be refused, which has a `large` body or not; counts it.
    pub(crate) fn refuses(&self, large: bool) -> bool {
        let level = self.level();
        let refuses = level == Level::Critical || large && level == Level::Tight;
        if refuses {
            self.refused.inc();
        }
        refuses
    }

    /// Waits until connections may come.
    pub(crate) async fn eased(&self) {
        while self.level() != Level::Easy {
            tokio::time::sleep(OFTEN).await;
        }
    }

    /// Measures again and again what is used of the limit.
    pub(crate) async fn watch(self: Arc<Self>, limit: MemoryLimit) {
        let percent = || limit.used().unwrap_or_default() * 100 / limit.bytes.max(1);
        let mut trimmed: Option<Instant> = None;
        loop {
            let mut used = percent();
            let due = trimmed.is_none_or(|trimmed| trimmed.elapsed() >= TRIM_AGAIN);
            if self.level().after(used) != Level::Easy && due {
                // What was freed is kept for the next allocation, and counts until it is given back.
                trim();
                trimmed = Some(Instant::now());
                used = percent();
            }
            self.set(self.level().after(used), used, limit.bytes);
            tokio::time::sleep(if used < 50 { SELDOM } else { OFTEN }).await;
        }
    }

    fn set(&self, level: Level, percent: u64, limit: u64) {
        let before = self.level();
        if level == before {
            return;
        }
        self.level.store(level as u8, Ordering::Relaxed);
        self.shown.set(level as i64);
        let limit_mib = limit >> 20;
        match level {
            Level::Easy => tracing::info!(percent, limit_mib, "memory is enough again"),
            Level::Tight if before == Level::Critical => {
                tracing::info!(
                    percent,
                    limit_mib,
                    "requests are accepted again; memory is short"
                );
            }
            Level::Tight => {
                tracing::warn!(
                    percent,
                    limit_mib,
                    "memory is short: connections wait, idle ones are closed"
                );
            }
            Level::Critical => {
                tracing::warn!(
                    percent,
                    limit_mib,
                    "memory is nearly used up: requests are refused"
                );
            }
        }
    }
}

/// Gives free memory to the kernel, where the C library has a way to.
fn trim() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[expect(
        unsafe_code,
        reason = "malloc_trim(3) is safe from any thread and has no other interface"
    )]
    // SAFETY: it takes a number and touches only the allocator's own state, under its locks.
    unsafe {
        libc::malloc_trim(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn connections_are_as_many_as_fit_each_with_a_request_under_way() {
        assert_eq!(permitted(8192, 0, None, None), Ok(8192));
        assert_eq!(
            permitted(8192, 0, Some(8192 * MIB), Some(1 << 20)),
            Ok(8192)
        );
        let fit = permitted(8192, 0, Some(96 * MIB), None).unwrap();
        assert!((1200..1400).contains(&fit), "{fit}");
        let beside_tokens = permitted(8192, 10_000, Some(96 * MIB), None).unwrap();
        assert!((1000..fit).contains(&beside_tokens), "{beside_tokens}");
        assert_eq!(permitted(100, 0, Some(96 * MIB), None), Ok(100));
        assert_eq!(permitted(8192, 0, None, Some(1024)), Ok(480));
    }

    #[test]
    fn what_cannot_fit_is_refused_with_what_would_be_needed() {
        let refused = permitted(8192, 1_000_000, Some(96 * MIB), None).unwrap_err();
        let text = refused.to_string();
        assert!(text.contains("1000000 kept tokens"), "{text}");
        assert!(text.contains("memory limit is 96 MiB"), "{text}");
        assert!(permitted(8192, 0, Some(8 * MIB), None).is_err());
        assert!(permitted(4, 0, Some(20 * MIB), None).is_ok());
        assert_eq!(
            permitted(8192, 0, None, Some(70)),
            Err(DoesNotFit::Files(70))
        );
    }

    #[test]
    fn a_level_begins_higher_than_it_ends() {
        let mut level = Level::Easy;
        for (percent, expected) in [
            (69, Level::Easy),
            (70, Level::Tight),
            (63, Level::Tight),
            (85, Level::Critical),
            (79, Level::Critical),
            (77, Level::Tight),
            (61, Level::Easy),
            (90, Level::Critical),
            (10, Level::Easy),
        ] {
            level = level.after(percent);
            assert_eq!(level, expected, "{percent}");
        }
    }
}
