//! Numbers as people read them.

use crate::results::{Decided, Order};

/// A duration given in microseconds, with three significant digits and the unit that suits it.
pub(super) fn duration_us(us: f64) -> String {
    if !us.is_finite() {
        "–".to_owned()
    } else if us < 1_000.0 {
        format!("{} µs", significant(us))
    } else if us < 1_000_000.0 {
        format!("{} ms", significant(us / 1_000.0))
    } else {
        format!("{} s", significant(us / 1_000_000.0))
    }
}

/// A value of a metric with its unit.
pub(super) fn with_unit(value: f64, unit: &str) -> String {
    match unit {
        _ if !value.is_finite() => "–".to_owned(),
        "µs" => duration_us(value),
        "share" => percent(value),
        "1/s" => format!("{}/s", grouped(value)),
        "" => format!("{value:.3}"),
        unit => format!("{} {unit}", significant(value)),
    }
}

/// A duration given in milliseconds.
pub(super) fn duration_ms(ms: u64) -> String {
    #[expect(
        clippy::cast_precision_loss,
        reason = "exact below 285 years, and three digits are shown"
    )]
    duration_us(ms as f64 * 1_000.0)
}

/// Three significant digits; all digits of what is 1000 or more, in groups.
pub(crate) fn significant(value: f64) -> String {
    match value.abs() {
        size if !size.is_finite() => "–".to_owned(),
        size if size >= 999.5 => grouped(value),
        size if size >= 99.95 => format!("{value:.0}"),
        size if size >= 9.995 => format!("{value:.1}"),
        size if size.fract() == 0.0 => format!("{value:.0}"),
        size if size < 0.001 => format!("{value:.1e}"),
        _ => format!("{value:.2}"),
    }
}

/// A whole number with its digits in groups of three.
pub(super) fn grouped(value: f64) -> String {
    if !value.is_finite() {
        return "–".to_owned();
    }
    let digits = format!("{:.0}", value.abs());
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if value <= -0.5 {
        text.insert(0, '-');
    }
    text
}

/// A count with its digits in groups of three.
pub(super) fn count(value: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
    grouped(value as f64)
}

/// Bytes as mebibytes.
pub(super) fn mebibytes(bytes: u64) -> String {
    #[expect(
        clippy::cast_precision_loss,
        reason = "one decimal of a mebibyte is shown"
    )]
    let mebibytes = bytes as f64 / f64::from(1 << 20);
    format!("{mebibytes:.1} MiB")
}

/// A share as a percentage that says 100 % only when nothing is missing and 0 % only when nothing
/// is there.
pub(crate) fn percent(share: f64) -> String {
    let rounded = format!("{:.1}", share * 100.0);
    match rounded.as_str() {
        "100.0" if share < 1.0 => ">99.9 %".to_owned(),
        "0.0" if share > 0.0 => "<0.1 %".to_owned(),
        "100.0" => "100 %".to_owned(),
        "0.0" => "0 %".to_owned(),
        _ => format!("{rounded} %"),
    }
}

/// Names in a sentence: "a", "a and b", "a, b and c".
pub(crate) fn listed(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// Where each of two costs less, as far as that is decided: "jwt from 1 ms to 20 ms", "jwt at 20 ms".
pub(super) fn decided(
    parts: &[Decided],
    (a, b): (&str, &str),
    place: impl Fn(f64) -> String,
) -> String {
    let told = parts.iter().map(|one| {
        let name = if one.order == Order::A { a } else { b };
        match one.from < one.to {
            true => format!("{name} from {} to {}", place(one.from), place(one.to)),
            false => format!("{name} at {}", place(one.from)),
        }
    });
    listed(&told.collect::<Vec<_>>())
}

/// A ratio in a sentence or a narrow cell.
pub(super) fn short_ratio(value: f64) -> String {
    ratio_with(2, value)
}

/// Beyond a thousand, the digits say nothing.
fn ratio_with(decimals: usize, value: f64) -> String {
    if !value.is_finite() {
        "–".to_owned()
    } else if value > 9_999.0 {
        ">9999".to_owned()
    } else {
        let smallest = 10f64.powi(-i32::try_from(decimals).unwrap_or_default());
        if value > 0.0 && value < smallest / 2.0 {
            return format!("<{smallest}");
        }
        format!("{value:.decimals$}")
    }
}

/// An interval of ratios.
pub(super) fn interval(low: f64, high: f64) -> String {
    format!("[{}, {}]", short_ratio(low), short_ratio(high))
}

/// How far from 1 a ratio is, in either direction.
pub(super) fn distance(ratio: f64) -> String {
    let distance = (ratio.max(1.0 / ratio) - 1.0) * 100.0;
    if !distance.is_finite() {
        "–".to_owned()
    } else if distance > 999.0 {
        ">999 %".to_owned()
    } else if distance < 9.95 {
        format!("{distance:.1} %")
    } else {
        format!("{distance:.0} %")
    }
}

/// A ratio.
pub(crate) fn ratio(value: f64) -> String {
    ratio_with(3, value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(found: &str, wanted: &str) {
        assert_eq!(found, wanted);
    }

    #[test]
    fn durations_take_the_unit_that_suits_them() {
        check(&duration_us(7.25), "7.25 µs");
        check(&duration_us(182.04), "182 µs");
        check(&duration_us(999.4), "999 µs");
        check(&duration_us(1_820.0), "1.82 ms");
        check(&duration_us(2_500_000.0), "2.50 s");
        check(&duration_us(f64::NAN), "–");
    }

    #[test]
    fn large_numbers_are_grouped() {
        check(&grouped(1_234_567.4), "1,234,567");
        check(&grouped(999.0), "999");
        check(&grouped(-1_000.0), "-1,000");
        check(&significant(12_345.6), "12,346");
        check(&significant(0.0), "0");
        check(&significant(4.0), "4");
    }

    #[test]
    fn a_ratio_beyond_what_digits_can_say_is_told_as_that() {
        check(&ratio(1.234_56), "1.235");
        check(&ratio(1e40), ">9999");
        check(&ratio(1e-40), "<0.001");
        check(&short_ratio(0.002), "<0.01");
        check(&ratio(0.0), "0.000");
    }

    #[test]
    fn names_are_listed_as_in_a_sentence() {
        let names = ["a", "b", "c"].map(str::to_owned);
        check(&listed(&names[..1]), "a");
        check(&listed(&names[..2]), "a and b");
        check(&listed(&names), "a, b and c");
    }

    #[test]
    fn a_share_is_called_whole_only_when_it_is() {
        check(&percent(1.0), "100 %");
        check(&percent(0.999_99), ">99.9 %");
        check(&percent(0.000_01), "<0.1 %");
        check(&percent(0.0), "0 %");
        check(&percent(0.987), "98.7 %");
    }
}
