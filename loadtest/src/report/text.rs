//! What the sections have in common on a terminal: the heading, tables and sentences.

use comfy_table::{CellAlignment, ContentArrangement, LineStyle, Table, TableStyle};

use super::{
    conditions::{self, loads},
    numbers,
};
use crate::results::Results;

/// The widest line.
pub(super) const WIDEST: usize = 100;

/// A rule below the head and no other line.
const RULED: TableStyle =
    TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─'));

/// What was compared, how, and where.
pub(super) fn heading(results: &Results) -> String {
    let plan = &results.plan;
    let names = conditions::arms(results)
        .iter()
        .map(|arm| arm.name.clone())
        .collect::<Vec<_>>();
    let place = &results.environment;
    let mut out = wrapped("", &numbers::listed(&names));
    out += &wrapped("", &design(results));
    out += &wrapped(
        "",
        &format!(
            "{} · {} CPUs · {}",
            place.cpu_model, place.cpus, place.system
        ),
    );
    if results.tool.build == "debug" {
        out += "DEBUG BUILD: the figures say nothing about the design.\n";
    }
    if plan.quick {
        out += "The short form of the run.\n";
    }
    out
}

/// Loads, windows and repetitions in a line.
pub(super) fn design(results: &Results) -> String {
    let plan = &results.plan;
    if plan.conditions.is_empty() {
        return format!("{} repetitions · seed {}", plan.blocks, plan.seed);
    }
    let loads = loads(results);
    if plan.blocks == 0 {
        // Nothing was measured in windows.
        return format!("{} · seed {}", plan.replicas_in_words(), plan.seed);
    }
    let rate = match loads.as_slice() {
        [] => "no load".to_owned(),
        [only] => conditions::title(only),
        [first, .., last] => {
            let shares: Vec<String> = loads
                .iter()
                .map(|one| match one.load {
                    Some(load) => conditions::share(load),
                    None => numbers::grouped(one.rate_per_second),
                })
                .collect();
            let rates = format!(
                "{} to {} requests/s",
                numbers::grouped(first.rate_per_second),
                numbers::grouped(last.rate_per_second)
            );
            match first.load {
                Some(_) => format!("{} of the knee ({rates})", numbers::listed(&shares)),
                None => format!("{} requests/s", numbers::listed(&shares)),
            }
        }
    };
    format!(
        "{rate} each · {} blocks of {} s windows{} · {} · seed {}",
        plan.blocks,
        numbers::significant(plan.window_seconds),
        if plan.restarts {
            ", processes restarted between blocks"
        } else {
            ""
        },
        plan.replicas_in_words(),
        plan.seed
    )
}

/// A table: the first column is of names, the others of figures. An empty row parts groups.
pub(super) fn table(head: &[String], rows: &[Vec<String>]) -> String {
    let mut table = Table::new();
    table
        .load_style(RULED)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(u16::try_from(WIDEST).unwrap_or(u16::MAX))
        .set_header(head)
        .add_rows(rows);
    for (place, column) in table.column_iter_mut().enumerate() {
        if place == 0 {
            column.set_padding((0, 1));
        } else {
            column
                .set_padding((1, 0))
                .set_cell_alignment(CellAlignment::Right);
        }
    }
    table.trim_fmt() + "\n"
}

/// A line for each name, its figures in as many tables as it takes to stay within the width.
pub(super) fn tables(head: &[String], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().map(Vec::as_slice).chain([head]);
        let widths = cells.map(|row| row[column].chars().count());
        widths.max().unwrap_or_default() + 2
    };
    let mut parts: Vec<Vec<usize>> = Vec::new();
    let mut used = WIDEST;
    for column in 1..head.len() {
        if used + width(column) > WIDEST {
            parts.push(vec![0]);
            used = width(0);
        }
        used += width(column);
        if let Some(part) = parts.last_mut() {
            part.push(column);
        }
    }
    let cut = |row: &[String], part: &[usize]| -> Vec<String> {
        part.iter().map(|column| row[*column].clone()).collect()
    };
    let tables: Vec<String> = parts
        .iter()
        .map(|part| {
            let rows: Vec<_> = rows.iter().map(|row| cut(row, part)).collect();
            table(&cut(head, part), &rows)
        })
        .collect();
    tables.join("\n")
}

/// A sentence, broken before the last column; what follows its first line is indented as far as
/// its bullet.
pub(super) fn wrapped(bullet: &str, text: &str) -> String {
    let (mut out, mut line) = (String::new(), bullet.to_owned());
    for word in text.split_whitespace() {
        if line.chars().count() + word.chars().count() > WIDEST - 2 {
            out += line.trim_end();
            out.push('\n');
            line = " ".repeat(bullet.chars().count());
        }
        line += word;
        line.push(' ');
    }
    out + line.trim_end() + "\n"
}
