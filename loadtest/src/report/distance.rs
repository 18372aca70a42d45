//! What each strategy costs at a distance from its store, and where two cost the same.

mod page;

use super::{Section, numbers, text};
use crate::results::{BreakEven, Distance, DistancePoint, Hop, Order, Slope};

pub(super) const SECTION: Section = Section {
    title: "Distance",
    findings: |results| results.distance.as_ref().map(findings).unwrap_or_default(),
    text: |results| results.distance.as_ref().map(tables).unwrap_or_default(),
    html: page::rendered,
};

const REFUSED: &str = "The delay proxy was the limit, so nothing was measured at a distance.";

fn findings(distance: &Distance) -> Vec<String> {
    if distance.points.is_empty() {
        return vec![REFUSED.to_owned()];
    }
    let slopes: Vec<String> = distance
        .slopes
        .iter()
        .map(|one| {
            format!(
                "{} {}",
                one.strategy,
                trips(one.round_trips, one.low, one.high)
            )
        })
        .collect();
    let mut found = vec![format!(
        "Round trips that the median request waits for: {}.",
        numbers::listed(&slopes)
    )];
    let first = distance.break_even.first().map(|one| one.a.as_str());
    let pairs = pairs(distance);
    let of_first = pairs.iter().filter(|pair| Some(pair.a) == first);
    found.extend(of_first.filter_map(Pair::sentence));
    found.extend(hop_sentence(distance));
    found
}

/// A number of round trips with its interval.
fn trips(value: f64, low: f64, high: f64) -> String {
    format!("{} [{}, {}]", short(value), short(low), short(high))
}

/// Nothing is not told as less than nothing: -0 + 0 is 0.
fn short(value: f64) -> String {
    let rounded = (value * 1e3).round() / 1e3 + 0.0;
    format!("{rounded:.3}")
}

/// Two strategies, in all that they are compared in.
struct Pair<'a> {
    a: &'a str,
    b: &'a str,
    all: Vec<&'a BreakEven>,
}

fn pairs(distance: &Distance) -> Vec<Pair<'_>> {
    let mut pairs: Vec<Pair<'_>> = Vec::new();
    for one in &distance.break_even {
        match pairs
            .iter_mut()
            .find(|pair| pair.a == one.a && pair.b == one.b)
        {
            Some(pair) => pair.all.push(one),
            None => pairs.push(Pair {
                a: &one.a,
                b: &one.b,
                all: vec![one],
            }),
        }
    }
    pairs
}

impl Pair<'_> {
    fn of(&self, metric: &str) -> Option<&BreakEven> {
        self.all.iter().copied().find(|one| one.metric == metric)
    }

    fn sentence(&self) -> Option<String> {
        let part = |metric: &str, what: &str| {
            let one = self.of(metric)?;
            let (a, b) = (&one.a, &one.b);
            let with = match one.order {
                Order::A => format!("{a} at every distance measured"),
                Order::B => format!("{b} at every distance measured"),
                Order::AThenB => format!("{a} below {} and with {b} beyond it", place(one)),
                Order::BThenA => format!("{b} below {} and with {a} beyond it", place(one)),
                Order::Unclear if one.decided.is_empty() => {
                    return Some(format!("with which {what} is lower cannot be told"));
                }
                Order::Unclear => {
                    format!("{}, and with which elsewhere cannot be told", parts(one))
                }
            };
            Some(format!("{what} is lower with {with}"))
        };
        let told = [part("p50", "the median"), part("cpu", "the CPU time")];
        let told: Vec<String> = told.into_iter().flatten().collect();
        let (a, b) = (self.a, self.b);
        (!told.is_empty()).then(|| format!("{a} and {b}: {}.", told.join("; ")))
    }
}

/// Where the break-even is, with its interval.
fn place(one: &BreakEven) -> String {
    let ms = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), numbers::significant);
    format!("{} ms [{}, {}]", ms(one.rtt_ms), ms(one.low), ms(one.high))
}

