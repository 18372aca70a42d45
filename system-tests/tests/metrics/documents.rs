//! What is written about metrics: the dashboard, the rules, and the page.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use regex::Regex;
use serde_json::Value;

use super::prometheus::deployed;

const BEGIN: &str = "<!-- metrics -->\n";
const END: &str = "<!-- end of metrics -->";
const HEAD: &str = "| metric | is | labels | of | meaning |\n| --- | --- | --- | --- | --- |\n";

/// A query of the dashboard.
pub(crate) struct Query {
    /// The panel that shows it.
    pub(crate) panel: String,
    /// As Prometheus takes it: what Grafana fills in is filled in.
    pub(crate) expression: String,
}

impl Query {
    /// Without the zero that is drawn where there is nothing.
    pub(crate) fn without_default(&self) -> &str {
        self.expression.trim_end_matches(" or vector(0)")
    }
}

/// What Grafana is given.
pub(crate) fn dashboard() -> Value {
    let path = deployed().join("grafana/dashboards/statewise.json");
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// All queries of the dashboard, those that fill its variables included.
pub(crate) fn queries() -> Vec<Query> {
    let dashboard = dashboard();
    let mut queries = Vec::new();
    let panels = dashboard["panels"].as_array().unwrap();
    for panel in panels.iter().filter(|panel| panel["type"] != "row") {
        let title = panel["title"].as_str().unwrap();
        let targets = panel["targets"].as_array().unwrap();
        assert!(!targets.is_empty(), "{title} shows nothing");
        for target in targets {
            queries.push(Query {
                panel: title.to_owned(),
                expression: filled_in(target["expr"].as_str().unwrap()),
            });
        }
    }
    let labels = Regex::new(r"^label_values\((\w+), (\w+)\)$").unwrap();
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    for variable in variables.iter().filter(|one| one["type"] == "query") {
        let text = variable["definition"].as_str().unwrap();
        let found = labels.captures(text).unwrap();
        queries.push(Query {
            panel: format!("${}", variable["name"].as_str().unwrap()),
            expression: format!("count by ({}) ({})", &found[2], &found[1]),
        });
    }
    queries
}

fn filled_in(expression: &str) -> String {
    let mut text = expression.replace("$__rate_interval", "4s");
    for variable in ["$job", "$strategy"] {
        text = text.replace(variable, ".+");
    }
    assert!(!text.contains('$'), "{text}");
    text
}

/// The metrics that an expression reads.
pub(crate) fn metrics_in(expression: &str) -> BTreeSet<String> {
    let others = Regex::new(
        r#"(?x) "[^"]*" | \{[^}]*\} | \[[^\]]*\]
        | \b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)"#,
    )
    .unwrap();
    let bare = others.replace_all(expression, " ");
    let words = Regex::new(r"[a-zA-Z_:][a-zA-Z0-9_:]*").unwrap();
    let is_name = |word: &regex::Match<'_>| {
        let is_function = bare[word.end()..].trim_start().starts_with('(');
        let keywords = ["or", "and", "unless", "bool", "offset"];
        !is_function && !keywords.contains(&word.as_str())
    };
    let names = words.find_iter(&bare).filter(is_name);
    names.map(|word| word.as_str().to_owned()).collect()
}

/// A metric as it is scraped.
#[derive(Default)]
pub(crate) struct Family {
    kind: String,
    unit: String,
    help: String,
    labels: BTreeSet<String>,
    services: BTreeSet<&'static str>,
}

/// By the names of their samples; of histograms by what these have in common.
pub(crate) type Families = BTreeMap<String, Family>;

