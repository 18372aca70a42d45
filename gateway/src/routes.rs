//! Prefix to pool: the longest prefix that ends on a segment boundary wins.

use std::fmt;

/// One line of `GATEWAY_ROUTES`, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Begins with a slash and does not end with one, except for the prefix `/`.
    pub prefix: String,
    /// Name of the pool.
    pub pool: String,
    /// What takes the prefix's place; empty to strip it.
    pub replacement: String,
}

/// Why a path is not forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unroutable {
    /// No prefix fits.
    NoRoute,
    /// The upstream could read the path as one outside of the prefix.
    Ambiguous,
}

/// All routes, longest prefix first.
#[derive(Clone, Debug)]
pub(crate) struct RouteTable(Vec<Route>);

impl Route {
    /// Parses `PREFIX=POOL[/PATH]`.
    ///
    /// # Errors
    ///
    /// Says what is wrong with the text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (prefix, target) = text
            .split_once('=')
            .ok_or_else(|| format!("{text:?} is not PREFIX=POOL or PREFIX=POOL/PATH"))?;
        let (prefix, target) = (prefix.trim(), target.trim());
        check_path(prefix)?;
        let (pool, replacement) = match target.find('/') {
            None => (target, ""),
            Some(at) => target.split_at(at),
        };
        if pool.is_empty() {
            return Err(format!("{text:?} names no pool"));
        }
        if !replacement.is_empty() {
            check_path(replacement)?;
        }
        Ok(Self {
            prefix: prefix.to_owned(),
            pool: pool.to_owned(),
            replacement: if replacement == "/" { "" } else { replacement }.to_owned(),
        })
    }

    /// What follows the prefix, when `path` is below it: empty or beginning with a slash.
    fn remainder<'a>(&self, path: &'a str) -> Option<&'a str> {
        if self.prefix == "/" {
            return Some(path);
        }
        path.strip_prefix(self.prefix.as_str())
            .filter(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// The path and query that the upstream is asked for; `None` when it is the client's unchanged.
    pub(crate) fn rewrite(&self, path: &str, query: Option<&str>) -> Option<String> {
        if self.prefix == "/" && self.replacement.is_empty() {
            return None;
        }
        let rest = self.remainder(path).unwrap_or(path);
        let query = query.unwrap_or_default();
        let mut target =
            String::with_capacity(self.replacement.len() + rest.len() + query.len() + 2);
        target.push_str(&self.replacement);
        target.push_str(rest);
        if target.is_empty() {
            target.push('/');
        }
        if !query.is_empty() {
            target.push('?');
            target.push_str(query);
        }
        Some(target)
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}{}", self.prefix, self.pool, self.replacement)
    }
}

