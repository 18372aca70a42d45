//! Prefix to route: the longest prefix that ends on a segment boundary wins.

use crate::operations::is_operational;

/// What a route takes and what its upstreams are asked for instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathRule {
    /// Begins with a slash and does not end with one, except for the prefix `/`.
    pub prefix: String,
    /// What takes the prefix's place; empty to strip it.
    pub replacement: String,
}

/// A checked route.
#[derive(Clone, Debug)]
pub struct RouteSettings {
    /// The paths that it takes.
    pub rule: PathRule,
    /// Index of its pool in the configuration's pools.
    pub pool: usize,
    /// Session ids are exchanged for tokens before a request is passed on.
    pub exchanges: bool,
}

/// Why a path is not forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unroutable {
    /// No prefix fits, or the path is for operators of the service behind it.
    NoRoute,
    /// The upstream could read the path as one outside of the prefix.
    Ambiguous,
}

/// All routes, longest prefix first.
#[derive(Clone, Debug)]
pub(crate) struct RouteTable<T>(Vec<(PathRule, T)>);

impl PathRule {
    /// Parses `PREFIX=POOL[/PATH]`; returns the name of the pool next to the rule.
    ///
    /// # Errors
    ///
    /// Says what is wrong with the text.
    pub fn parse(text: &str) -> Result<(Self, String), String> {
        let (prefix, target) = text
            .split_once('=')
            .ok_or_else(|| format!("{text:?} is not PREFIX=POOL or PREFIX=POOL/PATH"))?;
        let (prefix, target) = (prefix.trim(), target.trim());
        check_path(prefix)?;
        let (pool, replacement) = target.split_at(target.find('/').unwrap_or(target.len()));
        if pool.is_empty() {
            return Err(format!("{text:?} names no pool"));
        }
        if !replacement.is_empty() {
            check_path(replacement)?;
        }
        if is_operational(replacement, false) {
            return Err(format!("{text:?} would publish a path for operators"));
        }
        let rule = Self {
            prefix: prefix.to_owned(),
            replacement: if replacement == "/" { "" } else { replacement }.to_owned(),
        };
        Ok((rule, pool.to_owned()))
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

impl<T> RouteTable<T> {
    /// A table of these routes.
    pub(crate) fn new(routes: impl IntoIterator<Item = (PathRule, T)>) -> Self {
        let mut routes: Vec<_> = routes.into_iter().collect();
        routes.sort_by_key(|(rule, _)| std::cmp::Reverse(rule.prefix.len()));
        Self(routes)
    }

    /// The route for a path as it came in.
    pub(crate) fn find(&self, path: &str) -> Result<&(PathRule, T), Unroutable> {
        let (route, rest) = self
            .0
            .iter()
            .find_map(|route| Some((route, route.0.remainder(path)?)))
            .ok_or(Unroutable::NoRoute)?;
        let plain = is_plain(rest);
        if is_operational(rest, plain) {
            return Err(Unroutable::NoRoute);
        }
        // Below "/" the whole path is the remainder and cannot leave its prefix, but it is held to
        // the same rules: an upstream that decodes it must see the path that was routed by.
        if !plain && is_ambiguous(rest) {
            return Err(Unroutable::Ambiguous);
        }
        Ok(route)
    }
}

/// Whether every reader sees the same segments in `path`: nothing is encoded, no segment is empty or
/// begins with a dot, and none has parameters. So are most paths; the others are looked at closely.
fn is_plain(path: &str) -> bool {
    let mut before = 0;
    path.bytes().all(|byte| {
        let odd =
            matches!(byte, b'%' | b';' | b'\\') || before == b'/' && matches!(byte, b'/' | b'.');
        before = byte;
        !odd
    })
}

/// Whether another reader may see other segments in `path` than we do: dot segments, empty first
/// segments, and slashes, backslashes or NUL behind percent-encoding (RFC 3986 §6.2.2.3).
fn is_ambiguous(path: &str) -> bool {
    let bytes = path.as_bytes();
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

    fn table(lines: &[&str]) -> RouteTable<String> {
        RouteTable::new(lines.iter().map(|line| PathRule::parse(line).unwrap()))
    }

    fn refused(table: &RouteTable<String>, path: &str) -> Unroutable {
        table.find(path).unwrap_err()
    }

    #[track_caller]
    fn goes_to(
        table: &RouteTable<String>,
        path: &str,
        query: Option<&str>,
        pool: &str,
        target: &str,
    ) {
        let (rule, found) = table.find(path).unwrap();
        assert_eq!(found, pool);
        let rewritten = rule.rewrite(path, query);
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
        assert_eq!(refused(&table, "/abc"), Unroutable::NoRoute);
        assert_eq!(refused(&table, "/"), Unroutable::NoRoute);
        assert_eq!(refused(&table, "*"), Unroutable::NoRoute);
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
            assert_eq!(refused(&table, path), Unroutable::Ambiguous, "{path}");
        }
        for path in ["/a/.well-known/x", "/a/...", "/a/b..c", "/a/%41", "/a/b//c"] {
            assert_eq!(table.find(path).unwrap().1, "one", "{path}");
        }
    }

    #[test]
    fn operations_paths_of_the_services_are_not_there() {
        let table = table(&["/a=one", "/=all"]);
        for path in [
            "/a/metrics",
            "/a/READYZ/",
            "/a/%68ealthz",
            "/a//metrics",
            "/metrics",
        ] {
            assert_eq!(refused(&table, path), Unroutable::NoRoute, "{path}");
        }
        for path in ["/a/metrics/x", "/a/x/metrics", "/a/metrics.html"] {
            assert_eq!(table.find(path).unwrap().1, "one", "{path}");
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
            "/a=p/metrics",
        ] {
            assert!(PathRule::parse(line).is_err(), "{line}");
        }
    }

    proptest! {
        #[test]
        fn what_is_forwarded_stays_below_the_replacement(rest in "(/[a-z.%2eEfF;]{0,8}){0,4}") {
            let table = table(&["/a=one/base"]);
            let path = format!("/a{rest}");
            if let Ok((rule, _)) = table.find(&path) {
                let target = rule.rewrite(&path, None).unwrap();
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
