//! The promises of the architecture that a compiler does not check.

#![expect(clippy::unwrap_used, reason = "a step that fails fails its test")]

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;
use system_tests::{command, ends};

/// Who must not depend on whom, be it for tests only.
const FORBIDDEN: [(&str, &[&str]); 7] = [
    (
        "shared",
        &[
            "auth-service",
            "api-service",
            "gateway",
            "loadtest",
            "system-tests",
        ],
    ),
    (
        "auth-service",
        &["api-service", "gateway", "loadtest", "system-tests"],
    ),
    (
        "api-service",
        &["auth-service", "gateway", "loadtest", "system-tests"],
    ),
    (
        "gateway",
        &["auth-service", "api-service", "loadtest", "system-tests"],
    ),
    (
        "loadtest",
        &["auth-service", "api-service", "gateway", "system-tests"],
    ),
    ("system-tests", &["auth-service", "api-service", "gateway"]),
    (
        "testkit",
        &[
            "shared",
            "auth-service",
            "api-service",
            "gateway",
            "loadtest",
            "system-tests",
        ],
    ),
];

/// Names that say nothing of what is inside, so that anything gets in.
const DRAWERS: [&str; 5] = ["utils", "common", "helpers", "types", "misc"];

fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent()
        .expect("the crate lies in the workspace")
        .to_owned()
}

fn cargo(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO"))
        .args(arguments)
        .args(["--offline", "--locked"])
        .current_dir(root())
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo {arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn no_crate_depends_on_one_that_it_must_not_know() {
    let metadata = cargo(&["metadata", "--format-version", "1", "--no-deps"]);
    let metadata: Value = serde_json::from_str(&metadata).unwrap();
    let edges: BTreeMap<&str, Vec<&str>> = metadata["packages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|package| {
            let dependencies = package["dependencies"].as_array().unwrap().iter();
            let names = dependencies.map(|one| one["name"].as_str().unwrap());
            (package["name"].as_str().unwrap(), names.collect())
        })
        .collect();
    assert_eq!(
        edges.len(),
        FORBIDDEN.len(),
        "a crate without a rule: {:?}",
        edges.keys()
    );
    for (from, forbidden) in FORBIDDEN {
        for to in forbidden {
            assert!(!edges[from].contains(to), "{from} must not depend on {to}");
        }
    }
}

#[test]
fn the_gateway_can_neither_read_a_token_nor_a_session() {
    let tree = cargo(&["tree", "-p", "gateway", "-e", "normal", "--prefix", "none"]);
    assert!(tree.contains("hyper v"), "{tree}");
    for name in ["redis", "jsonwebtoken"] {
        let found = tree
            .lines()
            .find(|line| line.starts_with(&format!("{name} v")));
        assert_eq!(found, None, "the gateway knows {name}");
    }
}

#[test]
fn the_testkit_is_in_no_program() {
    for name in [
        "shared",
        "auth-service",
        "api-service",
        "gateway",
        "loadtest",
    ] {
        let tree = cargo(&["tree", "-p", name, "-e", "normal", "--prefix", "none"]);
        assert!(tree.contains("tokio v"), "{tree}");
        let found = tree.lines().find(|line| line.starts_with("testkit v"));
        assert_eq!(found, None, "{name} needs testkit outside of tests");
    }
}

#[test]
fn no_module_is_a_drawer() {
    let mut seen = 0;
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
            if path.is_dir() && !name.starts_with('.') && name != "target" {
                assert!(!DRAWERS.contains(&name.as_str()), "{}", path.display());
                folders.push(path);
            } else if name.ends_with(".rs") {
                seen += 1;
                assert!(!DRAWERS.contains(&stem.as_str()), "{}", path.display());
                assert_ne!(stem, "mod", "{}: name it after its module", path.display());
            }
        }
    }
    assert!(seen > 50, "only {seen} files were looked at");
}

#[test]
fn an_image_builds_from_the_manifests_that_the_dockerfile_copies() {
    let root = root();
    let dockerfile = std::fs::read_to_string(root.join("Dockerfile")).unwrap();
    let ignored = std::fs::read_to_string(root.join(".dockerignore")).unwrap();
    let there = tempfile::tempdir().unwrap();
    let copies = dockerfile
        .lines()
        .filter_map(|line| line.strip_prefix("COPY "))
        .take_while(|copy| *copy != ". .");
    for copy in copies {
        let mut paths: Vec<&str> = copy.split_whitespace().collect();
        let folder = there.path().join(paths.pop().unwrap());
        std::fs::create_dir_all(&folder).unwrap();
        for path in paths {
            let top = path.split('/').next().unwrap();
            let sent = |line: &str| line == format!("!{path}") || line == format!("!{top}");
            assert!(ignored.lines().any(sent), ".dockerignore leaves out {path}");
            let name = Path::new(path).file_name().unwrap();
            std::fs::copy(root.join(path), folder.join(name)).unwrap();
        }
    }
    let run = |program: &str, arguments: &[&str]| {
        let output = Command::new(program)
            .args(arguments)
            .current_dir(there.path())
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{program} {arguments:?}: {errors}");
    };
    run("sh", &["scripts/stub-sources.sh"]);
    // As the image's build does: a member that is not there, or a lock file that does not fit, ends it.
    let metadata = ["metadata", "--format-version", "1", "--offline", "--locked"];
    run(env!("CARGO"), &metadata);
}

#[test]
fn every_program_names_itself_and_its_options() {
    for (name, option) in [
        ("auth-service", "AUTH_LISTEN"),
        ("api-service", "API_STRATEGY"),
        ("gateway", "GATEWAY_POOLS"),
        ("loadtest", "compare"),
    ] {
        let output = ends(command(name).arg("--help"));
        let text = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(0), "{name}");
        assert!(
            text.contains(option),
            "{option} is missing in {name} --help:\n{text}"
        );
    }
}
