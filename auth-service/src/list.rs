//! Lists as a variable has them.

/// The entries of a list that are separated by commas; empty ones do not count.
pub(crate) fn entries(list: &str) -> impl Iterator<Item = &str> {
    list.split(',')
        .map(str::trim)
        .filter(|entry| !entry.is_empty())
}