/// Where which one costs less, although it cannot be told of all distances.
fn parts(one: &BreakEven) -> String {
    // As they were asked for.
    let ms = |ms| format!("{ms} ms");
    numbers::decided(&one.decided, (&one.a, &one.b), ms)
}

/// The same in a cell.
fn cell(one: Option<&BreakEven>) -> String {
    let Some(one) = one else {
        return "–".to_owned();
    };
    match one.order {
        Order::A => format!("none: {}", one.a),
        Order::B => format!("none: {}", one.b),
        Order::Unclear if one.decided.is_empty() => "cannot be told".to_owned(),
        Order::Unclear => format!("in part: {}", parts(one)),
        Order::AThenB => format!("{}, then {}", place(one), one.b),
        Order::BThenA => format!("{}, then {}", place(one), one.a),
    }
}

fn hop_sentence(distance: &Distance) -> Option<String> {
    let first = distance.hop.first()?;
    let one = |hop: &Hop| {
        let point = &hop.point;
        format!(
            "{} {} with {} under way",
            point.strategy,
            numbers::duration_us(point.p50_us),
            numbers::significant(point.in_flight)
        )
    };
    let all: Vec<String> = distance.hop.iter().map(one).collect();
    Some(format!(
        "Over a round trip of {} ms the median is: {}.",
        first.point.rtt_ms,
        numbers::listed(&all)
    ))
}

/// Round-trip times, ascending.
fn distances(distance: &Distance) -> Vec<f64> {
    let mut all: Vec<f64> = distance.points.iter().map(|one| one.rtt_ms).collect();
    all.sort_by(f64::total_cmp);
    all.dedup();
    all
}

/// Strategies, in their order.
fn strategies(distance: &Distance) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for one in &distance.points {
        if !names.contains(&one.strategy.as_str()) {
            names.push(&one.strategy);
        }
    }
    names
}

fn point<'a>(distance: &'a Distance, strategy: &str, rtt_ms: f64) -> Option<&'a DistancePoint> {
    let mut points = distance.points.iter();
    points.find(|one| one.strategy == strategy && one.rtt_ms == rtt_ms)
}

