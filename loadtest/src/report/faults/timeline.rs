//! A fault as a timeline: the answers of every strategy before, during and after it.

use maud::{Markup, html};

use crate::{
    report::{
        charts::{WIDTH, names_width},
        numbers,
        svg::{Picture, Scale},
    },
    results::{
        Slice,
        coupling::{Cell, Coupling, FaultInfo, Form},
    },
};

const RIGHT: f64 = WIDTH - 12.0;
/// Height of one strategy's band.
const BAND: f64 = 64.0;
const GAP: f64 = 16.0;

/// What an answer is to the caller, from the bottom of a bar to its top. The order is that of
/// harm, and the names are those of the legend and of the style sheet.
pub(super) const OUTCOMES: [(&str, &str); 4] = [
    ("good", "2xx in time"),
    ("refused", "401 and other 4xx"),
    ("undecided", "5xx: cannot be decided"),
    ("broken", "no answer in time, or connection lost"),
];

/// The first repetition of a fault, as a timeline; alone only where it was not made with all at once.
pub(super) fn figure(coupling: &Coupling, fault: &FaultInfo) -> Markup {
    let of = |form| -> Vec<&Cell> {
        let cells = coupling.cells.iter();
        cells
            .filter(|cell| cell.fault == fault.id && cell.form == form)
            .collect()
    };
    let together = of(Form::AllAtOnce);
    let cells = if together.is_empty() {
        of(Form::Alone)
    } else {
        together
    };
    html! {
        figure {
            figcaption { b { (fault.title) } " " (fault.action) }
            div.scroll { (timeline(fault, &cells, coupling.slice_ms)) }
        }
    }
}

fn timeline(fault: &FaultInfo, cells: &[&Cell], slice_ms: u64) -> Markup {
    let slices = || cells.iter().flat_map(|cell| &cell.timeline);
    let end = slices()
        .map(|slice| slice.at_ms + slice_ms)
        .max()
        .unwrap_or(1);
    let tallest = slices()
        .map(|slice| slice.answers.values().sum())
        .max()
        .unwrap_or(1);
    let left_edge = names_width(cells.iter().map(|cell| cell.strategy.as_str()));
    let bands = cells.len() as f64;
    let bottom = 8.0 + bands * (BAND + GAP);
    let label = format!("{}: answers over time", fault.title);
    let mut picture = Picture::new(WIDTH, bottom + 22.0, &label);
    let x = Scale {
        values: (0.0, end as f64),
        pixels: (left_edge, RIGHT),
        logarithmic: false,
    };
    if let Some(first) = cells.first().and_then(|cell| cell.repetitions.first()) {
        let (from, to) = (x.at(first.began_ms as f64), x.at(first.ended_ms as f64));
        let place = (from, 4.0);
        picture.bar(
            "window",
            place,
            (to - from, bottom - GAP),
            "the fault lasts",
        );
    }
    for (place, cell) in cells.iter().enumerate() {
        let base = 8.0 + place as f64 * (BAND + GAP) + BAND;
        let y = Scale {
            values: (0.0, tallest as f64),
            pixels: (0.0, BAND),
            logarithmic: false,
        };
        let name = (left_edge - 10.0, base - BAND / 2.0 + 5.0);
        picture.text("name", name, "end", &cell.strategy);
        picture.line("axis", (left_edge, base), (RIGHT, base));
        for slice in &cell.timeline {
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
