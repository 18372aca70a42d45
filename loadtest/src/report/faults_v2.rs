//! Each fault as a timeline: the answers of every strategy before, during and after it.

use std::fmt::Write;

use super::{
    charts::{WIDTH, names_width},
    numbers,
    svg::{Picture, Scale, escape},
};
use crate::results::v2::{Coupling, FaultEffect, FaultResult, Slice};

const RIGHT: f64 = WIDTH - 12.0;
/// Height of one strategy's band.
const BAND: f64 = 84.0;
const GAP: f64 = 18.0;

/// What an answer is to the caller, from the bottom of a bar to its top. The order is that of
/// harm, and the names are those of the legend and of the style sheet.
const OUTCOMES: [(&str, &str); 4] = [
    ("good", "2xx in time"),
    ("refused", "401 and other 4xx"),
    ("undecided", "5xx: cannot be decided"),
    ("broken", "no answer in time, or connection lost"),
];

/// The section on faults.
pub(super) fn section(coupling: &Coupling) -> String {
    let mut out = String::from(r#"<p class="legend">"#);
    for (class, label) in OUTCOMES {
        let _ = write!(out, r#"<span><i class="swatch {class}"></i>{label}</span>"#);
    }
    out.push_str(r#"<span><i class="swatch window"></i>the fault lasts</span></p>"#);
    for fault in &coupling.faults {
        let _ = write!(
            out,
            r#"<figure><figcaption><b>{}</b> {}</figcaption>{}{}</figure>"#,
            escape(&fault.title),
            escape(&fault.action),
            timeline(fault, coupling.slice_ms),
            table(fault)
        );
    }
    out
}

#[expect(
    clippy::cast_precision_loss,
    reason = "milliseconds and counts of one fault, placed on some hundred pixels"
)]
fn timeline(fault: &FaultResult, slice_ms: u64) -> String {
    let slices = || fault.effects.iter().flat_map(|effect| &effect.timeline);
    let end = slices()
        .map(|slice| slice.at_ms + slice_ms)
        .max()
        .unwrap_or(1);
    let tallest = slices()
        .map(|slice| slice.answers.values().sum())
        .max()
        .unwrap_or(1);
    let left_edge = names_width(fault.effects.iter().map(|effect| effect.strategy.as_str()));
    let bands = fault.effects.len() as f64;
    let bottom = 8.0 + bands * (BAND + GAP);
    let label = format!("{}: answers over time", fault.title);
    let mut picture = Picture::new(WIDTH, bottom + 22.0, &label);
    let x = Scale {
        values: (0.0, end as f64),
        pixels: (left_edge, RIGHT),
        logarithmic: false,
    };
    let (from, to) = (x.at(fault.began_ms as f64), x.at(fault.ended_ms as f64));
    picture.bar(
        "window",
        (from, 4.0),
        (to - from, bottom - GAP),
        "the fault lasts",
    );
    for (place, effect) in fault.effects.iter().enumerate() {
        let base = 8.0 + place as f64 * (BAND + GAP) + BAND;
        let y = Scale {
            values: (0.0, tallest as f64),
            pixels: (0.0, BAND),
            logarithmic: false,
        };
        picture.text(
            "name",
            (left_edge - 10.0, base - BAND / 2.0 + 5.0),
            "end",
            &effect.strategy,
        );
        picture.line("axis", (left_edge, base), (RIGHT, base));
        for slice in &effect.timeline {
            let left = x.at(slice.at_ms as f64);
            let width = x.at((slice.at_ms + slice_ms) as f64) - left;
            let mut top = base;
            for ((class, _), count) in OUTCOMES.iter().zip(outcomes(slice)) {
                let height = y.at(count as f64);
                top -= height;
                if count > 0 {
                    let size = ((width - 0.8).max(0.5), height);
                    picture.bar(class, (left, top), size, &described(slice));
                }
            }
        }
    }
    for tick in x.ticks() {
        let text = format!("{} s", numbers::significant(tick / 1_000.0));
        picture.text("tick", (x.at(tick), bottom + 8.0), "middle", &text);
    }
    picture.finish()
}

/// How many answers of each of [`OUTCOMES`].
fn outcomes(slice: &Slice) -> [u64; 4] {
    let of = |wanted: &dyn Fn(&str) -> bool| -> u64 {
        let matching = slice.answers.iter().filter(|(kind, _)| wanted(kind));
        matching.map(|(_, count)| count).sum()
    };
    let is_status = |kind: &str| kind.len() == 3 && kind.bytes().all(|byte| byte.is_ascii_digit());
    [
        of(&|kind| is_status(kind) && kind.starts_with('2')),
        of(&|kind| is_status(kind) && !kind.starts_with('2') && !kind.starts_with('5')),
        of(&|kind| is_status(kind) && kind.starts_with('5')),
        of(&|kind| !is_status(kind)),
    ]
}

fn described(slice: &Slice) -> String {
    let answers: Vec<String> = slice
        .answers
        .iter()
        .map(|(kind, count)| format!("{count} × {kind}"))
        .collect();
    format!(
        "at {}: {}",
        numbers::duration_ms(slice.at_ms),
        answers.join(", ")
    )
}

fn table(fault: &FaultResult) -> String {
    let mut out = String::from(
        "<div class=\"wide\"><table><thead><tr><th>while it lasts</th><th>offered</th><th>good</th><th>401</th>\
         <th>what went wrong</th><th>p99 before</th><th>p99 in the fault</th>\
         <th>decided again after</th><th>good again after</th></tr></thead><tbody>",
    );
    for effect in &fault.effects {
        row(&mut out, effect);
    }
    out + "</tbody></table></div>"
}

fn row(out: &mut String, effect: &FaultEffect) {
    let wrong: Vec<String> = effect
        .errors_in_fault
        .iter()
        .map(|error| format!("{} × {}", numbers::count(error.count), error.kind))
        .collect();
    let us = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), numbers::duration_us);
    let cells = [
        numbers::count(effect.offered_in_fault),
        numbers::percent(effect.availability_in_fault),
        numbers::count(effect.unauthorized_in_fault),
        if wrong.is_empty() {
            "nothing".to_owned()
        } else {
            wrong.join(", ")
        },
        us(effect.p99_before_us),
        us(effect.p99_in_fault_us),
        numbers::recovery(effect.recovery.decided_ms),
        numbers::recovery(effect.recovery.good_ms),
    ];
    let _ = write!(out, "<tr><th>{}</th>", escape(&effect.strategy));
    for cell in cells {
        let _ = write!(out, "<td>{}</td>", escape(&cell));
    }
    out.push_str("</tr>");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_answer_of_a_slice_is_drawn_once_as_what_it_is_to_the_caller() {
        let answers = [
            ("200", 10),
            ("204", 1),
            ("401", 2),
            ("503", 3),
            ("timeout", 4),
        ];
        let slice = Slice {
            at_ms: 0,
            answers: answers.map(|(kind, count)| (kind.to_owned(), count)).into(),
        };
        assert_eq!(outcomes(&slice), [11, 2, 3, 4]);
    }
}
