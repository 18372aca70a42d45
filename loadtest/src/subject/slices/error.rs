//! Why a CPU limit could not be set or read.

use std::io;

/// A limit could not be set or read.
#[derive(Debug, thiserror::Error)]
pub enum SliceError {
    /// Neither way is open.
    #[error(
        "no process can be given a CPU limit here. Control groups: {groups}. systemd: {systemd}. \
         As root it needs a writable /sys/fs/cgroup; as a user, a login whose systemd may limit CPU \
         time (Delegate=cpu for user@.service); in a container, `docker run --privileged --cgroupns \
         host`, or `cpus:` for each service in the Compose file and --gateway. --whole-machine \
         measures without limits, and says so"
    )]
    NoWay {
        /// Why not by control groups.
        groups: String,
        /// Why not by systemd.
        systemd: String,
    },
    /// The limit is out of what the kernel can do.
    #[error("{cores} processors: a slice has at least {least} and at most 1000 of them")]
    Cores {
        /// What was asked for.
        cores: f64,
        /// The least there is.
        least: f64,
    },
    /// A process could not be limited.
    #[error("limiting the CPU time of {name} (process {pid}): {source}")]
    Limit {
        /// Which process.
        name: String,
        /// Its id.
        pid: u32,
        /// Why not.
        source: io::Error,
    },
    /// How much a process was held back cannot be read.
    #[error("reading how much {name} was held back, from {path}: {source}")]
    Read {
        /// Which process.
        name: String,
        /// The folder of its group.
        path: String,
        /// Why not.
        source: io::Error,
    },
}
