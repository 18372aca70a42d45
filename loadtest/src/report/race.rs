//! What many requests do when their token runs out, and what that does to logins.

use maud::{Markup, html};

use super::{Section, numbers, text};
use crate::results::{Holders, Race, RefreshRace, Results};

pub(super) const SECTION: Section = Section {
    title: "When a token runs out",
    findings: |results| of(results, |race| race.races().map(sentence).collect()),
    text: |results| of(results, rendered_text),
    html: |results| html! { @if let Some(race) = &results.refresh_race { (section(race)) } },
};

fn of<T: Default>(results: &Results, made: impl FnOnce(&RefreshRace) -> T) -> T {
    results.refresh_race.as_ref().map(made).unwrap_or_default()
}

const HEAD: [&str; 9] = [
    "",
    "logins",
    "401",
    "refreshes",
    "refused",
    "unclear",
    "answered",
    "longest",
    "lost",
];

fn name(race: &Race) -> String {
    let holders = match race.holders {
        Holders::Each => "each renews",
        Holders::Shared => "one renews",
    };
    format!(
        "{holders}, grace {} s",
        numbers::grouped(race.grace_seconds)
    )
}

fn sentence(race: &Race) -> String {
    let all = u64::from(race.requests) * u64::from(race.logins);
    format!(
        "{} requests at once as their token runs out ({}): {} refreshes for {} requests, {} of them refused; \
         {} requests were answered in the end, at most {} later; logins lost: {} of {}.",
        race.requests,
        name(race),
        numbers::count(race.refreshes_sent),
        numbers::count(all),
        numbers::count(race.refused),
        numbers::count(race.recovered),
        numbers::duration_us(race.recovery_max_ms * 1e3),
        race.logins_lost,
        race.logins
    )
}

fn row(race: &Race) -> Vec<String> {
    vec![
        name(race),
        numbers::count(race.logins.into()),
        numbers::count(race.unauthorized),
        numbers::count(race.refreshes_sent),
        numbers::count(race.refused),
        numbers::count(race.undecided),
        numbers::count(race.recovered),
        numbers::duration_us(race.recovery_max_ms * 1e3),
        numbers::count(race.logins_lost.into()),
    ]
}

fn rendered_text(race: &RefreshRace) -> String {
    let rows: Vec<Vec<String>> = race.races().map(row).collect();
    format!(
        "{} requests at once when their token has run out\n{}",
        race.usual.requests,
        text::table(&HEAD.map(str::to_owned), &rows)
    )
}

fn section(race: &RefreshRace) -> Markup {
    html! {
        p {
            "Just after an access token ran out, " (race.usual.requests) " requests with it were sent at the \
             same time. Each was refused and needed another token; refresh tokens are good once. Either "
            "each request renews by itself, as tabs and processes do that do not know of each other, or one \
             renews and the others wait. A login is lost when its newest refresh token is good for nothing \
             afterwards."
        }
        div.wide { table {
            thead { tr { @for cell in HEAD { th { (cell) } } } }
            tbody { @for one in race.races() { tr {
                @for (place, cell) in row(one).iter().enumerate() {
                    @if place == 0 { th { (cell) } } @else { td { (cell) } }
                }
            } } }
        } }
        p.note {
            "With a grace, whoever presents a spent refresh token gets the successor that it has already; \
             without one, the second to present it is taken for a thief, and the login ends. Unclear: refreshes that \
             got no verdict and were asked for again."
        }
    }
}
