//! Numbers and templates as text. The page has the same in its script, and a browser test holds both to each
//! other, so each rule here is one that both languages can keep exactly.

use serde::Serialize;

/// How a number is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Processor cores.
    Cores,
    /// A whole number.
    Count,
    /// Per second.
    PerSecond,
    /// Bytes, decimal.
    Bytes,
    /// Bits per second, decimal.
    BitsPerSecond,
    /// Seconds, in the unit that suits them.
    Seconds,
    /// Milliseconds, likewise.
    Milliseconds,
    /// Microseconds, likewise.
    Microseconds,
    /// A share of 1, as a percentage.
    Share,
    /// A number of no unit.
    Plain,
}

/// A number with its unit.
#[must_use]
pub fn written(value: f64, unit: Unit) -> String {
    if !value.is_finite() {
        return "–".to_owned();
    }
    match unit {
        Unit::Cores => few(value),
        Unit::Count => fixed(value, 0),
        Unit::PerSecond => format!("{}/s", trimmed(&significant(value))),
        Unit::Bytes => scaled(value, &[" B", " kB", " MB", " GB", " TB", " PB"]),
        Unit::BitsPerSecond => scaled(
            value,
            &[" bit/s", " kbit/s", " Mbit/s", " Gbit/s", " Tbit/s"],
        ),
        Unit::Seconds => duration(value),
        Unit::Milliseconds => duration(value / 1e3),
        Unit::Microseconds => duration(value / 1e6),
        Unit::Share => format!("{} %", trimmed(&fixed(value * 100.0, 1))),
        Unit::Plain => trimmed(&significant(value)),
    }
}

/// A tenth of a core is worth saying of few cores and not of many.
fn few(value: f64) -> String {
    match value {
        value if value > 0.0 && value < 0.05 => "<0.1".to_owned(),
        value if value < 99.95 => fixed(value, 1),
        value => fixed(value, 0),
    }
}

/// So many decimals, and the digits before them in groups of three.
fn fixed(value: f64, decimals: u32) -> String {
    let scale = 10f64.powi(decimals.cast_signed());
    let number = (value.abs() * scale).round();
    let (whole, rest) = ((number / scale).floor(), number % scale);
    let digits = format!("{whole:.0}");
    let mut text = String::new();
    if value < 0.0 && number > 0.0 {
        text.push('-');
    }
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if decimals > 0 {
        text += &format!(".{rest:0>width$.0}", width = decimals as usize);
    }
    text
}

/// Three digits that say something, or all before the point.
fn significant(value: f64) -> String {
    match value.abs() {
        size if size >= 99.95 => fixed(value, 0),
        size if size >= 9.995 => fixed(value, 1),
        size if size >= 0.0995 || size == 0.0 => fixed(value, 2),
        size if size >= 0.000_995 => fixed(value, 4),
        _ => fixed(value, 6),
    }
}

/// Without zeros at the end of decimals.
fn trimmed(text: &str) -> String {
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text.to_owned(),
    }
}

/// In thousands of thousands, with the unit of each step.
fn scaled(value: f64, units: &[&str]) -> String {
    let (mut value, mut step) = (value, 0);
    while value.abs() >= 999.5 && step + 1 < units.len() {
        value /= 1e3;
        step += 1;
    }
    let number = match step {
        0 => fixed(value, 0),
        _ => trimmed(&significant(value)),
    };
    format!("{number}{}", units[step])
}

/// Seconds in the unit that suits them.
fn duration(seconds: f64) -> String {
    let (value, unit) = match seconds.abs() {
        0.0 => (0.0, "s"),
        size if size < 0.000_999_5 => (seconds * 1e6, "µs"),
        size if size < 0.999_5 => (seconds * 1e3, "ms"),
        size if size < 120.0 => (seconds, "s"),
        size if size < 7_200.0 => (seconds / 60.0, "min"),
        size if size < 172_800.0 => (seconds / 3_600.0, "h"),
        _ => (seconds / 86_400.0, "days"),
    };
    format!("{} {unit}", trimmed(&significant(value)))
}

/// Names in a sentence: "a", "a and b", "a, b and c".
#[must_use]
pub fn listed(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// Fills a template: what stands in braces is replaced by what `of` makes of it.
pub(super) fn filled(template: &str, of: impl Fn(&str) -> String) -> String {
    let mut out = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        out += before;
        let (name, after) = after.split_once('}').unwrap_or((after, ""));
        out += &of(name);
        rest = after;
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(value: f64, unit: Unit, expected: &str) {
        assert_eq!(written(value, unit), expected);
    }

    #[test]
    fn numbers_are_written_in_the_unit_that_suits_them() {
        check(0.0, Unit::Cores, "0.0");
        check(0.02, Unit::Cores, "<0.1");
        check(9.94, Unit::Cores, "9.9");
        check(9.96, Unit::Cores, "10.0");
        check(99.96, Unit::Cores, "100");
        check(1_234.5, Unit::Cores, "1,235");
        check(5e6, Unit::Count, "5,000,000");
        check(5_555.6, Unit::PerSecond, "5,556/s");
        check(0.0333, Unit::PerSecond, "0.0333/s");
        check(0.02, Unit::PerSecond, "0.02/s");
        check(0.0, Unit::PerSecond, "0/s");
        check(728.0, Unit::Bytes, "728 B");
        check(3.64e9, Unit::Bytes, "3.64 GB");
        check(999_999.0, Unit::Bytes, "1 MB");
        check(37.3e6, Unit::BitsPerSecond, "37.3 Mbit/s");
        check(0.5, Unit::Milliseconds, "500 µs");
        check(20.0, Unit::Milliseconds, "20 ms");
        check(930.0, Unit::Seconds, "15.5 min");
        check(0.0, Unit::Seconds, "0 s");
        check(43_200.0, Unit::Seconds, "12 h");
        check(0.6, Unit::Share, "60 %");
        check(0.123_4, Unit::Share, "12.3 %");
        check(f64::NAN, Unit::Cores, "–");
        check(f64::INFINITY, Unit::Seconds, "–");
        check(-0.04, Unit::Plain, "-0.04");
    }

    #[test]
    fn a_template_is_filled() {
        let of = |name: &str| format!("<{name}>");
        assert_eq!(filled("a {b} c {d}", of), "a <b> c <d>");
        assert_eq!(filled("nothing", of), "nothing");
    }
}
