//! Where a run takes place and what was measured: enough to judge the figures and to say what two
//! runs do not have in common; nothing that names a machine, a path or a secret.

use std::{collections::BTreeMap, fs, path::Path, thread::available_parallelism, time::Duration};

use procfs::{CpuInfo, Current as _, LoadAverage, Meminfo};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use crate::{
    results::{Environment, Origin},
    subject::{cgroup, client::client, stack::Stack},
};

/// Parts of the names of variables whose values are not told.
const SECRET: [&str; 6] = ["SECRET", "PASSWORD", "KEY", "TOKEN", "CLIENTS", "HEADERS"];
/// Of these, the ones that hold a time or a number, which runs must have in common.
const NO_SECRET: [&str; 7] = [
    "API_MAX_TOKEN_LIFETIME",
    "API_REMEMBERED_TOKENS",
    "AUTH_ACCESS_TOKEN_TTL",
    "AUTH_KEY_ANNOUNCE",
    "AUTH_KEY_RETAIN",
    "AUTH_KEY_ROTATE_EVERY",
    "AUTH_REFRESH_TOKEN_TTL",
];
/// Beginnings of the names of variables whose values may be told: those that our services read. What
/// another is for is not known here, so it may be a secret.
const OURS: [&str; 8] = [
    "AUTH_", "API_", "GATEWAY_", "OTEL_", "LOG_", "RUST_", "MALLOC_", "TOKIO_",
];
/// What stands for a value that is not told.
const HIDDEN: &str = "(secret)";

/// Reads the machine before the first request. What it does not tell is empty, 0 or absent.
#[must_use]
pub fn read(origin: Origin) -> Environment {
    let cpu = CpuInfo::current().ok();
    let cpu_field = |name| cpu.as_ref().and_then(|cpu| cpu.get_field(0, name));
    Environment {
        cpu_model: cpu_field("model name").unwrap_or("unknown CPU").to_owned(),
        cpus: available_parallelism().map_or(0, |count| count.get() as u32),
        memory_bytes: Meminfo::current().map_or(0, |memory| memory.mem_total),
        system: format!(
            "Linux {}",
            version(&text("/proc/sys/kernel/osrelease").unwrap_or_default())
        ),
        load_average_at_start: LoadAverage::current().map_or(0.0, |load| f64::from(load.one)),
        redis_version: None,
        origin,
        facts: facts_of_machine(cpu_field("flags").unwrap_or_default()),
    }
}

/// What was built and how, and what the machine is set to.
fn facts_of_machine(cpu_flags: &str) -> BTreeMap<String, String> {
    let build = if cfg!(debug_assertions) {
        "debug"
    } else {
        "release"
    };
    let limit = cgroup::cpu_limit().map_or("none".to_owned(), |cpus| format!("{cpus:.2} CPUs"));
    let is_virtual = cpu_flags.split(' ').any(|flag| flag == "hypervisor");
    let mut facts = BTreeMap::from([
        ("commit".to_owned(), env!("STATEWISE_COMMIT").to_owned()),
        ("build".to_owned(), build.to_owned()),
        ("CPU limit".to_owned(), limit),
        ("container".to_owned(), yes_or_no(is_container())),
        ("virtual machine".to_owned(), yes_or_no(is_virtual)),
    ]);
    for (name, path) in [
        (
            "clock source",
            "/sys/devices/system/clocksource/clocksource0/current_clocksource",
        ),
        (
            "frequency governor",
            "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor",
        ),
        ("frequency boost", "/sys/devices/system/cpu/cpufreq/boost"),
        ("SMT", "/sys/devices/system/cpu/smt/active"),
    ] {
        if let Some(value) = text(path) {
            facts.insert(name.to_owned(), value);
        }
    }
    facts
}

/// What the processes of a stack were given and are: every variable as `WHO VARIABLE` (a secret has
/// its name and no value), the algorithm of the tokens, and a digest of each program, which is the
/// same for the same build.
#[must_use]
pub fn facts_of_stack(stack: &Stack) -> BTreeMap<String, String> {
    let mut facts = BTreeMap::new();
    for (who, variables) in stack.variables() {
        for (name, value) in variables {
            let value = shown(&name, &value);
            facts.insert(format!("{who} {name}"), value);
        }
    }
    for (program, path) in stack.programs() {
        if let Ok(bytes) = fs::read(&path) {
            facts.insert(format!("program {program}"), digest(&bytes));
        }
    }
    facts.extend(algorithm_fact(&stack.auth_url));
    facts
}

