//! No import circles: within each crate, modules know each other in one direction only.
//!
//! The counting rule:
//!
//! - A **node** is a module of `src/`, a file or inline. Test code (`#[cfg(test)]`) is left out.
//! - An **edge** is any path in code from the module that it stands in to the module that defines
//!   what it names: `use`, a path in the middle of code, in the arguments of a macro, or in an
//!   attribute. Re-exports and globs are followed to the definition. Paths in comments do not count,
//!   nor do methods, which have no path.
//! - Edges between a module and its own ancestor or descendant are left out: a parent wires its
//!   children, and children use what their parent defines.
//! - For every module, its children, each with all that is below it, must form **no circle**.
//!
//! One crate alone: `cargo test -p system-tests --test layers gateway -- --nocapture`.

#![expect(clippy::unwrap_used, reason = "a step that fails fails its test")]

mod circles;
mod made_up;
mod modules;

use std::path::{Path, PathBuf};

use self::{circles::circles, modules::Tree};

macro_rules! no_circle_in {
    ($($name:ident: $folder:literal,)*) => {
        const CRATES: &[&str] = &[$($folder),*];

        mod no_circle_in {
            $(
                #[test]
                fn $name() {
                    super::look_at($folder);
                }
            )*
        }
    };
}

no_circle_in! {
    api_service: "api-service",
    auth_service: "auth-service",
    gateway: "gateway",
    loadtest: "loadtest",
    shared: "shared",
    system_tests: "system-tests",
    testkit: "testkit",
}

#[test]
fn every_crate_is_looked_at() {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(root()).unwrap() {
        let path = entry.unwrap().path();
        if path.join("src/lib.rs").is_file() {
            found.push(path.file_name().unwrap().to_string_lossy().into_owned());
        }
    }
    found.sort();
    assert_eq!(found, CRATES);
}

fn look_at(folder: &str) {
    let tree = Tree::read(&root(), &format!("{folder}/src/lib.rs"));
    let found = circles(&tree);
    let text: String = found.iter().map(|circle| format!("\n{circle}")).collect();
    assert!(
        found.is_empty(),
        "{folder}: modules import in circles\n{text}"
    );
}

/// Cargo runs tests in the folder of their crate.
fn root() -> PathBuf {
    let here = std::env::current_dir().unwrap();
    here.parent().map(Path::to_owned).unwrap()
}
