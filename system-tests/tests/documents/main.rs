//! What the pages of the documentation promise: links that lead somewhere, commands that exist, settings as
//! the programs name them, and a README that one can finish.

#![expect(clippy::unwrap_used, reason = "a step that fails fails its test")]

mod commands;
mod links;
mod quotes;
mod settings;

use std::path::{Path, PathBuf};

/// What a newcomer reads on two screens.
const README_BYTES: usize = 12_000;

/// A page of the documentation.
struct Page {
    /// Below the root of the workspace.
    path: String,
    text: String,
}

/// A block of a page between fences.
struct Block<'a> {
    /// What stands behind the first fence, such as `console`.
    kind: &'a str,
    text: String,
}

impl Page {
    fn read(path: &str) -> Self {
        let text = std::fs::read_to_string(root().join(path)).unwrap();
        Self {
            path: path.to_owned(),
            text,
        }
    }

    /// The lines outside of blocks.
    fn prose(&self) -> Vec<&str> {
        let mut inside = false;
        let mut lines = Vec::new();
        for line in self.text.lines() {
            if line.starts_with("```") {
                inside = !inside;
            } else if !inside {
                lines.push(line);
            }
        }
        lines
    }

    fn blocks(&self) -> Vec<Block<'_>> {
        let mut blocks = Vec::new();
        let mut open: Option<Block> = None;
        for line in self.text.lines() {
            match (line.strip_prefix("```"), &mut open) {
                (Some(_), Some(_)) => blocks.extend(open.take()),
                (Some(kind), None) => {
                    let text = String::new();
                    open = Some(Block { kind, text });
                }
                (None, Some(block)) => {
                    block.text.push_str(line);
                    block.text.push('\n');
                }
                (None, None) => {}
            }
        }
        blocks
    }
}

fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent()
        .expect("the crate lies in the workspace")
        .to_owned()
}

/// Every page at the root and below `docs`, but for the versions that are out.
fn pages() -> Vec<Page> {
    let root = root();
    let mut paths = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && (path.starts_with(root.join("docs"))) {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "md") {
                paths.push(path.strip_prefix(&root).unwrap().display().to_string());
            }
        }
    }
    paths.retain(|path| path != "CHANGELOG.md");
    assert!(paths.len() > 40, "only {} pages were found", paths.len());
    paths.iter().map(|path| Page::read(path)).collect()
}

#[test]
fn the_readme_is_short() {
    let bytes = Page::read("README.md").text.len();
    assert!(
        bytes <= README_BYTES,
        "README.md has {bytes} bytes, and {README_BYTES} at most: move what is not for a newcomer to a page below docs/"
    );
}
