//! What was found, for a reader: a table for the terminal and one self-contained HTML file.
//!
//! Both are made from [`Results`] alone, so that `loadtest report results.json` can make them again
//! at any time.

mod charts;
mod compared;
mod faults;
mod faults_v2;
mod findings;
mod freshness;
mod html;
mod numbers;
mod svg;
mod terminal;

use std::path::{Path, PathBuf};

use crate::results::{
    Coupling, Freshness,
    v2::{Results, ResultsError},
    write_whole,
};

pub use findings::findings;

/// The table for a terminal, at most 100 columns wide.
#[must_use]
pub fn terminal(results: &Results) -> String {
    terminal::render(results)
}

/// The table of revocation lags for a terminal, at most 100 columns wide.
#[must_use]
pub fn freshness(freshness: &Freshness) -> String {
    freshness::terminal(freshness)
}

/// The matrix of faults for a terminal, at most 100 columns wide for six strategies.
#[must_use]
pub fn faults(coupling: &Coupling) -> String {
    faults::terminal(coupling)
}

/// The section of the page on faults.
#[must_use]
pub fn faults_section(coupling: &Coupling) -> maud::Markup {
    faults::section(coupling)
}

/// The page: styles and plots are inside, nothing is loaded, no script runs.
#[must_use]
pub fn html(results: &Results) -> String {
    html::render(results)
}

/// Writes `results.json` and `report.html` into `folder`, which is made if needed, and returns
/// their paths.
///
/// # Errors
///
/// The folder or a file cannot be written.
pub fn write(results: &Results, folder: &Path) -> Result<(PathBuf, PathBuf), ResultsError> {
    make(folder)?;
    let json = folder.join("results.json");
    results.write(&json)?;
    Ok((json, write_page(results, folder)?))
}

/// Writes `report.html` into `folder`, which is made if needed, and returns its path.
///
/// # Errors
///
/// The folder or the file cannot be written.
pub fn write_page(results: &Results, folder: &Path) -> Result<PathBuf, ResultsError> {
    make(folder)?;
    let page = folder.join("report.html");
    write_whole(&page, &html(results)).map_err(refused(&page))?;
    Ok(page)
}

fn make(folder: &Path) -> Result<(), ResultsError> {
    std::fs::create_dir_all(folder).map_err(refused(folder))
}

fn refused(path: &Path) -> impl FnOnce(std::io::Error) -> ResultsError {
    let path = path.display().to_string();
    move |source| ResultsError::File { path, source }
}
