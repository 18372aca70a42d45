//! One vocabulary: the words of the field in code, comments, interface and documentation.

#![expect(clippy::unwrap_used, reason = "a step that fails fails its test")]

use std::path::{Path, PathBuf};

use regex::Regex;

/// A word that only we would understand.
struct Private {
    /// What it looks like, as a regular expression.
    pattern: &'static str,
    /// In files whose path below the root matches this.
    within: &'static str,
    instead: &'static str,
}

const PRIVATE: [Private; 6] = [
    Private {
        pattern: r"\bKnown(\b|[A-Z])",
        within: r"\.(rs|json)$",
        instead: "name a type after what it holds",
    },
    Private {
        pattern: r"\b[Ss]tanding\b",
        within: "",
        instead: "status, health or limit",
    },
    Private {
        pattern: r"(?i)(\b|_)keepers?(\b|_)",
        within: "",
        instead: "reconciler of revocations, repository of what is stored, owner of what is held",
    },
    Private {
        pattern: r"(?i)(\b|_)(tak(e|es|en|ing)|took)( it| them)?[ _]?back(\b|_)|\btaken over\b",
        within: "",
        instead: "revoke, or expire for what ends by itself",
    },
    Private {
        pattern: r"(?i)(\b|_)told(\b|_)",
        within: "revocation",
        instead: "publish",
    },
    Private {
        pattern: r"(?i)(\b|_)(depart(s|ed)?|land(s|ed)?)(\b|_)",
        within: r"\.rs$",
        instead: "single flight: a call begins and ends",
    },
];

/// Not read: what cannot change, and what is no prose of ours.
const LEFT_OUT: [&str; 7] = [
    // Versions that are out.
    "CHANGELOG.md",
    "Cargo.lock",
    // A database holds the checksum of each migration.
    "auth-service/migrations/",
    // Results as they were written.
    "docs/example/",
    "loadtest/tests/report/data/",
    "fuzz/corpus/",
    "system-tests/tests/glossary.rs",
];

const ENDINGS: [&str; 9] = ["rs", "md", "json", "toml", "sh", "py", "yml", "yaml", "sql"];

#[test]
fn nothing_uses_a_word_that_only_we_would_understand() {
    let words = PRIVATE.map(|word| {
        let patterns = (Regex::new(word.pattern), Regex::new(word.within));
        (patterns.0.unwrap(), patterns.1.unwrap(), word.instead)
    });
    let root = root();
    let files = files(&root);
    assert!(files.len() > 400, "only {} files were read", files.len());
    let mut found = Vec::new();
    for path in files {
        let text = std::fs::read_to_string(root.join(&path)).unwrap();
        for (pattern, within, instead) in &words {
            if !within.is_match(&path) {
                continue;
            }
            for (index, line) in text.lines().enumerate() {
                if let Some(word) = pattern.find(line) {
                    let (line, word) = (index + 1, word.as_str());
                    found.push(format!("{path}:{line}: {word:?}; say {instead}"));
                }
            }
        }
    }
    assert!(found.is_empty(), "private words:\n{}", found.join("\n"));
}

fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent()
        .expect("the crate lies in the workspace")
        .to_owned()
}

/// Paths below the root of all files that are read.
fn files(root: &Path) -> Vec<String> {
    let mut files = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let below = path.strip_prefix(root).unwrap().display().to_string();
            if name.starts_with('.') || LEFT_OUT.iter().any(|left| is_in(&below, left)) {
                continue;
            }
            let ending = path.extension().unwrap_or_default().to_string_lossy();
            if path.is_dir() && name != "target" {
                folders.push(path);
            } else if ENDINGS.contains(&&*ending) {
                files.push(below);
            }
        }
    }
    files
}

/// Whether a path is one that is named, or in the folder that is.
fn is_in(path: &str, named: &str) -> bool {
    path == named.trim_end_matches('/') || named.ends_with('/') && path.starts_with(named)
}
