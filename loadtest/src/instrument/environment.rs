//! Where a comparison runs: enough to judge the figures, nothing that names a machine or a path.

use std::{fs, thread::available_parallelism};

use crate::results::v2::{Environment, Origin};

/// Reads the machine before the first request. Whatever it does not tell stays empty.
pub fn read(found: bool) -> Environment {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    Environment {
        cpu_model: value(&read("/proc/cpuinfo"), "model name")
            .unwrap_or("unknown CPU")
            .to_owned(),
        cpus: available_parallelism().map_or(0, |count| count.get() as u32),
        memory_bytes: memory_bytes(&read("/proc/meminfo")),
        system: format!("Linux {}", version(&read("/proc/sys/kernel/osrelease"))),
        load_average_at_start: load_average(&read("/proc/loadavg")),
        redis_version: None,
        origin: if found {
            Origin::Found
        } else {
            Origin::Started
        },
        gateway: if found {
            "given by --gateway"
        } else {
            "the stack's own"
        }
        .to_owned(),
    }
}

/// The kernel's version without what its builder added, which may name a machine or its owner.
fn version(release: &str) -> &str {
    release.trim().split(['-', '+']).next().unwrap_or_default()
}

/// The value of a line `name : value`.
fn value<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let (found, value) = line.split_once(':')?;
        (found.trim() == name).then(|| value.trim())
    })
}

fn memory_bytes(meminfo: &str) -> u64 {
    let kib =
        value(meminfo, "MemTotal").and_then(|text| text.strip_suffix(" kB")?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

fn load_average(loadavg: &str) -> f64 {
    loadavg
        .split(' ')
        .next()
        .and_then(|text| text.parse().ok())
        .unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_of_the_kernel_are_understood() {
        let cpuinfo = "processor\t: 0\nmodel name\t: Example @ 3.00GHz\n";
        assert_eq!(value(cpuinfo, "model name"), Some("Example @ 3.00GHz"));
        assert_eq!(
            memory_bytes("MemTotal:        8152340 kB\nMemFree: 1 kB\n"),
            8_152_340 * 1024
        );
        assert_eq!(version("6.12.9-somewhere-1\n"), "6.12.9");
        assert_eq!(load_average("0.52 0.58 0.59 1/977 12345\n"), 0.52);
        assert_eq!((memory_bytes(""), load_average("")), (0, 0.0));
    }
}
