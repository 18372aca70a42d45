//! Scales, axes and the few shapes that the plots are made of.

use maud::{Markup, PreEscaped, html};

/// From values to pixels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    /// Smallest and largest value.
    pub(super) values: (f64, f64),
    /// Their places.
    pub(super) pixels: (f64, f64),
    /// Equal ratios get equal distances.
    pub(super) logarithmic: bool,
}

impl Scale {
    /// The place of a value; values outside are placed at the nearer end.
    pub(super) fn at(&self, value: f64) -> f64 {
        let (low, high) = self.values;
        let share = if self.logarithmic {
            (value.max(low) / low).ln() / (high / low).ln()
        } else {
            (value - low) / (high - low)
        };
        let share = if share.is_finite() {
            share.clamp(0.0, 1.0)
        } else {
            0.0
        };
        self.pixels.0 + share * (self.pixels.1 - self.pixels.0)
    }

    /// Round values for the axis: five or so on a linear scale, 1-2-5 on a logarithmic one.
    pub(super) fn ticks(&self) -> Vec<f64> {
        let (low, high) = self.values;
        if self.logarithmic {
            let decades = (high / low).log10();
            let steps: &[f64] = if decades > 3.0 {
                &[1.0]
            } else if decades > 1.2 {
                &[1.0, 2.0, 5.0]
            } else {
                &[1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0]
            };
            let first = low.log10().floor();
            let decades =
                std::iter::successors(Some(10f64.powf(first)), |decade| Some(decade * 10.0))
                    // Below what a number can be, ten times as much is still nothing.
                    .take_while(|decade| *decade > 0.0 && *decade <= high);
            return decades
                .flat_map(|decade| steps.iter().map(move |step| decade * step))
                .filter(|tick| (low..=high).contains(tick))
                .collect();
        }
        let step = round_step((high - low) / 5.0);
        std::iter::successors(Some((low / step).ceil() * step), |tick| Some(tick + step))
            .take_while(|tick| *tick <= high + step * 1e-6)
            .collect()
    }
}

/// The next 1, 2 or 5 times a power of ten at or above `wanted`.
pub(super) fn round_step(wanted: f64) -> f64 {
    if !wanted.is_finite() || wanted <= 0.0 {
        return 1.0;
    }
    let decade = 10f64.powf(wanted.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .find(|step| step * decade >= wanted * 0.999_999);
    step.unwrap_or(10.0) * decade
}

/// A picture under construction.
pub(super) struct Picture {
    body: String,
    width: f64,
    height: f64,
    label: String,
}

impl Picture {
    /// An empty picture; `label` is what it shows, for those who cannot see it.
    pub(super) fn new(width: f64, height: f64, label: &str) -> Self {
        Self {
            body: String::new(),
            width,
            height,
            label: label.to_owned(),
        }
    }

    fn add(&mut self, shape: Markup) {
        self.body += &shape.0;
    }

    /// A straight line.
    pub(super) fn line(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        self.add(html! {
            line class=(class) x1=(px(from.0)) y1=(px(from.1)) x2=(px(to.0)) y2=(px(to.1)) {}
        });
    }

    /// A rectangle with a title that shows on hovering.
    pub(super) fn bar(&mut self, class: &str, at: (f64, f64), size: (f64, f64), title: &str) {
        let (width, height) = (size.0.max(0.0), size.1.max(0.0));
        self.add(html! {
            rect class=(class) x=(px(at.0)) y=(px(at.1)) width=(px(width)) height=(px(height)) {
                @if !title.is_empty() { title { (title) } }
            }
        });
    }

    /// A line through points.
    pub(super) fn path(&mut self, class: &str, points: &[(f64, f64)]) {
        self.add(html! { polyline class=(class) points=(listed(points)) {} });
    }

    /// The area within points.
    pub(super) fn area(&mut self, class: &str, points: &[(f64, f64)]) {
        self.add(html! { polygon class=(class) points=(listed(points)) {} });
    }

    /// A dot with a title that shows on hovering.
    pub(super) fn dot(&mut self, class: &str, at: (f64, f64), title: &str) {
        self.add(html! {
            circle class=(class) cx=(px(at.0)) cy=(px(at.1)) r="4" { title { (title) } }
        });
    }

    /// A mark whose shape goes with `index`, so that arms can be told without their colours.
    pub(super) fn mark(&mut self, class: &str, index: usize, at: (f64, f64), title: &str) {
        let (x, y) = at;
        let corners: &[(f64, f64)] = match index % 5 {
            0 => return self.dot(class, at, title),
            1 => &[(-3.8, -3.8), (3.8, -3.8), (3.8, 3.8), (-3.8, 3.8)],
            2 => &[(0.0, -5.0), (4.8, 3.6), (-4.8, 3.6)],
            3 => &[(0.0, -5.4), (5.4, 0.0), (0.0, 5.4), (-5.4, 0.0)],
            _ => &[(0.0, 5.0), (4.8, -3.6), (-4.8, -3.6)],
        };
        let corners: Vec<_> = corners.iter().map(|(dx, dy)| (x + dx, y + dy)).collect();
        self.add(html! {
            polygon class=(class) points=(listed(&corners)) { title { (title) } }
        });
    }

    /// Text; `anchor` is `start`, `middle` or `end`.
    pub(super) fn text(&mut self, class: &str, at: (f64, f64), anchor: &str, text: &str) {
        self.add(html! {
            text class=(class) x=(px(at.0)) y=(px(at.1)) text-anchor=(anchor) { (text) }
        });
    }

    /// The finished picture.
    pub(super) fn finish(self) -> Markup {
        html! {
            svg viewBox={ "0 0 " (self.width) " " (self.height) } role="img" aria-label=(self.label) {
                (PreEscaped(self.body))
            }
        }
    }
}

/// A tenth of a pixel is fine enough.
fn px(value: f64) -> String {
    format!("{value:.1}")
}

fn listed(points: &[(f64, f64)]) -> String {
    let points: Vec<String> = points
        .iter()
        .map(|(x, y)| format!("{x:.1},{y:.1}"))
        .collect();
    points.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_logarithmic_scale_gives_equal_ratios_equal_distances() {
        let scale = Scale {
            values: (10.0, 1_000.0),
            pixels: (0.0, 200.0),
            logarithmic: true,
        };
        assert!((scale.at(100.0) - 100.0).abs() < 1e-9);
        assert_eq!(
            scale.ticks(),
            [10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1_000.0]
        );
    }

    #[test]
    fn a_value_next_to_nothing_has_an_end_of_ticks() {
        let scale = Scale {
            values: (5e-324, 1_000.0),
            pixels: (0.0, 200.0),
            logarithmic: true,
        };
        assert!(scale.ticks().len() < 400);
    }

    #[test]
    fn a_linear_scale_has_round_ticks_and_survives_an_empty_range() {
        let scale = |low, high| Scale {
            values: (low, high),
            pixels: (0.0, 100.0),
            logarithmic: false,
        };
        assert_eq!(scale(0.0, 4.7).ticks(), [0.0, 1.0, 2.0, 3.0, 4.0]);
        assert!(scale(3.0, 3.0).at(3.0).abs() < 1e-9);
        assert!(scale(3.0, 3.0).ticks().len() <= 1);
    }
}
