//! Circles among the children of a module.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use super::modules::{Id, Tree};

/// Modules with one parent that import each other in a circle.
pub(crate) struct Circle {
    /// Its modules in order; the last imports the first.
    pub(crate) modules: Vec<String>,
    /// All imports among the modules that are in circles with these: from, to, and where.
    arrows: BTreeMap<(String, String), BTreeSet<String>>,
}

impl fmt::Display for Circle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for module in &self.modules {
            write!(f, "{module} -> ")?;
        }
        writeln!(f, "{}", self.modules[0])?;
        for ((from, to), places) in &self.arrows {
            writeln!(f, "  {from} -> {to}")?;
            for place in places {
                writeln!(f, "    {place}")?;
            }
        }
        Ok(())
    }
}

/// Who imports whom among the children of one module, and where.
type Arrows = BTreeMap<(Id, Id), BTreeSet<String>>;

/// All circles of a crate: the shortest one for each set of modules that reach each other.
pub(crate) fn circles(tree: &Tree) -> Vec<Circle> {
    let mut levels: BTreeMap<Id, Arrows> = BTreeMap::new();
    for (from, module) in tree.modules.iter().enumerate() {
        for path in &module.paths {
            let Some(to) = tree.resolve(from, &path.segments) else {
                continue;
            };
            if let Some((parent, from, to)) = siblings(tree, from, to) {
                let path_text = path.segments.join("::");
                let place = format!("{}:{}: {path_text}", path.file, path.line);
                let arrows = levels.entry(parent).or_default();
                arrows.entry((from, to)).or_default().insert(place);
            }
        }
    }
    let levels = levels.into_values();
    levels
        .flat_map(|arrows| circles_among(tree, &arrows))
        .collect()
}

/// The parent and its two children that an edge leads between; nothing for an edge between a module
/// and its ancestor.
fn siblings(tree: &Tree, from: Id, to: Id) -> Option<(Id, Id, Id)> {
    let (from, to) = (line(tree, from), line(tree, to));
    let shared = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
    Some((from[shared - 1], *from.get(shared)?, *to.get(shared)?))
}

/// A module's ancestors from the root on, and itself.
fn line(tree: &Tree, id: Id) -> Vec<Id> {
    let mut line = vec![id];
    while let Some(parent) = tree.modules[line[line.len() - 1]].parent {
        line.push(parent);
    }
    line.reverse();
    line
}

fn circles_among(tree: &Tree, arrows: &Arrows) -> Vec<Circle> {
    let mut left: BTreeSet<Id> = arrows.keys().map(|(from, _)| *from).collect();
    let mut circles = Vec::new();
    while let Some(start) = left.pop_first() {
        let Some(first) = way_back(arrows, start) else {
            continue;
        };
        let reaches = |from: Id, to: Id| from == to || way(arrows, from, to).is_some();
        let together: BTreeSet<Id> = arrows
            .keys()
            .map(|(from, _)| *from)
            .filter(|other| reaches(start, *other) && reaches(*other, start))
            .collect();
        left.retain(|id| !together.contains(id));
        let ways = together.iter().filter_map(|id| way_back(arrows, *id));
        let shortest = ways.min_by_key(Vec::len).unwrap_or(first);
        let name = |id: &Id| tree.modules[*id].name.clone();
        let inside = arrows
            .iter()
            .filter(|((from, to), _)| together.contains(from) && together.contains(to));
        circles.push(Circle {
            modules: shortest.iter().map(name).collect(),
            arrows: inside
                .map(|((from, to), places)| ((name(from), name(to)), places.clone()))
                .collect(),
        });
    }
    circles
}

/// The shortest circle through a module.
fn way_back(arrows: &Arrows, start: Id) -> Option<Vec<Id>> {
    let next = arrows.keys().filter(|(from, _)| *from == start);
    let mut circle = next
        .filter_map(|(_, to)| way(arrows, *to, start))
        .min_by_key(Vec::len)?;
    circle.rotate_right(1);
    Some(circle)
}

/// The shortest way along the arrows, both ends included.
fn way(arrows: &Arrows, start: Id, end: Id) -> Option<Vec<Id>> {
    let mut ways = std::collections::VecDeque::from([vec![start]]);
    let mut seen = BTreeSet::from([start]);
    while let Some(way) = ways.pop_front() {
        let last = way[way.len() - 1];
        if last == end {
            return Some(way);
        }
        for (from, to) in arrows.keys() {
            if *from == last && seen.insert(*to) {
                ways.push_back([way.as_slice(), &[*to]].concat());
            }
        }
    }
    None
}
