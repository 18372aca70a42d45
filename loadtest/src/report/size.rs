//! What the size of what is carried costs: curves, where two strategies cost the same, and what is too
//! large for whom.

mod page;

use super::{Section, numbers, text};
use crate::results::{Carried, HeaderLimit, Order, SizeBreakEven, SizePoint, Sizes};

pub(super) const SECTION: Section = Section {
    title: "Size",
    findings: |results| results.sizes.as_ref().map(findings).unwrap_or_default(),
    text: |results| {
        results
            .sizes
            .as_ref()
            .map(rendered_text)
            .unwrap_or_default()
    },
    html: page::rendered,
};

/// What a choice rests on; the others are in the table only.
const FOUND: [&str; 3] = ["cpu", "request_bytes", "bytes"];

/// One sentence for each thing that is carried and compared, and one for what was refused.
fn findings(sizes: &Sizes) -> Vec<String> {
    let mut found = Vec::new();
    for carries in kinds(sizes) {
        found.extend(
            FOUND
                .iter()
                .filter_map(|metric| sentence(sizes, carries, metric)),
        );
    }
    found.extend(refused(sizes));
    found
}

/// Everything that was measured or refused, in the usual order.
fn kinds(sizes: &Sizes) -> Vec<Carried> {
    let is_there = |carries: &Carried| {
        sizes.points.iter().any(|one| one.carries == *carries)
            || sizes.refused.iter().any(|one| one.carries == *carries)
    };
    Carried::ALL.into_iter().filter(is_there).collect()
}

fn sentence(sizes: &Sizes, carries: Carried, metric: &str) -> Option<String> {
    let of = |one: &&SizeBreakEven| one.carries == carries && one.metric == metric;
    let all: Vec<&SizeBreakEven> = sizes.break_even.iter().filter(of).collect();
    let range = all.first()?.range;
    let parts: Vec<String> = all.iter().map(|one| part(one, range)).collect();
    let told = unanimous(&all).unwrap_or_else(|| parts.join("; "));
    Some(format!(
        "Break-even in {} by {}, {}: {told}.",
        title(metric),
        carries.title(),
        between(carries, range)
    ))
}

/// What holds of several pairs alike, when it does.
fn unanimous(all: &[&SizeBreakEven]) -> Option<String> {
    type Name = fn(&SizeBreakEven) -> &String;
    let [first, _, ..] = all else { return None };
    let (cheaper, dearer): (Name, Name) = match first.order {
        Order::A => (|one| &one.a, |one| &one.b),
        Order::B => (|one| &one.b, |one| &one.a),
        Order::AThenB | Order::BThenA | Order::Unclear => return None,
    };
    let same = |one: &&SizeBreakEven| one.order == first.order && one.range == first.range;
    if !all.iter().all(same) {
        return None;
    }
    let listed = |name: Name| {
        let mut names: Vec<String> = Vec::new();
        for one in all {
            if !names.contains(name(one)) {
                names.push(name(one).clone());
            }
        }
        numbers::listed(&names)
    };
    Some(format!(
        "none, {} cost less than {} at every size",
        listed(cheaper),
        listed(dearer)
    ))
}

/// Where the range is another one than most have, it is said.
fn part(one: &SizeBreakEven, usual: (f64, f64)) -> String {
    let SizeBreakEven { a, b, .. } = one;
    let at = |size: Option<f64>| size.map_or("–".to_owned(), |size| amount(one.carries, size));
    let place = || format!("{} [{}, {}]", at(one.size), at(one.low), at(one.high));
    let told = match one.order {
        Order::A => format!("none, {a} costs less at every size"),
        Order::B => format!("none, {b} costs less at every size"),
        Order::AThenB => format!("{}, {a} costs less below", place()),
        Order::BThenA => format!("{}, {b} costs less below", place()),
        Order::Unclear if one.decided.is_empty() => "none can be told".to_owned(),
        Order::Unclear => {
            let place = |size| amount(one.carries, size);
            let parts = numbers::decided(&one.decided, (a, b), place);
            format!("{parts} costs less, elsewhere it cannot be told")
        }
    };
    let other = match one.range == usual {
        true => String::new(),
        false => format!(" ({})", between(one.carries, one.range)),
    };
    format!("{a} and {b}: {told}{other}")
}

