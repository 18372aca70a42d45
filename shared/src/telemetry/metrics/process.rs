//! The process itself, under the names that Prometheus client libraries agree on.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder},
    metrics::{MetricType, TypedMetric, counter::ConstCounter, gauge::ConstGauge},
    registry::Unit,
};
use rustix::process::{Resource, getrlimit};

use crate::{resources, telemetry::logs};

/// What is read of the process whenever somebody looks.
#[derive(Debug)]
pub(super) struct Process {
    started_unix_seconds: f64,
    /// The most memory that it may use.
    memory_limit: Option<u64>,
}

impl Process {
    pub(super) fn started_now() -> Self {
        let started = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Self {
            started_unix_seconds: started.as_secs_f64(),
            memory_limit: resources::memory_limit().map(|limit| limit.bytes),
        }
    }
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), std::fmt::Error> {
        let mut one = |name: &str, help: &str, unit: Option<&Unit>, metric: &dyn Measured| {
            metric.write(encoder.encode_descriptor(name, help, unit, metric.kind())?)
        };
        one(
            "process_cpu",
            "User and system CPU time used",
            Some(&Unit::Seconds),
            &ConstCounter::new(cpu_time().as_secs_f64()),
        )?;
        one(
            "process_start_time",
            "When the process started, since the epoch",
            Some(&Unit::Seconds),
            &ConstGauge::new(self.started_unix_seconds),
        )?;
        one(
            "statewise_log_lines_lost",
            "Log lines that standard error did not take",
            None,
            &ConstCounter::new(logs::lost()),
        )?;
        for (name, help, unit, value) in [
            (
                "process_resident_memory",
                "Resident memory",
                Some(&Unit::Bytes),
                resident_memory_bytes(),
            ),
            (
                "process_memory_limit",
                "The most memory that the control groups of the process permit",
                Some(&Unit::Bytes),
                self.memory_limit
                    .and_then(|bytes| i64::try_from(bytes).ok()),
            ),
            (
                "process_open_fds",
                "Open files and connections",
                None,
                open_files(),
            ),
            (
                "process_max_fds",
                "The most files and connections that may be open",
                None,
                getrlimit(Resource::Nofile)
                    .current
                    .and_then(|files| i64::try_from(files).ok()),
            ),
        ] {
            if let Some(value) = value {
                one(name, help, unit, &ConstGauge::new(value))?;
            }
        }
        Ok(())
    }
}

trait Measured {
    fn kind(&self) -> MetricType;
    fn write(&self, encoder: MetricEncoder) -> std::fmt::Result;
}

impl<M: EncodeMetric + TypedMetric> Measured for M {
    fn kind(&self) -> MetricType {
        self.metric_type()
    }
    fn write(&self, encoder: MetricEncoder) -> std::fmt::Result {
        self.encode(encoder)
    }
}

/// CPU time of this process to the nanosecond; `/proc/self/stat` counts in ticks of 10 ms.
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or_default(),
        u32::try_from(time.tv_nsec).unwrap_or_default(),
    )
}

/// Resident memory, on systems with a `/proc`.
fn resident_memory_bytes() -> Option<i64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: i64 = statm.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages * i64::try_from(rustix::param::page_size()).ok()?)
}

/// Open files, on systems with a `/proc`; not the one that lists them.
fn open_files() -> Option<i64> {
    // Linux 6.2 and later tell the number as the size; to list ten thousand takes ten milliseconds.
    let size = std::fs::metadata("/proc/self/fd").ok()?.len();
    if size > 0 {
        return i64::try_from(size).ok();
    }
    let listed = std::fs::read_dir("/proc/self/fd").ok()?.count();
    i64::try_from(listed.saturating_sub(1)).ok()
}
