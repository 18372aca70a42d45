//! The settings in `docs/configuration.md`.

use std::{collections::BTreeSet, fmt::Write};

use system_tests::{command, ends};

use crate::root;

const PAGE: &str = "docs/configuration.md";

/// An option of a program that a variable sets.
struct Setting {
    variable: String,
    default: String,
    meaning: String,
}

#[test]
fn the_settings_are_those_that_the_programs_name() {
    let mut page = std::fs::read_to_string(root().join(PAGE)).unwrap();
    let mut telemetry = BTreeSet::new();
    for program in ["auth-service", "api-service", "gateway"] {
        let output = ends(command(program).arg("--help"));
        let help = String::from_utf8(output.stdout).unwrap();
        let (own, shared) = help
            .split_once("\nTelemetry:\n")
            .expect("every service has telemetry");
        page = put(&page, program, &table(&settings(own)));
        telemetry.insert(table(&settings(shared)));
    }
    assert_eq!(
        telemetry.len(),
        1,
        "the services name their telemetry differently"
    );
    let page = put(&page, "telemetry", telemetry.first().unwrap());
    if std::env::var_os("STATEWISE_WRITE_CONFIGURATION").is_some() {
        std::fs::write(root().join(PAGE), &page).unwrap();
    }
    let found = std::fs::read_to_string(root().join(PAGE)).unwrap();
    assert!(found == page, "{PAGE} differs: run `make configuration`");
}

/// The page with this between the marks of that name.
fn put(page: &str, mark: &str, text: &str) -> String {
    let (begin, end) = (
        format!("<!-- {mark} -->\n"),
        format!("<!-- end of {mark} -->"),
    );
    let (before, rest) = page.split_once(&begin).expect(mark);
    let (_, after) = rest.split_once(&end).expect(mark);
    format!("{before}{begin}{text}{end}{after}")
}

/// What `--help` lists, in its order.
fn settings(help: &str) -> Vec<Setting> {
    let mut entries: Vec<Vec<&str>> = Vec::new();
    for line in help.lines() {
        if line.starts_with("      --") {
            entries.push(Vec::new());
        } else if line.starts_with("          ") {
            if let Some(entry) = entries.last_mut() {
                entry.push(line.trim());
            }
        } else if !line.is_empty() {
            // `-h, --help`, an argument or the head of a group: what follows belongs to no variable.
            entries.push(Vec::new());
        }
    }
    entries.iter().filter_map(|entry| setting(entry)).collect()
}

fn setting(lines: &[&str]) -> Option<Setting> {
    let text = lines
        .iter()
        .filter(|line| !line.is_empty())
        .copied()
        .collect::<Vec<_>>()
        .join("<br>");
    let (meaning, rest) = text.split_once("[env: ")?;
    let variable = rest.split(['=', ']']).next()?.to_owned();
    let default = rest
        .split_once("[default: ")
        .map_or("", |(_, default)| default.trim_end_matches(']'));
    Some(Setting {
        variable,
        default: default.trim_matches('"').to_owned(),
        meaning: meaning.trim().trim_end_matches("<br>").to_owned(),
    })
}

fn table(settings: &[Setting]) -> String {
    let mut table = String::from("| variable | default | meaning |\n| --- | --- | --- |\n");
    for setting in settings {
        let default = match setting.default.as_str() {
            "" => String::new(),
            default => format!("`{}`", cell(default)),
        };
        writeln!(
            table,
            "| `{}` | {default} | {} |",
            setting.variable,
            cell(&setting.meaning)
        )
        .unwrap();
    }
    table
}

/// As it can stand in a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