fn between(carries: Carried, (low, high): (f64, f64)) -> String {
    format!("{} to {}", amount(carries, low), amount(carries, high))
}

fn title(metric: &str) -> &str {
    match metric {
        "cpu" => "CPU time of the system per request",
        "request_bytes" => "size of a request",
        "bytes" => "bytes that a request moves (request, answer, store)",
        "p50" => "median of the response time",
        other => other,
    }
}

/// A size as in a sentence: `10 roles`, `3,000 B`.
fn amount(carries: Carried, size: f64) -> String {
    match carries {
        Carried::Roles => format!("{} roles", numbers::grouped(size)),
        Carried::Record | Carried::RecordUnread => bytes(size),
    }
}

fn bytes(value: f64) -> String {
    match value {
        value if value < 9_999.5 => format!("{} B", numbers::grouped(value)),
        value => format!("{} KB", numbers::significant(value / 1e3)),
    }
}

/// What could not be carried; `None` when all could. Data that are not read are refused as those that are.
fn refused(sizes: &Sizes) -> Option<String> {
    let mut parts: Vec<String> = Vec::new();
    for one in &sizes.refused {
        let size = amount(one.carries, one.size());
        let part = format!("{size}: {} is answered with {}", one.request, one.status);
        if !parts.contains(&part) {
            parts.push(part);
        }
    }
    (!parts.is_empty()).then(|| format!("Too large to be carried: {}.", parts.join("; ")))
}

fn rendered_text(sizes: &Sizes) -> String {
    let mut out = String::new();
    for carries in kinds(sizes) {
        let rows: Vec<Vec<String>> = of_kind(sizes, carries).map(row).collect();
        if !rows.is_empty() {
            out += &format!("Size: {}\n", carries.title());
            out += &text::table(&head(), &rows);
        }
    }
    let rows: Vec<Vec<String>> = sizes.limits.iter().map(limit_row).collect();
    if !rows.is_empty() {
        out += "How much of a request's head servers take\n";
        out += &text::table(&LIMIT_HEAD.map(str::to_owned), &rows);
    }
    out
}

fn head() -> Vec<String> {
    let head = [
        "",
        "carries",
        "credential",
        "request",
        "answer",
        "store",
        "CPU",
        "p50",
        "p99",
    ];
    head.map(str::to_owned).to_vec()
}

fn row(point: &SizePoint) -> Vec<String> {
    let p99 = numbers::duration_us(point.p99_us);
    vec![
        point.strategy.clone(),
        amount(point.carries, point.size()),
        bytes(point.credential_bytes as f64),
        bytes(point.request_bytes),
        bytes(point.response_bytes),
        point.store_bytes.map_or("–".to_owned(), bytes),
        point.cpu_us.map_or("–".to_owned(), numbers::duration_us),
        numbers::duration_us(point.p50_us),
        match point.p99_supported {
            true => p99,
            false => format!("({p99})"),
        },
    ]
}

const LIMIT_HEAD: [&str; 5] = ["", "of", "at most", "more is", "by"];

fn limit_row(limit: &HeaderLimit) -> Vec<String> {
    vec![
        limit.server.clone(),
        match limit.of.as_str() {
            "head" => "the whole head",
            "field" => "one field",
            "token" => "a bearer token",
            other => other,
        }
        .to_owned(),
        format!("{} B", numbers::count(limit.bytes)),
        limit
            .status
            .map_or("–".to_owned(), |status| status.to_string()),
        match &limit.documented {
            Some(setting) => setting.clone(),
            None => "measured here".to_owned(),
        },
    ]
}

fn of_kind(sizes: &Sizes, carries: Carried) -> impl Iterator<Item = &SizePoint> {
    let points = sizes.points.iter();
    points.filter(move |point| point.carries == carries)
}
