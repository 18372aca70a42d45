//! Figures that a page shows from elsewhere: what stands between `<!-- quote FILE: PATTERN -->` and
//! `<!-- end of quote -->` is copied from that file, so that each figure stands at one place.

use regex::Regex;

use crate::{pages, root};

const BEGIN: &str = "<!-- quote ";
const END: &str = "<!-- end of quote -->";

#[test]
fn the_quotes_are_what_their_sources_say() {
    let write = std::env::var_os("STATEWISE_WRITE_QUOTES").is_some();
    let mut seen = 0;
    let mut stale = Vec::new();
    for page in pages() {
        let (fresh, quotes) = renewed(&page.text, &page.path);
        seen += quotes;
        if fresh == page.text {
            continue;
        }
        if write {
            std::fs::write(root().join(&page.path), &fresh).unwrap();
        } else {
            stale.push(page.path);
        }
    }
    assert!(seen > 10, "only {seen} quotes were found");
    assert!(
        stale.is_empty(),
        "{stale:?} quote what has changed: run `make quotes`, and read whether the text still holds"
    );
}

/// The page with every quote as its source has it now, and how many there are.
fn renewed(text: &str, page: &str) -> (String, usize) {
    let mut fresh = String::new();
    let (mut rest, mut quotes) = (text, 0);
    while let Some(begin) = rest.find(BEGIN) {
        let (before, quote) = rest.split_at(begin);
        let (mark, after) = quote.split_once(" -->\n").expect("a mark has an end");
        let (_, after) = after.split_once(END).expect("a quote has an end");
        let (file, pattern) = mark[BEGIN.len()..]
            .split_once(": ")
            .expect("a mark has a file and a pattern");
        let quoted = quoted(file, pattern);
        assert!(
            !quoted.is_empty(),
            "{page}: {pattern:?} finds nothing in {file}"
        );
        fresh.push_str(&format!("{before}{mark} -->\n{quoted}{END}"));
        (rest, quotes) = (after, quotes + 1);
    }
    fresh.push_str(rest);
    (fresh, quotes)
}

/// The lines of a file below `docs` that match; of a page, rows with the heads of their tables.
fn quoted(file: &str, pattern: &str) -> String {
    let pattern = Regex::new(pattern).unwrap();
    let source = std::fs::read_to_string(root().join("docs").join(file)).unwrap();
    if !file.ends_with(".md") {
        let lines: Vec<&str> = source
            .lines()
            .filter(|line| pattern.is_match(line))
            .collect();
        return match lines.is_empty() {
            true => String::new(),
            false => format!("```text\n{}\n```\n", lines.join("\n")),
        };
    }
    let mut quoted = String::new();
    let lines: Vec<&str> = source.lines().collect();
    let mut head = None;
    for (number, line) in lines.iter().enumerate() {
        if lines
            .get(number + 1)
            .is_some_and(|next| next.starts_with("| --- |"))
        {
            head = Some(format!("{line}\n{}\n", lines[number + 1]));
        } else if line.starts_with('|') && !line.starts_with("| --- |") && pattern.is_match(line) {
            if let Some(head) = head.take() {
                // Two tables are apart.
                quoted.push_str(if quoted.is_empty() { "" } else { "\n" });
                quoted.push_str(&head);
            }
            quoted.push_str(line);
            quoted.push('\n');
        }
    }
    quoted
}
