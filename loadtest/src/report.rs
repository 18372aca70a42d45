//! What was found, for a reader: a text for the terminal and one self-contained HTML file.
//!
//! Both are made from [`Results`] alone, so that `loadtest report results.json` can make them again
//! at any time. Each section is one file with a `SECTION` in it, and a line in [`SECTIONS`].

mod axes;
mod capacity;
mod charts;
mod compared;
mod conditions;
mod cost;
mod distance;
mod drift;
mod environment;
mod faults;
mod findings;
mod freshness;
mod generator;
mod guide;
pub mod junit;
mod latency;
mod load;
mod memory;
mod model;
pub(crate) mod numbers;
mod page;
mod race;
mod scale;
mod size;
mod svg;
mod text;
mod thresholds;
mod verdict;

use std::path::{Path, PathBuf};

use maud::Markup;

use crate::{
    model::{Asked, Model},
    results::{Coupling, Freshness, Results, ResultsError, write_whole},
};

/// One part of the report. What it has nothing to say of, it leaves empty.
struct Section {
    /// Its heading on the page.
    title: &'static str,
    /// What a reader should know first, in sentences.
    findings: fn(&Results) -> Vec<String>,
    /// Lines for a terminal, at most 100 columns wide.
    text: fn(&Results) -> String,
    /// Its body on the page.
    html: fn(&Results) -> Markup,
}

/// Every section, in the order in which it is read.
const SECTIONS: &[Section] = &[
    verdict::SECTION,
    thresholds::SECTION,
    findings::SECTION,
    compared::SECTION,
    load::SECTION,
    cost::SECTION,
    latency::SECTION,
    axes::SECTION,
    capacity::SECTION,
    distance::SECTION,
    scale::SECTION,
    model::SECTION,
    size::SECTION,
    freshness::SECTION,
    race::SECTION,
    faults::SECTION,
    memory::SECTION,
    drift::SECTION,
    generator::SECTION,
    guide::SECTION,
    environment::SECTION,
];

/// What was found, one sentence a finding. What the run cannot tell, it says so.
#[must_use]
pub fn findings(results: &Results) -> Vec<String> {
    let of = |section: &Section| (section.findings)(results);
    SECTIONS.iter().flat_map(of).collect()
}

/// The text for a terminal, at most 100 columns wide. Its last line is the verdict.
#[must_use]
pub fn terminal(results: &Results) -> String {
    let sections = SECTIONS.iter().map(|section| (section.text)(results));
    let parts: Vec<String> = std::iter::once(text::heading(results))
        .chain(sections)
        .chain([verdict::line(results)])
        .filter(|part| !part.is_empty())
        .collect();
    format!("\n{}", parts.join("\n"))
}

/// The table of revocation lags for a terminal, at most 100 columns wide.
#[must_use]
pub fn freshness(freshness: &Freshness) -> String {
    freshness::table(freshness)
}

/// The matrix of faults for a terminal, at most 100 columns wide.
#[must_use]
pub fn faults(coupling: &Coupling) -> String {
    faults::terminal(coupling)
}

/// What a capacity model says of each thing that is asked, for a terminal, at most 100 columns wide.
#[must_use]
pub fn capacity(model: &Model, asked: &[Asked]) -> String {
    model::terminal(model, asked)
}

/// The page of one run, or of several: styles, plots and the script of the capacity model are inside, and
/// nothing is loaded.
#[must_use]
pub fn html(runs: &[&Results]) -> String {
    page::render(runs).into_string()
}

/// Writes `results.json`, `report.html` and `junit.xml` into `folder`, which is made if needed, and
/// returns the paths of the first two.
///
/// # Errors
///
/// The folder or a file cannot be written.
pub fn write(results: &Results, folder: &Path) -> Result<(PathBuf, PathBuf), ResultsError> {
    make(folder)?;
    let json = folder.join("results.json");
    results.write(&json)?;
    let list = folder.join("junit.xml");
    write_whole(&list, &junit::render(results)).map_err(refused(&list))?;
    Ok((json, write_page(&[results], folder)?))
}

/// Writes `report.html`, of one run or several, into `folder`, which is made if needed, and returns its path.
///
/// # Errors
///
/// The folder or the file cannot be written.
pub fn write_page(runs: &[&Results], folder: &Path) -> Result<PathBuf, ResultsError> {
    make(folder)?;
    let page = folder.join("report.html");
    write_whole(&page, &html(runs)).map_err(refused(&page))?;
    Ok(page)
}

/// Makes `folder` if needed, and tries whether files can be made in it: minutes of measuring are not to
/// be lost at their end.
///
/// # Errors
///
/// The folder cannot be made or written into.
pub fn prepare(folder: &Path) -> Result<(), ResultsError> {
    make(folder)?;
    // It is removed at once.
    tempfile::tempfile_in(folder)
        .map(drop)
        .map_err(refused(folder))
}

fn make(folder: &Path) -> Result<(), ResultsError> {
    std::fs::create_dir_all(folder).map_err(refused(folder))
}

fn refused(path: &Path) -> impl FnOnce(std::io::Error) -> ResultsError {
    let path = path.display().to_string();
    move |source| ResultsError::File { path, source }
}
