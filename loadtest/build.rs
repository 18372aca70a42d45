//! Tells the program from which commit it was built.

use std::{path::Path, process::Command};

/// What neither a program nor a test is made from: written anew by every published run.
const NOT_BUILT: [&str; 2] = [":(exclude,top)docs", ":(exclude,top,glob)**/*.md"];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!(
        "cargo::rustc-env=STATEWISE_COMMIT={}",
        commit().as_deref().unwrap_or("unknown")
    );
}

/// The commit, with `-dirty` when a file that is built differs from it. `None` outside of a
/// repository of this project: a copy of the sources may lie in somebody else's.
fn commit() -> Option<String> {
    let top = git(&["rev-parse", "--show-toplevel"])?;
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent()?;
    if Path::new(&top).canonicalize().ok()? != workspace.canonicalize().ok()? {
        return None;
    }
    // A commit or a checkout changes this one, an edit one of the rest. Not the index: `git status`
    // writes it, and a file that is only staged was edited before.
    let log = git(&["rev-parse", "--git-path", "logs/HEAD"])?;
    println!("cargo::rerun-if-changed={log}");
    let mut built = vec!["ls-files", "--full-name", ":(top)"];
    built.extend(NOT_BUILT);
    for file in git(&built)?.lines() {
        println!("cargo::rerun-if-changed={top}/{file}");
    }
    let commit = git(&["rev-parse", "--short=12", "HEAD"])?;
    let mut status = vec![
        "status",
        "--porcelain",
        "--untracked-files=no",
        "--",
        ":(top)",
    ];
    status.extend(NOT_BUILT);
    let changed = git(&status)?;
    Some(if changed.is_empty() {
        commit
    } else {
        commit + "-dirty"
    })
}

fn git(arguments: &[&str]) -> Option<String> {
    // The question must not take the lock of a commit that is being made.
    let output = Command::new("git")
        .env("GIT_OPTIONAL_LOCKS", "0")
        .args(arguments)
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
