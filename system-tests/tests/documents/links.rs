//! Links between pages.

use std::{collections::BTreeMap, path::Path};

use regex::Regex;

use crate::{Page, pages, root};

#[test]
fn every_link_between_pages_leads_to_something_that_is_there() {
    let pages = pages();
    let anchors: BTreeMap<&str, Vec<String>> = pages
        .iter()
        .map(|page| (page.path.as_str(), anchors(page)))
        .collect();
    let target = Regex::new(r"\]\(([^)\s]+)\)").unwrap();
    let mut seen = 0;
    let mut dead = Vec::new();
    for page in &pages {
        let prose = page.prose().join("\n");
        for link in target.captures_iter(&prose) {
            let link = &link[1];
            if link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            seen += 1;
            if let Err(fault) = follow(page, link, &anchors) {
                dead.push(format!("{}: {link}: {fault}", page.path));
            }
        }
    }
    assert!(seen > 120, "only {seen} links were found");
    assert!(dead.is_empty(), "dead links:\n{}", dead.join("\n"));
}

fn follow(
    page: &Page,
    link: &str,
    anchors: &BTreeMap<&str, Vec<String>>,
) -> Result<(), &'static str> {
    let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
    let path = match path {
        "" => page.path.clone(),
        path => resolve(&page.path, path).ok_or("leaves the project")?,
    };
    if !root().join(&path).exists() {
        return Err("no such file");
    }
    if anchor.is_empty() {
        return Ok(());
    }
    let there = anchors.get(path.as_str()).ok_or("is no page of ours")?;
    match there.iter().any(|one| one == anchor) {
        true => Ok(()),
        false => Err("no such heading"),
    }
}

/// The path below the root that a page means by one relative to itself.
fn resolve(page: &str, link: &str) -> Option<String> {
    let folder = Path::new(page).parent()?;
    let mut parts: Vec<&str> = folder.iter().filter_map(|part| part.to_str()).collect();
    for part in link.split('/') {
        match part {
            "." | "" => {}
            ".." => {
                parts.pop()?;
            }
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

/// The anchors of a page's headings, as forges make them.
fn anchors(page: &Page) -> Vec<String> {
    let mut anchors: Vec<String> = Vec::new();
    for line in page.prose() {
        let text = line.trim_start_matches('#');
        if text.len() == line.len() || !text.starts_with(' ') {
            continue;
        }
        let slug: String = text
            .trim()
            .to_lowercase()
            .chars()
            .filter(|one| one.is_alphanumeric() || matches!(one, ' ' | '-' | '_'))
            .map(|one| if one == ' ' { '-' } else { one })
            .collect();
        let again = anchors
            .iter()
            .filter(|one| {
                one.strip_prefix(&slug).is_some_and(|rest| {
                    rest.is_empty()
                        || rest
                            .strip_prefix('-')
                            .is_some_and(|n| n.parse::<u32>().is_ok())
                })
            })
            .count();
        anchors.push(match again {
            0 => slug,
            again => format!("{slug}-{again}"),
        });
    }
    anchors
}
