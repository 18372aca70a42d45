//! The controls of the page: for each thing that is asked a slider through round values, and a field for any
//! other.

use maud::{Markup, html};

use crate::model::{INPUTS, Input};

/// All of them; the script makes them work.
pub(super) fn rendered() -> Markup {
    let (further, usual): (Vec<&Input>, Vec<&Input>) = INPUTS.iter().partition(|one| one.further);
    html! {
        form.controls autocomplete="off" {
            div.grid { @for input in usual { (control(input)) } }
            details.further {
                summary { "More that is given: how busy a process may be, caches, logins, shards" }
                div.grid { @for input in further { (control(input)) } }
            }
        }
    }
}

fn control(input: &Input) -> Markup {
    let field = format!("capacity-{}", input.id);
    let help = format!("{field}-help");
    html! {
        @if input.stops.is_empty() {
            div.control.switch {
                label for=(field) {
                    input type="checkbox" id=(field) data-input=(input.id) aria-describedby=(help);
                    span { (input.label) }
                }
                p id=(help) { (input.help) }
            }
        } @else {
            div.control {
                label for=(field) { (input.label) }
                input type="text" id=(field) data-input=(input.id) aria-describedby=(help)
                    spellcheck="false" value=(input.written(input.default));
                input type="range" data-slider=(input.id) min="0" max=(input.stops.len() - 1) step="1"
                    value=(stop(input)) aria-label=(input.label)
                    aria-valuetext=(input.written(input.default));
                p id=(help) { (input.help) }
            }
        }
    }
}

/// Where the slider stands for the default.
fn stop(input: &Input) -> usize {
    let below = |stop: &&f64| **stop < input.default;
    input.stops.iter().take_while(below).count()
}