/// The algorithm of the keys that an auth service publishes; `auth` is its base URL. Nothing when it
/// does not tell.
#[must_use]
pub fn algorithm_fact(auth: &str) -> Option<(String, String)> {
    #[derive(Deserialize)]
    struct KeySet {
        keys: Vec<Key>,
    }
    #[derive(Deserialize)]
    struct Key {
        alg: Option<String>,
    }
    let url = format!("{}/.well-known/jwks.json", auth.trim_end_matches('/'));
    let client = client(Duration::from_secs(2)).ok()?;
    let set: KeySet = client.get(url).send().ok()?.json().ok()?;
    let mut names: Vec<String> = set.keys.into_iter().filter_map(|key| key.alg).collect();
    names.sort_unstable();
    names.dedup();
    (!names.is_empty()).then(|| ("algorithm".to_owned(), names.join(", ")))
}

/// The value of a variable as it may be told.
#[must_use]
pub fn shown(name: &str, value: &str) -> String {
    let is_secret = SECRET.iter().any(|part| name.contains(part)) && !NO_SECRET.contains(&name);
    if is_secret || !OURS.iter().any(|ours| name.starts_with(ours)) {
        return HIDDEN.to_owned();
    }
    let Some((scheme, rest)) = value.split_once("://") else {
        return value.to_owned();
    };
    // Credentials stand before the host, or among the parameters of a database's URL. They may hold
    // any character, so everything up to the last `@` goes.
    let rest = rest
        .rsplit_once('@')
        .map_or_else(|| rest.to_owned(), |(_, rest)| format!("{HIDDEN}@{rest}"));
    match rest.split_once('?') {
        Some((address, _)) => format!("{scheme}://{address}?{HIDDEN}"),
        None => format!("{scheme}://{rest}"),
    }
}

/// The kernel's version without what its builder added, which may name a machine or its owner.
fn version(release: &str) -> &str {
    release.split(['-', '+']).next().unwrap_or_default()
}

fn is_container() -> bool {
    ["/.dockerenv", "/run/.containerenv"]
        .iter()
        .any(|marker| Path::new(marker).exists())
        || std::env::var_os("KUBERNETES_SERVICE_HOST").is_some()
}

fn yes_or_no(is: bool) -> String {
    if is { "yes" } else { "no" }.to_owned()
}

/// Half of a SHA-256 is more than enough to tell builds apart.
fn digest(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    let half = digest[..16].iter();
    half.map(|byte| format!("{byte:02x}")).collect()
}

fn text(path: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    Some(text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_is_told_without_its_name() {
        let environment = read(Origin::Started);
        assert!(environment.memory_bytes > 0 && environment.cpus > 0);
        assert!(environment.system.starts_with("Linux "));
        let commit = &environment.facts["commit"];
        let digits = commit.trim_end_matches("-dirty");
        assert!(
            commit == "unknown" || digits.bytes().all(|byte| byte.is_ascii_hexdigit()),
            "{commit}"
        );
        assert_eq!(version("6.12.9-somewhere-1"), "6.12.9");
    }

    #[test]
    fn a_secret_has_its_name_and_no_value() {
        for name in [
            "API_CLIENT_SECRET",
            "AUTH_CLIENTS",
            "AUTH_ADMIN_PASSWORD",
            "AUTH_KEY_ENCRYPTION_KEY",
            "OTEL_EXPORTER_OTLP_HEADERS",
        ] {
            assert_eq!(shown(name, "abc"), HIDDEN, "{name}");
        }
        assert_eq!(shown("API_REMEMBERED_TOKENS", "10000"), "10000");
        assert_eq!(shown("AUTH_ALGORITHM", "EdDSA"), "EdDSA");
    }

    #[test]
    fn a_url_is_told_without_its_credentials() {
        let told = |value| shown("AUTH_DATABASE_URL", value);
        assert_eq!(
            told("postgres://me:a/b@c?d@host/users"),
            "postgres://(secret)@host/users"
        );
        assert_eq!(
            told("postgres://host/users?password=abc"),
            "postgres://host/users?(secret)"
        );
        assert_eq!(told("redis://127.0.0.1:6379"), "redis://127.0.0.1:6379");
    }
}
