//! The commands that pages show.

use std::{collections::BTreeSet, path::Path, process::Command};

use clap::{CommandFactory, Parser};
use loadtest::cli::Cli;
use regex::Regex;
use system_tests::Cluster;

use crate::{Block, Page, pages, root};

/// Pages whose commands ask a system that runs, in the order in which they are asked.
const ASKING: [&str; 2] = ["README.md", "docs/api.md"];

/// Where these pages say that the gateway is.
const GATEWAY: &str = "http://127.0.0.1:8080";

/// The commands of a block: lines that begin with `$`, with those that continue them.
fn commands(block: &Block) -> Vec<String> {
    let mut commands: Vec<String> = Vec::new();
    for line in block.text.lines() {
        let continues = commands.last().is_some_and(|last| last.ends_with('\\'));
        match (line.strip_prefix("$ "), commands.last_mut()) {
            (Some(command), _) => commands.push(command.to_owned()),
            (None, Some(last)) if continues => {
                last.push('\n');
                last.push_str(line);
            }
            _ => {}
        }
    }
    commands
}

/// Every command of every page, next to the page.
fn all() -> Vec<(String, String)> {
    let of = |page: &Page| -> Vec<(String, String)> {
        let blocks = page.blocks();
        let shown = blocks.iter().filter(|block| block.kind == "console");
        let found = shown.flat_map(commands);
        found.map(|one| (page.path.clone(), one)).collect()
    };
    pages().iter().flat_map(of).collect()
}

#[test]
fn every_target_and_script_that_a_page_names_is_there() {
    let makefile = std::fs::read_to_string(root().join("Makefile")).unwrap();
    let targets: BTreeSet<&str> = makefile
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, _)| name)
        .collect();
    let make = Regex::new(r"(?:^\$ |`|&& )make ([a-z-]+)").unwrap();
    let script = Regex::new(r"\bscripts/[a-z-]+\.(?:sh|py)").unwrap();
    let mut missing = Vec::new();
    let mut seen = 0;
    for page in pages() {
        for line in page.text.lines() {
            for name in make.captures_iter(line) {
                seen += 1;
                if !targets.contains(&name[1]) {
                    missing.push(format!("{}: make {}", page.path, &name[1]));
                }
            }
            for name in script.find_iter(line) {
                seen += 1;
                if !root().join(name.as_str()).is_file() {
                    missing.push(format!("{}: {}", page.path, name.as_str()));
                }
            }
        }
    }
    assert!(seen > 40, "only {seen} were found");
    assert!(missing.is_empty(), "not there:\n{}", missing.join("\n"));
}

#[test]
fn the_load_test_takes_every_command_line_that_a_page_shows() {
    let mut refused = Vec::new();
    let mut seen = 0;
    for (page, shown) in all() {
        if !shown.starts_with("loadtest ") {
            continue;
        }
        seen += 1;
        let mut words = words(&shown);
        words.insert(0, "loadtest".to_owned());
        if let Err(error) = Cli::try_parse_from(&words) {
            refused.push(format!("{page}: {shown}\n{error}"));
        }
    }
    assert!(seen > 15, "only {seen} command lines were found");
    assert!(refused.is_empty(), "refused:\n{}", refused.join("\n"));
}

/// The arguments behind the program's name, as a shell sees them.
fn words(command: &str) -> Vec<String> {
    // Files that a page names are not there; a moment that it computes is any moment.
    let script =
        format!("at=2030-01-01T00:00:00Z; loadtest() {{ printf '%s\\0' \"$@\"; }}\n{command}");
    let output = Command::new("sh").args(["-c", &script]).output().unwrap();
    assert!(output.status.success(), "{command}: {output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.split_terminator('\0').map(str::to_owned).collect()
}

#[test]
fn the_load_test_has_every_option_that_a_page_names_beside_its_command() {
    let span = Regex::new(r"`loadtest ([a-z-]+)([^`]*)`").unwrap();
    let option = Regex::new(r"--([a-z][a-z-]*)").unwrap();
    let program = Cli::command();
    let mut missing = Vec::new();
    let mut seen = 0;
    for page in pages() {
        let prose = page.prose().join(" ");
        for found in span.captures_iter(&prose) {
            seen += 1;
            let Some(mut command) = program.find_subcommand(&found[1]) else {
                missing.push(format!("{}: loadtest {}", page.path, &found[1]));
                continue;
            };
            if let Some(below) = command.get_subcommands().next() {
                command = below;
            }
            for name in option.captures_iter(&found[2]) {
                let mut there = command.get_arguments();
                if !there.any(|one| one.get_long() == Some(&name[1])) {
                    missing.push(format!("{}: {}", page.path, &found[0]));
                }
            }
        }
    }
    assert!(seen > 40, "only {seen} were found");
    assert!(missing.is_empty(), "not there:\n{}", missing.join("\n"));
}

#[test]
fn the_front_page_of_the_gateway_shows_requests_that_work() {
    let cluster = Cluster::start(1);
    let page = cluster.get("/").send().unwrap().text().unwrap();
    // Its lines for a shell begin where the comments do.
    let (_, shell) = page.split_once("\n# ").expect("the page has steps");
    let script = format!("set -e -o pipefail\n# {shell}");
    let output = Command::new("bash").args(["-c", &script]).output().unwrap();
    let answers = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{script}\n{answers}");
    for wanted in ["\"strategy\":\"jwt\"", "\"strategy\":\"session\""] {
        assert!(answers.contains(wanted), "{wanted} is missing:\n{answers}");
    }
}

#[test]
fn a_running_system_answers_the_requests_that_the_pages_show() {
    let cluster = Cluster::start(1);
    let pages = ASKING.map(Page::read);
    let blocks: Vec<Block> = pages.iter().flat_map(Page::blocks).collect();
    let asking: Vec<String> = blocks
        .iter()
        .filter(|block| block.kind == "console")
        .flat_map(commands)
        .filter(|command| command.contains("curl "))
        .map(|command| {
            let there = command.replace(GATEWAY, &cluster.stack.gateway_url);
            // What is refused ends the script.
            format!(
                "{}\necho\n",
                there.replace("curl ", "curl --fail-with-body ")
            )
        })
        .collect();
    assert!(asking.len() >= 6, "only {} were found", asking.len());
    let script = format!("set -e -o pipefail\n{}", asking.concat());
    let output = Command::new("bash")
        .args(["-c", &script])
        .current_dir(Path::new("/"))
        .output()
        .unwrap();
    let answers = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{script}\n{answers}");
    for wanted in [
        "\"strategy\":\"jwt\"",
        "\"strategy\":\"session\"",
        "\"tea\"",
    ] {
        assert!(answers.contains(wanted), "{wanted} is missing:\n{answers}");
    }
}
