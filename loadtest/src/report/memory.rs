//! Resident memory of each process.

use maud::{Markup, html};

use super::{Section, numbers, text};
use crate::results::{ProcessMemory, Results};

pub(super) const SECTION: Section = Section {
    title: "Memory",
    findings: |_| Vec::new(),
    text: rendered_text,
    html: rendered_html,
};

const HEAD: [&str; 3] = ["Memory (resident)", "idle", "highest rate"];

fn row(process: &ProcessMemory) -> Vec<String> {
    let highest = process.highest_rate_bytes;
    vec![
        process.process.clone(),
        numbers::mebibytes(process.idle_bytes),
        highest.map_or_else(|| "–".to_owned(), numbers::mebibytes),
    ]
}

fn rendered_text(results: &Results) -> String {
    if results.memory.is_empty() {
        return String::new();
    }
    let rows: Vec<_> = results.memory.iter().map(row).collect();
    text::table(&HEAD.map(str::to_owned), &rows)
}

fn rendered_html(results: &Results) -> Markup {
    html! {
        @if !results.memory.is_empty() {
            div.wide { table {
                thead { tr { @for head in HEAD { th { (head) } } } }
                tbody { @for process in &results.memory {
                    tr { @for (place, cell) in row(process).iter().enumerate() {
                        @if place == 0 { th { (cell) } } @else { td { (cell) } }
                    } }
                } }
            } }
        }
    }
}