/// Adds what one process of a `service` tells in the OpenMetrics text format.
pub(crate) fn read_families(families: &mut Families, service: &'static str, text: &str) {
    let label = Regex::new(r#"([a-zA-Z_]\w*)="(?:[^"\\]|\\.)*""#).unwrap();
    let kinds: BTreeMap<&str, &str> = told(text, "# TYPE ").collect();
    let sample = |base: &str, kind: &str| match kind {
        "counter" => format!("{base}_total"),
        "info" => format!("{base}_info"),
        _ => base.to_owned(),
    };
    for (base, kind) in &kinds {
        let family = families.entry(sample(base, kind)).or_default();
        (*kind).clone_into(&mut family.kind);
        family.services.insert(service);
    }
    for (base, help) in told(text, "# HELP ") {
        let family = families.entry(sample(base, kinds[base])).or_default();
        help.trim_end_matches('.').clone_into(&mut family.help);
    }
    for (base, unit) in told(text, "# UNIT ") {
        let family = families.entry(sample(base, kinds[base])).or_default();
        unit.clone_into(&mut family.unit);
    }
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        // What follows is an exemplar.
        let line = line.split(" # ").next().unwrap_or_default();
        let Some((name, rest)) = line.split_once('{') else {
            continue;
        };
        let of_histogram = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|ending| name.strip_suffix(ending))
            .filter(|base| kinds.get(base) == Some(&"histogram"));
        let family = families.get_mut(of_histogram.unwrap_or(name)).unwrap();
        let labels = label.captures_iter(rest).map(|found| found[1].to_owned());
        family.labels.extend(labels.filter(|label| label != "le"));
    }
}

fn told<'a>(text: &'a str, what: &'static str) -> impl Iterator<Item = (&'a str, &'a str)> {
    let lines = text.lines().filter_map(move |line| line.strip_prefix(what));
    lines.filter_map(|line| line.split_once(' '))
}

/// Holds the table of the page to what was scraped, or writes it.
#[track_caller]
pub(crate) fn compare_with_page(families: &Families) {
    let page = page();
    let text = fs::read_to_string(&page).unwrap();
    let (before, rest) = text.split_once(BEGIN).unwrap();
    let (table, after) = rest.split_once(END).unwrap();
    let written = || table.lines().filter(|line| line.starts_with("| `"));
    let mut scraped: BTreeSet<String> = families.iter().map(row).collect();
    // Not every machine limits memory.
    if !families.contains_key("process_memory_limit_bytes") {
        let limit = written().filter(|line| line.starts_with("| `process_memory_limit_bytes`"));
        scraped.extend(limit.map(str::to_owned));
    }
    if std::env::var_os("STATEWISE_WRITE_METRICS").is_some() {
        let rows: String = scraped.iter().map(|row| format!("{row}\n")).collect();
        fs::write(&page, format!("{before}{BEGIN}{HEAD}{rows}{END}{after}")).unwrap();
        return;
    }
    let written: BTreeSet<String> = written().map(str::to_owned).collect();
    let lacking: Vec<_> = scraped.difference(&written).collect();
    let left: Vec<_> = written.difference(&scraped).collect();
    assert!(
        lacking.is_empty() && left.is_empty(),
        "docs/metrics.md is not what the services tell (make metrics-docs renews it).\n\
         It lacks:\n{lacking:#?}\nIt has and nobody tells:\n{left:#?}"
    );
}

fn row((name, family): (&String, &Family)) -> String {
    let Family {
        kind,
        unit,
        help,
        labels,
        services,
    } = family;
    let labels: Vec<String> = labels.iter().map(|label| format!("`{label}`")).collect();
    let labels = labels.join(", ");
    let services: Vec<&str> = services.iter().copied().collect();
    let services = match services[..] {
        [_, _, _] => "all".to_owned(),
        _ => services.join(", "),
    };
    let kind = match unit.as_str() {
        "" => kind.clone(),
        unit => format!("{kind}, {unit}"),
    };
    format!("| `{name}` | {kind} | {labels} | {services} | {help} |")
}

/// The alerts that the page has a heading for.
pub(crate) fn alerts_of_page() -> BTreeSet<String> {
    let text = fs::read_to_string(page()).unwrap();
    let headings = text.lines().filter_map(|line| line.strip_prefix("### "));
    let alerts = headings.filter(|heading| heading.starts_with("Statewise"));
    alerts.map(str::to_owned).collect()
}

fn page() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/metrics.md")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_metrics_of_an_expression_are_neither_functions_nor_labels() {
        let expression = "sum by (job, pool) (rate(a_total{x=\"b_total\"}[5m])) \
                          / on (job) (level:c:rate5m > 0) or absent(d)";
        let names: Vec<String> = metrics_in(expression).into_iter().collect();
        assert_eq!(names, ["a_total", "d", "level:c:rate5m"]);
    }
}
