//! Ratios with their intervals, one below the other, around 1.

use maud::{Markup, html};

use crate::{
    report::{
        charts::{HALF, names_width, ratio_ticks},
        conditions::{candidates, headlines},
        svg::{Picture, Scale},
    },
    results::{Comparison, Conditions, Results},
};

const ROW: f64 = 24.0;

/// All metrics of one candidate in one plot; of more, one plot for each headline metric.
pub(super) fn forests(results: &Results, load: &Conditions) -> Markup {
    let of = |wanted: &dyn Fn(&Comparison) -> bool| -> Vec<&Comparison> {
        let all = results.comparisons.iter();
        all.filter(|one| one.conditions == *load && drawable(one) && wanted(one))
            .filter(|one| candidates(results).contains(&one.candidate.as_str()))
            .collect()
    };
    let plots: Vec<(String, Vec<(String, &Comparison)>)> = if candidates(results).len() < 2 {
        let rows = of(&|_| true).into_iter();
        let named = rows.map(|one| (super::label(results, &one.metric), one));
        vec![(String::new(), named.collect())]
    } else {
        headlines(results)
            .into_iter()
            .map(|metric| {
                let rows = of(&|one| one.metric == metric.id).into_iter();
                let named = rows.map(|one| (one.candidate.clone(), one));
                (metric.label, named.collect())
            })
            .collect()
    };
    html! {
        div.plots { @for (title, rows) in plots.iter().filter(|(_, rows)| !rows.is_empty()) {
            figure {
                @if !title.is_empty() { figcaption { b { (title) } } }
                (forest(rows))
            }
        } }
    }
}

fn drawable(one: &Comparison) -> bool {
    one.ci_low > 0.0 && one.ci_high.is_finite() && one.ratio.is_finite()
}

fn forest(rows: &[(String, &Comparison)]) -> Markup {
    let all = || rows.iter().map(|(_, one)| one);
    let lowest = |one: &&Comparison| one.ci_low.min(one.floor_low.unwrap_or(1.0));
    let highest = |one: &&Comparison| one.ci_high.max(one.floor_high.unwrap_or(1.0));
    let low = all().map(lowest).fold(0.96, f64::min) / 1.03;
    let high = all().map(highest).fold(1.04, f64::max) * 1.03;
    let left = names_width(rows.iter().map(|(name, _)| name.as_str())).min(190.0);
    let bottom = 4.0 + rows.len() as f64 * ROW;
    let mut picture = Picture::new(HALF, bottom + 36.0, "Ratios with their intervals");
    let x = Scale {
        values: (low, high),
        pixels: (left, HALF - 16.0),
        logarithmic: true,
    };
    for tick in ratio_ticks(low, high) {
        picture.line("grid", (x.at(tick), 4.0), (x.at(tick), bottom));
        let text = tick.to_string();
        picture.text("tick", (x.at(tick), bottom + 15.0), "middle", &text);
    }
    for (place, (name, one)) in rows.iter().enumerate() {
        let middle = 4.0 + (place as f64 + 0.5) * ROW;
        if let (Some(low), Some(high)) = (one.floor_low, one.floor_high) {
            let (from, to) = (x.at(low), x.at(high));
            let size = (to - from, ROW - 4.0);
            picture.bar("floor", (from, middle - ROW / 2.0 + 2.0), size, "the floor");
        }
        picture.text("name", (left - 8.0, middle + 4.5), "end", name);
        let class = super::class(one);
        let (from, to) = ((x.at(one.ci_low), middle), (x.at(one.ci_high), middle));
        picture.line(&format!("interval {class}"), from, to);
        picture.dot(
            &format!("estimate {class}"),
            (x.at(one.ratio), middle),
            &one.reading,
        );
    }
    picture.line("one", (x.at(1.0), 4.0), (x.at(1.0), bottom));
    let (lower, higher) = ((left, bottom + 31.0), (HALF - 16.0, bottom + 31.0));
    picture.text("tick", lower, "start", "← lower than the baseline");
    picture.text("tick", higher, "end", "higher →");
    picture.finish()
}
