//! How to read the page.

use maud::{Markup, html};

use super::Section;
use crate::results::Results;

pub(super) const SECTION: Section = Section {
    title: "How to read it",
    findings: |_| Vec::new(),
    text: |_| String::new(),
    html: rendered_html,
};

fn rendered_html(results: &Results) -> Markup {
    html! {
        p {
            "The load is open: requests are sent when they are due, not when the last answer came, so a \
             system that stalls cannot hide its stall. The arms take turns in short windows at the same \
             rate, so that what drifts on the machine meets all of them. Intervals are over blocks and \
             not over requests, because requests of one window are not independent of each other."
        }
        p {
            "The " b { "knee" } " is the highest rate that the slower arm held. A load is a share of it, \
             and the same rate for every arm: what is cheaper at a fifth of it need not be at four \
             fifths, since a server that has more to do does more at once."
        }
        @if let Some(floor) = &results.plan.floor_arm {
            p {
                "The " b { "floor" } " is what the baseline shows against itself (" (floor) "): no \
                 interval is narrower, and nothing smaller is called a difference."
            }
        }
        p {
            i { "higher" } " and " i { "lower" } ": the interval leaves 1 out. " i { "equal" }
            ": it lies within the margin that was called equivalent beforehand. " i { "unclear" }
            ": this run cannot tell, and a difference of the size in the column " i { "finds" }
            " would have been found in four of five such runs. " i { "too few samples" }
            ": a quantile needs a hundred requests above it."
        }
        p {
            "Generator, gateway, services and Redis share this machine's processors unless the \
             circumstances below say otherwise. The ratio between arms is then worth more than any \
             absolute figure. Network distance, which a session lookup pays and a signature check does \
             not, is in the section "
            i { "Distance" }
            " alone, where there is one."
        }
    }
}
