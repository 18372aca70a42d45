//! What the machine lets this process have: memory by its control groups, and open files.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use procfs::{
    ProcessCGroup,
    process::{MountInfo, Process},
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Larger limits are how version 1 writes that there is none.
const UNLIMITED: u64 = 1 << 60;

/// A limit of memory, and what is used of it.
#[derive(Debug)]
pub struct MemoryLimit {
    /// The most that may be used, in bytes. The kernel kills a process that would use more than its
    /// control group may.
    pub bytes: u64,
    /// What this process uses, in pages, proc_pid_statm(5). Open, because it is read often.
    statm: Option<File>,
    /// Where version 2 says how much of the limit socket buffers take; version 1 does not count them.
    stat: Option<File>,
}

/// The least memory limit of this process's control groups, of version 1 or 2; `None` without one,
/// or when it is not said.
#[must_use]
pub fn memory_limit() -> Option<MemoryLimit> {
    let limits = memory_groups().into_iter().filter_map(|group| {
        let read = |file| fs::read_to_string(group.join(file)).ok();
        let (text, stat) = match read("memory.max") {
            Some(text) => (text, File::open(group.join("memory.stat")).ok()),
            None => (read("memory.limit_in_bytes")?, None),
        };
        let own = MemoryLimit::own(limit(&text)?);
        Some(MemoryLimit { stat, ..own })
    });
    limits.min_by_key(|limit| limit.bytes)
}

impl MemoryLimit {
    /// A limit that nothing but this process keeps.
    #[must_use]
    pub fn own(bytes: u64) -> Self {
        Self {
            bytes,
            statm: File::open("/proc/self/statm").ok(),
            stat: None,
        }
    }

    /// What this process uses and the kernel cannot do without, in bytes: its anonymous memory, and
    /// where they count the socket buffers of its group. `None` without a `/proc`.
    #[must_use]
    pub fn used(&self) -> Option<u64> {
        let pages = again(self.statm.as_ref()?)?;
        let mut pages = pages.split_whitespace().skip(1).map(str::parse::<u64>);
        let (resident, shared) = (pages.next()?.ok()?, pages.next()?.ok()?);
        let anonymous = resident.saturating_sub(shared) * procfs::page_size();
        let sockets = self
            .stat
            .as_ref()
            .and_then(|stat| field(&again(stat)?, "sock"));
        Some(anonymous + sockets.unwrap_or_default())
    }
}

/// What a file of the kernel says now.
fn again(file: &File) -> Option<String> {
    // Longer than any of these; what follows the field that is wanted does not matter.
    let mut bytes = [0; 4096];
    let read = file.read_at(&mut bytes, 0).ok()?;
    Some(String::from_utf8_lossy(&bytes[..read]).into_owned())
}

/// Raises the number of files and connections that this process may have open to the most that it
/// may raise it to, and returns that; `None` when there is no limit.
pub fn raise_open_files() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    }
}

/// `max` is no limit in version 2, and a number beyond all memory in version 1.
fn limit(text: &str) -> Option<u64> {
    let bytes = text.trim().parse().ok()?;
    (bytes < UNLIMITED).then_some(bytes)
}

fn field(stat: &str, name: &str) -> Option<u64> {
    let fields = stat.lines().filter_map(|line| line.split_once(' '));
    let (_, value) = { fields }.find(|(field, _)| *field == name)?;
    value.trim().parse().ok()
}

/// The folders of the groups that limit this process's memory, from its own one up to the highest
/// that can be seen: each limits all below it.
fn memory_groups() -> Vec<PathBuf> {
    let said = || {
        let own = Process::myself()?;
        Ok::<_, procfs::ProcError>((own.cgroups()?, own.mountinfo()?))
    };
    let Ok((groups, mounts)) = said() else {
        return Vec::new();
    };
    let has_memory = |group: &ProcessCGroup| {
        group.hierarchy == 0 || group.controllers.iter().any(|name| name == "memory")
    };
    groups
        .into_iter()
        .filter(has_memory)
        .flat_map(|group| folders(&group, &mounts.0))
        .collect()
}

fn folders(group: &ProcessCGroup, mounts: &[MountInfo]) -> Vec<PathBuf> {
    let is_its = |mount: &&MountInfo| match group.hierarchy {
        0 => mount.fs_type == "cgroup2",
        _ => mount.fs_type == "cgroup" && mount.super_options.contains_key("memory"),
    };
    let Some(mount) = mounts.iter().find(is_its) else {
        return Vec::new();
    };
    // Where a container shows its own group as the top, the group's path begins with the mount's root.
    let below = group
        .pathname
        .strip_prefix(&mount.root)
        .unwrap_or(&group.pathname);
    Path::new(below.trim_start_matches('/'))
        .ancestors()
        .map(|part| mount.mount_point.join(part))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_of_either_version_is_a_number_of_bytes() {
        assert_eq!(limit("100663296\n"), Some(96 << 20));
        assert_eq!(limit("max\n"), None);
        assert_eq!(limit("9223372036854771712\n"), None);
        assert_eq!(limit(""), None);
    }

    #[test]
    fn every_group_above_limits_too_and_a_containers_own_is_the_top() {
        let of = |mount: &str, hierarchy, controllers: &[&str], pathname: &str| {
            let group = ProcessCGroup {
                hierarchy,
                controllers: controllers.iter().map(|name| (*name).to_owned()).collect(),
                pathname: pathname.to_owned(),
            };
            folders(&group, &[MountInfo::from_line(mount).unwrap()])
        };
        let two = "33 24 0:28 /pod /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate";
        assert_eq!(
            of(two, 0, &[], "/pod/one"),
            [
                PathBuf::from("/sys/fs/cgroup/one"),
                PathBuf::from("/sys/fs/cgroup/")
            ]
        );
        let one = "35 31 0:32 /docker/a /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory";
        assert_eq!(
            of(one, 4, &["memory"], "/docker/a"),
            [PathBuf::from("/sys/fs/cgroup/memory/")]
        );
        assert!(of(two, 4, &["memory"], "/pod").is_empty());
    }

    #[test]
    fn what_is_used_grows_with_what_is_allocated() {
        const MORE: usize = 64 << 20;
        let limit = MemoryLimit::own(1 << 30);
        let before = limit.used().unwrap();
        let held = std::hint::black_box(vec![1_u8; MORE]);
        assert!(limit.used().unwrap() > before + (MORE as u64) / 2);
        drop(held);
        assert_eq!(field("anon 5\nsock 4096\nsockx 1\n", "sock"), Some(4096));
        assert!(raise_open_files().is_none_or(|files| files > 0));
    }
}
