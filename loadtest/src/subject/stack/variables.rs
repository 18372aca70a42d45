//! What the processes of a stack are called, and what they were given, for the record of a run.

use std::{collections::BTreeMap, path::PathBuf};

use super::{
    Stack,
    process::Spec,
    stores::{POSTGRES, REDIS},
};

/// Beginnings of the names of inherited variables that a service reads, or that change how it runs.
const READ: [&str; 8] = [
    "AUTH_", "API_", "GATEWAY_", "OTEL_", "LOG_", "RUST_LOG", "MALLOC_", "TOKIO_",
];
/// Beginnings of names that only one kind of process reads.
const OF_ONE: [(&str, &str); 3] = [
    ("AUTH_", "auth-service"),
    ("API_", "api-"),
    ("GATEWAY_", "gateway"),
];

impl Stack {
    /// Every variable that a process was given, by whom (`auth`, `gateway`, `POOL
    /// api`) and name. What is
    /// drawn anew for each stack is replaced by what it stands for: an address by the name of the
    /// process behind it, the folder of the stack by `FOLDER`. Secrets are in clear.
    #[must_use]
    pub fn variables(&self) -> BTreeMap<String, BTreeMap<String, String>> {
        let processes = self.processes();
        let specs: Vec<&Spec> = processes.iter().map(|process| process.spec()).collect();
        let mut drawn: Vec<(String, String)> = Vec::new();
        for spec in &specs {
            for port in &spec.ports {
                drawn.push((port.address.to_string(), spec.name.clone()));
            }
        }
        if let Some(folder) = &self.folder {
            drawn.push((folder.path().display().to_string(), "FOLDER".to_owned()));
        }
        let mut given = BTreeMap::new();
        for spec in specs {
            // The replicas of a pool are given the same; their own names and addresses are no facts.
            given
                .entry(given_to(&spec.name))
                .or_insert_with(|| variables_of(spec, &drawn));
        }
        given.retain(|_, variables: &mut BTreeMap<_, _>| !variables.is_empty());
        given
    }

    /// The program of each kind of process, by the names of [`Stack::variables`].
    #[must_use]
    pub fn programs(&self) -> BTreeMap<String, PathBuf> {
        let processes = self.processes();
        let specs = processes.iter().map(|process| process.spec());
        specs
            .map(|spec| (given_to(&spec.name), spec.program.clone()))
            .collect()
    }
}

/// What spans and metrics call a process. What is said of the whole stack from outside is kept.
pub(super) fn identity(service: &str, name: &str) -> [(&'static str, String); 2] {
    const ATTRIBUTES: &str = "OTEL_RESOURCE_ATTRIBUTES";
    let given = std::env::var(ATTRIBUTES).unwrap_or_default();
    let separator = if given.is_empty() { "" } else { "," };
    // Of two of one name the later counts.
    let attributes =
        format!("deployment.environment.name=local{separator}{given},service.instance.id={name}");
    [
        ("OTEL_SERVICE_NAME", service.to_owned()),
        (ATTRIBUTES, attributes),
    ]
}

/// `auth`, `gateway`, or `POOL api` for the replicas of a pool.
fn given_to(process: &str) -> String {
    match process
        .strip_prefix("api-")
        .and_then(|rest| rest.rsplit_once('-'))
    {
        Some((pool, _)) => format!("{pool} api"),
        // Several are given the same, but for their addresses.
        None => process
            .trim_end_matches(|last: char| last.is_ascii_digit() || last == '-')
            .trim_end_matches("-service")
            .to_owned(),
    }
}

fn variables_of(spec: &Spec, drawn: &[(String, String)]) -> BTreeMap<String, String> {
    if [REDIS, POSTGRES].contains(&spec.name.as_str()) {
        return BTreeMap::new();
    }
    let inherited = std::env::vars_os().filter_map(|(name, value)| {
        let (name, value) = (name.into_string().ok()?, value.into_string().ok()?);
        is_read_by(&spec.name, &name).then_some((name, value))
    });
    inherited
        .chain(spec.environment.iter().cloned())
        .map(|(name, mut value)| {
            for (address, of) in drawn {
                value = value.replace(address, of);
            }
            (name, value)
        })
        .collect()
}

fn is_read_by(process: &str, name: &str) -> bool {
    let of_one = OF_ONE.iter().find(|(prefix, _)| name.starts_with(prefix));
    match of_one {
        Some((_, reader)) => process.starts_with(reader),
        None => READ.iter().any(|prefix| name.starts_with(prefix)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_told_by_who_was_given_them() {
        assert_eq!(given_to("api-session-cached-2"), "session-cached api");
        assert_eq!(given_to("auth-service"), "auth");
        assert_eq!(given_to("auth-service-2"), "auth");
        assert_eq!(given_to("gateway-1"), "gateway");
        assert_eq!(given_to("gateway"), "gateway");
    }

    #[test]
    fn an_inherited_variable_is_told_where_it_is_read() {
        assert!(is_read_by("auth-service", "AUTH_ALGORITHM"));
        assert!(!is_read_by("gateway", "AUTH_ALGORITHM"));
        assert!(is_read_by("api-jwt-1", "API_WORKERS"));
        assert!(is_read_by("gateway", "OTEL_TRACES_SAMPLER"));
        assert!(!is_read_by("gateway", "HOME"));
    }
}