/// What is told of each point, by its title.
type Figure = (&'static str, fn(&DistancePoint) -> String);

const FIGURES: [Figure; 4] = [
    ("p50", |point| numbers::duration_us(point.p50_us)),
    ("p99", |point| {
        let p99 = numbers::duration_us(point.p99_us);
        if point.p99_supported {
            p99
        } else {
            format!("({p99})")
        }
    }),
    ("CPU", |point| {
        let cpu = point.cpu_us;
        cpu.map_or_else(|| "–".to_owned(), numbers::duration_us)
    }),
    ("under way", |point| numbers::significant(point.in_flight)),
];

/// A row for each strategy, a column for each distance.
fn rows(distance: &Distance, figure: &Figure) -> Vec<Vec<String>> {
    let row = |name: &&str| {
        let cells = distances(distance)
            .into_iter()
            .map(|rtt| point(distance, name, rtt).map_or_else(|| "–".to_owned(), figure.1));
        std::iter::once((*name).to_owned()).chain(cells).collect()
    };
    strategies(distance).iter().map(row).collect()
}

fn slope_row(one: &Slope) -> Vec<String> {
    vec![
        one.strategy.clone(),
        trips(one.round_trips, one.low, one.high),
        trips(one.mean_round_trips, one.mean_low, one.mean_high),
        numbers::duration_us(one.at_zero_us),
    ]
}

const SLOPE_HEAD: [&str; 4] = [
    "Round trips per request",
    "of the median",
    "of the mean",
    "line at 0",
];

fn pair_row(pair: &Pair<'_>) -> Vec<String> {
    vec![
        format!("{} and {}", pair.a, pair.b),
        cell(pair.of("p50")),
        cell(pair.of("cpu")),
    ]
}

const PAIR_HEAD: [&str; 3] = ["Break-even", "in the median", "in CPU time"];

fn hop_row(hop: &Hop) -> Vec<String> {
    let point = &hop.point;
    let predicted = hop.predicted_p50_us;
    vec![
        point.strategy.clone(),
        numbers::duration_us(point.p50_us),
        predicted.map_or_else(|| "–".to_owned(), numbers::duration_us),
        numbers::duration_us(point.p99_us),
        numbers::significant(point.in_flight),
        numbers::percent(point.good),
    ]
}

const HOP_HEAD: [&str; 5] = ["p50", "the line says", "p99", "under way", "good"];

fn hop_title(distance: &Distance) -> Option<String> {
    let first = distance.hop.first()?;
    Some(format!("Over {} ms", first.point.rtt_ms))
}

fn tables(distance: &Distance) -> String {
    if distance.points.is_empty() {
        return text::wrapped("", REFUSED) + &text::wrapped("", &proxy(distance));
    }
    let owned = |head: &[&str]| -> Vec<String> { head.iter().map(|&one| one.to_owned()).collect() };
    let mut out = text::wrapped(
        "",
        &format!(
            "Distance: {} requests/s of one strategy at a time, the API and what it asks so many ms of \
             round trip apart; in brackets: too few requests",
            numbers::grouped(distance.rate_per_second)
        ),
    );
    for figure in &FIGURES {
        let columns = distances(distance).into_iter().map(|rtt| format!("{rtt}"));
        let head: Vec<String> = std::iter::once(figure.0.to_owned())
            .chain(columns)
            .collect();
        out += &text::tables(&head, &rows(distance, figure));
        out.push('\n');
    }
    let slopes: Vec<_> = distance.slopes.iter().map(slope_row).collect();
    out += &text::table(&owned(&SLOPE_HEAD), &slopes);
    let pairs: Vec<_> = pairs(distance).iter().map(pair_row).collect();
    if !pairs.is_empty() {
        out.push('\n');
        out += &text::tables(&owned(&PAIR_HEAD), &pairs);
    }
    if let Some(title) = hop_title(distance) {
        let head = std::iter::once(title)
            .chain(owned(&HOP_HEAD))
            .collect::<Vec<_>>();
        let hops: Vec<_> = distance.hop.iter().map(hop_row).collect();
        out.push('\n');
        out += &text::table(&head, &hops);
    }
    out.push('\n');
    out + &text::wrapped("", &proxy(distance))
}

/// What the proxy itself adds, in sentences.
fn proxy(distance: &Distance) -> String {
    let proxy = &distance.proxy;
    let errors: Vec<String> = proxy
        .errors
        .iter()
        .map(|one| {
            format!(
                "{} and {} at {} ms",
                signed(one.p50_us),
                signed(one.p99_us),
                one.rtt_ms
            )
        })
        .collect();
    let mut out = format!(
        "The delay proxy adds {} to a round trip by itself, which is taken off each delay. Round trips \
         over an echo are then longer than they are to be by (p50 and p99): {}.",
        numbers::duration_us(proxy.own_us),
        errors.join("; "),
    );
    if let (Some(through), Some(direct)) = (
        proxy.achieved_through_per_second,
        proxy.achieved_direct_per_second,
    ) {
        out += &format!(
            " At the rate of the run {} answers {:.3} times as much through the proxy at no delay as past it.",
            proxy.throughput_of,
            through / direct.max(1e-9)
        );
    }
    out += &format!(
        " As fast as it can, {} answers {}/s through it and {}/s past it.",
        proxy.throughput_of,
        numbers::grouped(proxy.highest_through_per_second),
        numbers::grouped(proxy.highest_direct_per_second)
    );
    out
}

fn signed(us: f64) -> String {
    let sign = if us < 0.0 { "−" } else { "" };
    format!("{sign}{}", numbers::duration_us(us.abs()))
}
