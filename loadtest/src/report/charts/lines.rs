//! Lines over an axis: intervals as bands, a mark for each measured point, the name beside its end.

use maud::Markup;

use super::{HALF, colour, names_width};
use crate::{
    report::svg::{Picture, Scale},
    results::Estimate,
};

const LEFT: f64 = 58.0;
/// Height of the area within the axes.
const AREA: f64 = 198.0;
/// Room below it, for ticks of two lines and the title.
const BELOW: f64 = 50.0;
/// Height of a name beside a line.
const NAME: f64 = 13.5;
/// More lines than this have their intervals as strokes, since bands would hide each other.
const BANDS: usize = 4;

/// What is drawn.
pub(in crate::report) struct Plot {
    /// What it shows, for those who cannot see it.
    pub(in crate::report) label: String,
    /// To the right.
    pub(in crate::report) x: Axis,
    /// Upwards.
    pub(in crate::report) y: Axis,
    /// One for each arm.
    pub(in crate::report) lines: Vec<Line>,
    /// Where nothing is called a difference: x, low, high.
    pub(in crate::report) floor: Vec<(f64, f64, f64)>,
    /// Where two arms are equal.
    pub(in crate::report) crossings: Vec<Crossing>,
}

/// A place on the axis where two arms are equal.
pub(in crate::report) struct Crossing {
    /// Number of the arm whose colour it has.
    pub(in crate::report) index: usize,
    pub(in crate::report) at: Estimate,
    /// What stands beside its stroke.
    pub(in crate::report) words: String,
}

/// An axis.
pub(in crate::report) struct Axis {
    /// What it is of, with the unit.
    pub(in crate::report) title: String,
    /// Smallest and largest value.
    pub(in crate::report) values: (f64, f64),
    /// Equal ratios get equal distances.
    pub(in crate::report) logarithmic: bool,
    /// Of ratios: 1 has a line of its own.
    pub(in crate::report) around_one: bool,
    /// Values with what is written at them.
    pub(in crate::report) ticks: Vec<(f64, String)>,
}

/// The measured points of one arm.
pub(in crate::report) struct Line {
    /// Stands beside its end.
    pub(in crate::report) name: String,
    /// Number of the arm, for colour, dashes and marks.
    pub(in crate::report) index: usize,
    /// Further classes, such as `thin`.
    pub(in crate::report) class: &'static str,
    /// From left to right.
    pub(in crate::report) points: Vec<Mark>,
}

/// One measured point.
pub(in crate::report) struct Mark {
    pub(in crate::report) x: f64,
    pub(in crate::report) y: f64,
    /// Its interval.
    pub(in crate::report) interval: Option<(f64, f64)>,
    /// What it is, when asked for; a point without a title is drawn as part of the line only.
    pub(in crate::report) title: String,
    /// Not to be relied on.
    pub(in crate::report) faint: bool,
}

impl Axis {
    /// An axis for a logarithmic or a linear scale over all of `values`, its ticks written by `text`.
    /// A linear one begins at 0; what spans more than a factor of six is better seen as ratios.
    pub(in crate::report) fn over(
        title: &str,
        values: impl Iterator<Item = f64> + Clone,
        text: impl Fn(f64) -> String,
    ) -> Self {
        let usable = values.filter(|value| value.is_finite() && *value > 0.0);
        let low = usable.clone().fold(f64::INFINITY, f64::min);
        let high = usable.fold(0.0, f64::max);
        let logarithmic = low.is_finite() && high > low * 6.0;
        let values = match (logarithmic, high > 0.0) {
            (true, _) => (low * 0.8, high * 1.25),
            (false, true) => (0.0, high * 1.1),
            (false, false) => (0.0, 1.0),
        };
        if logarithmic {
            Self::of(format!("{title}, logarithmic"), values, true, text)
        } else {
            Self::of(title.to_owned(), values, false, text)
        }
    }

    /// A linear axis from 0 to the largest of `values`, however small the smallest is: what is in
    /// proportion must look so.
    pub(in crate::report) fn from_zero(
        title: &str,
        values: impl Iterator<Item = f64>,
        text: impl Fn(f64) -> String,
    ) -> Self {
        let high = values.filter(|value| value.is_finite()).fold(0.0, f64::max);
        let high = if high > 0.0 { high * 1.08 } else { 1.0 };
        Self::of(title.to_owned(), (0.0, high), false, text)
    }

    fn of(
        title: String,
        values: (f64, f64),
        logarithmic: bool,
        text: impl Fn(f64) -> String,
    ) -> Self {
        let scale = Scale {
            values,
            pixels: (0.0, 1.0),
            logarithmic,
        };
        let ticks = scale.ticks().into_iter().map(|tick| (tick, text(tick)));
        Self {
            title,
            values,
            logarithmic,
            around_one: false,
            ticks: ticks.collect(),
        }
    }

    fn scale(&self, pixels: (f64, f64)) -> Scale {
        Scale {
            values: self.values,
            pixels,
            logarithmic: self.logarithmic,
        }
    }
}

impl Plot {
    /// Draws it.
    pub(in crate::report) fn draw(&self) -> Markup {
        let named = || self.lines.iter().filter(|line| !line.name.is_empty());
        let names = names_width(named().map(|line| line.name.as_str()));
        let (x, y) = (
            self.x.scale((LEFT, HALF - names.min(200.0))),
            self.y.scale((self.top() + AREA, self.top())),
        );
        let mut picture = Picture::new(HALF, self.top() + AREA + BELOW, &self.label);
        self.floor(&mut picture, &x, &y);
        self.axes(&mut picture, &x, &y);
        self.crossings(&mut picture, &x, &y);
        let bands = self.lines.len() <= BANDS;
        for line in &self.lines {
            line.intervals(&mut picture, &x, &y, bands);
        }
        for line in &self.lines {
            line.draw(&mut picture, &x, &y);
        }
        self.names(&mut picture, &x, &y);
        picture.finish()
    }

