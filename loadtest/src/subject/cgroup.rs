//! The control groups, of version 1 or 2, that limit the CPU time of this process and of those that it
//! starts.

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

/// Version of control groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    /// Each controller has a tree of its own.
    One,
    /// One tree for all.
    Two,
}

/// How often, and for how long, threads were kept from running by a quota.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Throttling {
    /// Periods in which something ran, or wanted to.
    pub periods: u64,
    /// Of these, in how many the quota was used up.
    pub throttled: u64,
    /// For how long threads were held back, added over processors.
    pub time: Duration,
}

impl Throttling {
    /// From a `cpu.stat`. What it does not tell is 0. Version 1 gives nanoseconds, version 2 microseconds.
    pub(crate) fn parse(stat: &str) -> Self {
        let fields: HashMap<&str, u64> = stat
            .lines()
            .filter_map(|line| line.split_once(' '))
            .filter_map(|(name, value)| Some((name, value.trim().parse().ok()?)))
            .collect();
        let field = |name| fields.get(name).copied();
        Self {
            periods: field("nr_periods").unwrap_or(0),
            throttled: field("nr_throttled").unwrap_or(0),
            time: match (field("throttled_usec"), field("throttled_time")) {
                (Some(us), _) => Duration::from_micros(us),
                (None, Some(ns)) => Duration::from_nanos(ns),
                (None, None) => Duration::ZERO,
            },
        }
    }

    /// What happened since `earlier`.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            periods: self.periods.saturating_sub(earlier.periods),
            throttled: self.throttled.saturating_sub(earlier.throttled),
            time: self.time.saturating_sub(earlier.time),
        }
    }

    /// Share of the periods in which the quota was used up; 0 without any.
    #[must_use]
    pub fn share(&self) -> f64 {
        self.throttled as f64 / self.periods.max(1) as f64
    }
}

/// Processors that this process may use at most by quota; `None` without one, or when it is not told.
#[must_use]
pub(crate) fn cpu_limit() -> Option<f64> {
    let quotas = groups().into_iter().filter_map(|(_, group)| {
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
pub(crate) fn throttled() -> Duration {
    let read = |(_, group): (_, PathBuf)| fs::read_to_string(group.join("cpu.stat")).ok();
    let told = groups().into_iter().filter_map(read);
    told.map(|text| Throttling::parse(&text).time).sum()
}

/// `QUOTA PERIOD` in the same unit. No quota is `max` in version 2 and negative in version 1.
fn quota(text: &str) -> Option<f64> {
    let mut numbers = text.split_whitespace().map(str::parse::<f64>);
    let (quota, period) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
    (quota > 0.0 && period > 0.0).then(|| quota / period)
}

/// The folders of the groups that limit this process's CPU time, from its own one up to the highest
/// that can be seen: each limits all below it. Where both versions are mounted, those of either, and
/// one of them has the controller.
fn groups() -> Vec<(Version, PathBuf)> {
    Process::myself().map_or_else(|_| Vec::new(), |own| groups_of(&own))
}

/// The same of the version that has the controller of CPU time.
pub(crate) fn controlled_groups(of: u32) -> Option<(Version, Vec<PathBuf>)> {
    let process = Process::new(i32::try_from(of).ok()?).ok()?;
    let mut groups = groups_of(&process);
    if groups.iter().any(|(version, _)| *version == Version::One) {
        groups.retain(|(version, _)| *version == Version::One);
    }
    let version = groups.first()?.0;
    Some((
        version,
        groups.into_iter().map(|(_, folder)| folder).collect(),
    ))
}

fn groups_of(process: &Process) -> Vec<(Version, PathBuf)> {
    let told = || Ok::<_, procfs::ProcError>((process.cgroups()?, Process::myself()?.mountinfo()?));
    let Ok((groups, mounts)) = told() else {
        return Vec::new();
    };
    let has_cpu = |group: &ProcessCGroup| {
        group.hierarchy == 0 || group.controllers.iter().any(|name| name == "cpu")
    };
    groups
        .into_iter()
        .filter(has_cpu)
        .flat_map(|group| {
            let version = match group.hierarchy {
                0 => Version::Two,
                _ => Version::One,
            };
            let folders = folders(&group, &mounts.0);
            folders.into_iter().map(move |folder| (version, folder))
        })
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
        let first = Throttling::parse("nr_periods 5\nnr_throttled 2\nthrottled_time 3000\n");
        assert_eq!((first.periods, first.throttled), (5, 2));
        assert_eq!(first.time, Duration::from_micros(3));
        let second =
            Throttling::parse("usage_usec 9\nnr_periods 9\nnr_throttled 3\nthrottled_usec 4\n");
        assert_eq!(second.time, Duration::from_micros(4));
        let between = second.since(&first);
        assert_eq!((between.periods, between.throttled), (4, 1));
        assert_eq!(between.share(), 0.25);
        assert_eq!(Throttling::parse("usage_usec 9\n"), Throttling::default());
        assert_eq!(Throttling::default().share(), 0.0);
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
