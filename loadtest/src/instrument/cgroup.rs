//! What control groups, of version 1 or 2, take from this process and from those that it starts.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use procfs::{
    ProcessCGroup,
    process::{MountInfo, Process},
};

/// Processors that this process may use at most by quota; `None` without one, or when it is not told.
#[must_use]
pub(super) fn cpu_limit() -> Option<f64> {
    let quotas = groups().into_iter().filter_map(|group| {
        let read = |file| fs::read_to_string(group.join(file)).ok();
        match read("cpu.max") {
            Some(text) => quota(&text),
            None => quota(&format!(
                "{} {}",
                read("cpu.cfs_quota_us")?.trim(),
                read("cpu.cfs_period_us")?
            )),
        }
    });
    quotas.reduce(f64::min)
}

/// For how long threads were kept from running by a quota, added over processors and groups.
pub(super) fn throttled() -> Duration {
    let read = |group: PathBuf| fs::read_to_string(group.join("cpu.stat")).ok();
    let told = groups().into_iter().filter_map(read);
    told.map(|text| throttled_in(&text)).sum()
}

/// `QUOTA PERIOD` in the same unit. No quota is `max` in version 2 and negative in version 1.
fn quota(text: &str) -> Option<f64> {
    let mut numbers = text.split_whitespace().map(str::parse::<f64>);
    let (quota, period) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
    (quota > 0.0 && period > 0.0).then(|| quota / period)
}

/// Version 1 gives nanoseconds, version 2 microseconds.
fn throttled_in(stat: &str) -> Duration {
    let fields: HashMap<&str, u64> = stat
        .lines()
        .filter_map(|line| line.split_once(' '))
        .filter_map(|(name, value)| Some((name, value.trim().parse().ok()?)))
        .collect();
    match (fields.get("throttled_usec"), fields.get("throttled_time")) {
        (Some(us), _) => Duration::from_micros(*us),
        (None, Some(ns)) => Duration::from_nanos(*ns),
        (None, None) => Duration::ZERO,
    }
}

/// The folders of the groups that limit this process's CPU time, from its own one up to the highest
/// that can be seen: each limits all below it.
fn groups() -> Vec<PathBuf> {
    let told = || {
        let own = Process::myself()?;
        Ok::<_, procfs::ProcError>((own.cgroups()?, own.mountinfo()?))
    };
    let Ok((groups, mounts)) = told() else {
        return Vec::new();
    };
    let has_cpu = |group: &ProcessCGroup| {
        group.hierarchy == 0 || group.controllers.iter().any(|name| name == "cpu")
    };
    groups
        .into_iter()
        .filter(has_cpu)
        .flat_map(|group| folders(&group, &mounts.0))
        .collect()
}

fn folders(group: &ProcessCGroup, mounts: &[MountInfo]) -> Vec<PathBuf> {
    let is_its = |mount: &&MountInfo| match group.hierarchy {
        0 => mount.fs_type == "cgroup2",
        _ => mount.fs_type == "cgroup" && mount.super_options.contains_key("cpu"),
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
    fn a_quota_of_either_version_is_a_number_of_processors() {
        assert_eq!(quota("150000 100000\n"), Some(1.5));
        assert_eq!(quota("max 100000\n"), None);
        assert_eq!(quota("-1 100000\n"), None);
        assert_eq!(quota(""), None);
    }

    #[test]
    fn throttled_time_of_either_version_has_its_own_unit() {
        let of = throttled_in;
        assert_eq!(
            of("nr_periods 5\nnr_throttled 2\nthrottled_time 3000\n"),
            Duration::from_micros(3)
        );
        assert_eq!(
            of("usage_usec 9\nthrottled_usec 3\n"),
            Duration::from_micros(3)
        );
        assert_eq!(of("usage_usec 9\n"), Duration::ZERO);
    }

    #[test]
    fn every_group_above_limits_too() {
        let mount = MountInfo::from_line(
            "33 24 0:28 /pod /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate",
        )
        .unwrap();
        let group = ProcessCGroup {
            hierarchy: 0,
            controllers: Vec::new(),
            pathname: "/pod/one".to_owned(),
        };
        assert_eq!(
            folders(&group, &[mount]),
            [
                PathBuf::from("/sys/fs/cgroup/one"),
                PathBuf::from("/sys/fs/cgroup/")
            ]
        );
    }
}