impl RouteTable {
    pub(crate) fn new(mut routes: Vec<Route>) -> Self {
        routes.sort_by_key(|route| std::cmp::Reverse(route.prefix.len()));
        Self(routes)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Route> {
        self.0.iter()
    }

    /// The path and query that the route's upstream is asked for; `None` when they stay.
    pub(crate) fn rewrite(&self, route: usize, uri: &http::Uri) -> Option<String> {
        self.0[route].rewrite(uri.path(), uri.query())
    }

    /// The index of the route for a path as it came in.
    pub(crate) fn find(&self, path: &str) -> Result<usize, Unroutable> {
        let (index, rest) = self
            .0
            .iter()
            .enumerate()
            .find_map(|(index, route)| Some((index, route.remainder(path)?)))
            .ok_or(Unroutable::NoRoute)?;
        // Below "/" the whole path is the remainder and cannot leave its prefix, but it is held to
        // the same rules: an upstream that decodes it must see the path that was routed by.
        if is_ambiguous(rest) {
            return Err(Unroutable::Ambiguous);
        }
        Ok(index)
    }
}

/// Whether another reader may see other segments in `path` than we do: dot segments, empty first
/// segments, and slashes, backslashes or NUL behind percent-encoding (RFC 3986 §6.2.2.3).
fn is_ambiguous(path: &str) -> bool {
    let bytes = path.as_bytes();
    // Most paths have none of these bytes after a slash; only the others are looked at closely.
    if !bytes.contains(&b'%') && !bytes.contains(&b'\\') && !path.contains("/.") {
        return path.starts_with("//");
    }
    path.starts_with("//")
        || path.contains('\\')
        || has_encoded(bytes, b"2f")
        || has_encoded(bytes, b"5c")
        || has_encoded(bytes, b"00")
        || path.split('/').any(is_dot_segment)
}

fn has_encoded(bytes: &[u8], digits: &[u8; 2]) -> bool {
    bytes
        .windows(3)
        .any(|window| window[0] == b'%' && window[1..].eq_ignore_ascii_case(digits))
}

/// `.` and `..`, each dot plain or as `%2e`; parameters after a semicolon are cut off by some servers.
fn is_dot_segment(segment: &str) -> bool {
    let name = segment.split(';').next().unwrap_or_default();
    if name.len() > 6 {
        return false;
    }
    let plain = name.to_ascii_lowercase().replace("%2e", ".");
    plain == "." || plain == ".."
}

fn check_path(path: &str) -> Result<(), String> {
    let fault = if !path.starts_with('/') {
        "does not begin with a slash"
    } else if path.len() > 1 && path.ends_with('/') {
        "ends with a slash"
    } else if path.contains("//") || path.split('/').any(is_dot_segment) {
        "has an empty or dot segment"
    } else if !path
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte))
    {
        "has a character other than letters, digits and /-._~"
    } else {
        return Ok(());
    };
    Err(format!("the path {path:?} {fault}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn table(lines: &[&str]) -> RouteTable {
        RouteTable::new(
            lines
                .iter()
                .map(|line| Route::parse(line).unwrap())
                .collect(),
        )
    }

    #[track_caller]
    fn goes_to(table: &RouteTable, path: &str, query: Option<&str>, pool: &str, target: &str) {
        let route = &table.0[table.find(path).unwrap()];
        assert_eq!(route.pool, pool);
        let rewritten = route.rewrite(path, query);
        let unchanged = match query {
            None => path.to_owned(),
            Some(query) => format!("{path}?{query}"),
        };
        assert_eq!(rewritten.unwrap_or(unchanged), target);
    }

    #[test]
    fn the_longest_prefix_on_a_segment_boundary_wins() {
        let table = table(&["/a=one", "/a/b=two", "/ab=three/base/v1"]);
        goes_to(&table, "/a", None, "one", "/");
        goes_to(&table, "/a/", None, "one", "/");
        goes_to(&table, "/a/bc", None, "one", "/bc");
        goes_to(&table, "/a/b", Some("x=/a"), "two", "/?x=/a");
        goes_to(&table, "/a/b/c/", Some(""), "two", "/c/");
        goes_to(&table, "/ab/c", Some("q"), "three", "/base/v1/c?q");
        goes_to(&table, "/ab", None, "three", "/base/v1");
        assert_eq!(table.find("/abc"), Err(Unroutable::NoRoute));
        assert_eq!(table.find("/"), Err(Unroutable::NoRoute));
        assert_eq!(table.find("*"), Err(Unroutable::NoRoute));
    }

    #[test]
    fn the_root_prefix_takes_what_is_left_and_keeps_the_path() {
        let table = table(&["/=all", "/x=x"]);
        goes_to(&table, "/y/z", Some("q=1"), "all", "/y/z?q=1");
        goes_to(&table, "/x/z", None, "x", "/z");
    }

    #[test]
    fn a_path_that_another_reader_may_resolve_elsewhere_is_refused() {
        let table = table(&["/a=one"]);
        for path in [
            "/a/../b",
            "/a/.",
            "/a/..",
            "/a/%2e%2E/b",
            "/a/.%2e/b",
            "/a/..;x/b",
            "/a/%2f..",
            "/a/b%5cc",
            "/a/b\\c",
            "/a//evil",
            "/a/%00",
        ] {
            assert_eq!(table.find(path), Err(Unroutable::Ambiguous), "{path}");
        }
        for path in ["/a/.well-known/x", "/a/...", "/a/b..c", "/a/%41", "/a/b//c"] {
            assert_eq!(table.find(path), Ok(0), "{path}");
        }
    }

    #[test]
    fn wrong_lines_are_refused() {
        for line in [
            "a=p",
            "/a",
            "/a/=p",
            "/a//b=p",
            "/a/../b=p",
            "/a?=p",
            "/a=",
            "/a=/x",
            "/a=p/x/",
        ] {
            assert!(Route::parse(line).is_err(), "{line}");
        }
    }

    proptest! {
        #[test]
        fn what_is_forwarded_stays_below_the_replacement(rest in "(/[a-z.%2eEfF;]{0,8}){0,4}") {
            let table = table(&["/a=one/base"]);
            let path = format!("/a{rest}");
            if let Ok(index) = table.find(&path) {
                let target = table.0[index].rewrite(&path, None).unwrap();
                prop_assert!(target == "/base" || target.starts_with("/base/"));
                // Decode as often as anybody could, then resolve: it must not climb.
                let decoded = target.to_ascii_lowercase().replace("%2e", ".").replace("%2f", "/");
                let mut depth = 0_i32;
                for segment in decoded.split('/').skip(1) {
                    depth += match segment { ".." => -1, "." | "" => 0, _ => 1 };
                    prop_assert!(depth >= 1, "{} climbs", target);
                }
            }
        }
    }
}