    /// Below the title, and a line for each place where a sign changes.
    fn top(&self) -> f64 {
        26.0 + self.crossings.len() as f64 * NAME
    }

    fn axes(&self, picture: &mut Picture, x: &Scale, y: &Scale) {
        let (right, (bottom, top)) = (x.pixels.1, y.pixels);
        picture.text("tick", (4.0, 13.0), "start", &self.y.title);
        for (value, text) in &self.y.ticks {
            let at = y.at(*value);
            picture.line("grid", (LEFT, at), (right, at));
            picture.text("tick", (LEFT - 6.0, at + 4.0), "end", text);
        }
        for (value, text) in &self.x.ticks {
            let at = x.at(*value);
            picture.line("grid", (at, top), (at, bottom));
            for (text, below) in text.split('\n').zip([16.0, 29.0]) {
                picture.text("tick", (at, bottom + below), "middle", text);
            }
        }
        picture.line("axis", (LEFT, bottom), (right, bottom));
        let middle = (f64::midpoint(LEFT, right), bottom + BELOW - 5.0);
        picture.text("tick", middle, "middle", &self.x.title);
        if self.y.around_one {
            picture.line("one", (LEFT, y.at(1.0)), (right, y.at(1.0)));
        }
    }

    fn floor(&self, picture: &mut Picture, x: &Scale, y: &Scale) {
        let upper = self
            .floor
            .iter()
            .map(|(at, _, high)| (x.at(*at), y.at(*high)));
        let lower = self
            .floor
            .iter()
            .map(|(at, low, _)| (x.at(*at), y.at(*low)));
        let points: Vec<_> = upper.chain(lower.rev()).collect();
        if !points.is_empty() {
            picture.area("floor", &points);
        }
    }

    /// A stroke where two are equal, its interval as a band, and the place in words above them.
    fn crossings(&self, picture: &mut Picture, x: &Scale, y: &Scale) {
        let (bottom, top) = y.pixels;
        for (place, crossing) in self.crossings.iter().enumerate() {
            let at = x.at(crossing.at.value);
            if let Some((low, high)) = super::ends(&crossing.at) {
                let (from, to) = (x.at(low), x.at(high));
                let size = (to - from, bottom - top);
                picture.bar(&colour("band fill", crossing.index), (from, top), size, "");
            }
            let base = 26.0 + (place as f64 + 1.0) * NAME - 3.0;
            let class = colour("crossing line", crossing.index);
            picture.line(&class, (at, base - 9.0), (at, bottom));
            // Beside the stroke, on the side with more room.
            let (from, anchor) = if at > f64::midpoint(x.pixels.0, x.pixels.1) {
                (at - 5.0, "end")
            } else {
                (at + 5.0, "start")
            };
            let class = colour("label", crossing.index);
            picture.text(&class, (from, base), anchor, &crossing.words);
        }
    }

    /// The names at the ends of the lines, moved apart where they would cover each other.
    fn names(&self, picture: &mut Picture, x: &Scale, y: &Scale) {
        let ends = self.lines.iter().filter(|line| !line.name.is_empty());
        let mut ends: Vec<(f64, &Line)> = ends
            .filter_map(|line| Some((y.at(line.points.last()?.y) + 4.0, line)))
            .collect();
        ends.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut above = f64::NEG_INFINITY;
        for (at, _) in &mut ends {
            *at = at.max(above + NAME);
            above = *at;
        }
        let mut below = y.pixels.0 + NAME;
        for (at, _) in ends.iter_mut().rev() {
            *at = at.min(below - NAME);
            below = *at;
        }
        for (at, line) in ends {
            let place = (x.pixels.1 + 9.0, at);
            picture.text(&colour("label", line.index), place, "start", &line.name);
        }
    }
}

impl Line {
    fn intervals(&self, picture: &mut Picture, x: &Scale, y: &Scale, bands: bool) {
        let known: Vec<(f64, f64, f64)> = self
            .points
            .iter()
            .filter_map(|point| {
                let (low, high) = point.interval?;
                Some((x.at(point.x), y.at(low), y.at(high)))
            })
            .collect();
        if bands && known.len() > 1 {
            let upper = known.iter().map(|(at, _, high)| (*at, *high));
            let lower = known.iter().rev().map(|(at, low, _)| (*at, *low));
            let points: Vec<_> = upper.chain(lower).collect();
            picture.area(&colour("band fill", self.index), &points);
            return;
        }
        for (at, low, high) in known {
            picture.line(&colour("stroke", self.index), (at, low), (at, high));
        }
    }

    fn draw(&self, picture: &mut Picture, x: &Scale, y: &Scale) {
        let place = |point: &Mark| (x.at(point.x), y.at(point.y));
        let points: Vec<_> = self.points.iter().map(place).collect();
        if points.len() > 1 {
            let class = format!("line {}", self.class);
            picture.path(&colour(class.trim_end(), self.index), &points);
        }
        for point in self.points.iter().filter(|point| !point.title.is_empty()) {
            let class = if point.faint { "dot open" } else { "dot" };
            picture.mark(
                &colour(class, self.index),
                self.index,
                place(point),
                &point.title,
            );
        }
    }
}
