//! What each fault does to each strategy, beside what the design predicts: a matrix, what surprised,
//! and every fault as a timeline.

mod timeline;

use maud::{Markup, html};

use super::{Section, numbers, text};
use crate::results::coupling::{Cell, Coupling, FaultInfo, Form, Interval, NewReplica};
use timeline::{OUTCOMES, figure};

pub(super) const SECTION: Section = Section {
    title: "When a part is missing",
    findings: |results| results.coupling.as_ref().map(findings).unwrap_or_default(),
    text: |results| results.coupling.as_ref().map(matrices).unwrap_or_default(),
    html: |results| html! { @if let Some(coupling) = &results.coupling { (section(coupling)) } },
};

/// The matrix for a terminal, and what it says.
pub(super) fn terminal(coupling: &Coupling) -> String {
    let sentences = findings(coupling);
    let sentences = sentences
        .iter()
        .map(|sentence| text::wrapped("- ", sentence));
    format!("{}\n{}", matrices(coupling), sentences.collect::<String>())
}

/// The tables for a terminal.
fn matrices(coupling: &Coupling) -> String {
    let mut out = String::new();
    for form in forms(coupling) {
        let made = |fault: &&FaultInfo| is_made(coupling, fault, form);
        out += &text::wrapped("", &heading(coupling, form));
        out += &matrix_text(coupling, form, made, &|cell| {
            let mark = if cell.as_predicted { ' ' } else { '!' };
            format!("{}{mark}", numbers::percent(cell.availability.mean))
        });
        out += "\nGood again after the outage (decided, where the sessions are lost)\n";
        out += &matrix_text(coupling, form, made, &recovery);
        let slow = |fault: &&FaultInfo| {
            let mut cells = coupling.cells.iter();
            cells.any(|cell| {
                cell.round_trips.is_some() && cell.fault == fault.id && cell.form == form
            })
        };
        if coupling.faults.iter().any(|fault| slow(&fault)) {
            out += "\nRound trips by which the median is later\n";
            out += &matrix_text(coupling, form, slow, &|cell| {
                cell.round_trips.as_ref().map_or("–".to_owned(), told_trips)
            });
        }
    }
    out + &new_replicas_text(&coupling.new_replicas)
}

fn heading(coupling: &Coupling, form: Form) -> String {
    let outlasting = coupling.short_lives.as_ref().map(|lives| {
        format!(
            " (where it outlasts the tokens: {} requests/s, {} s)",
            numbers::grouped(lives.rate_per_second),
            lives.outage_seconds
        )
    });
    format!(
        "Available in the fault, {}: {} requests/s each, {} × {} s{}; good: 2xx within {}; ! not as predicted",
        of_form(form),
        numbers::grouped(coupling.rate_per_second),
        coupling.repetitions,
        numbers::significant(coupling.fault_ms as f64 / 1e3),
        outlasting.unwrap_or_default(),
        numbers::duration_ms(coupling.deadline_ms),
    )
}

fn of_form(form: Form) -> &'static str {
    match form {
        Form::AllAtOnce => "all strategies at once",
        Form::Alone => "each strategy alone",
    }
}

fn matrix_text(
    coupling: &Coupling,
    form: Form,
    wanted: impl Fn(&&FaultInfo) -> bool,
    told: &dyn Fn(&Cell) -> String,
) -> String {
    let strategies = strategies(coupling);
    let row = |fault: &FaultInfo| {
        let cell = |strategy: &String| {
            let cell = find(coupling, &fault.id, strategy, form);
            cell.map_or_else(|| "–".to_owned(), told)
        };
        let cells = strategies.iter().map(cell);
        std::iter::once(fault.title.clone()).chain(cells).collect()
    };
    let head: Vec<String> = std::iter::once(String::new())
        .chain(strategies.iter().cloned())
        .collect();
    let rows: Vec<Vec<String>> = coupling.faults.iter().filter(wanted).map(row).collect();
    text::tables(&head, &rows)
}

fn new_replicas_text(found: &[NewReplica]) -> String {
    if found.is_empty() {
        return String::new();
    }
    let row = |one: &NewReplica| {
        let ms = |found: &Option<Interval>| found.as_ref().map_or("–".to_owned(), told_ms);
        let cold = one.cold_requests;
        vec![
            format!("{} ({})", one.strategy, one.process),
            told_ms(&one.first_good_ms),
            ms(&one.warm_ms),
            cold.map_or("–".to_owned(), |one| numbers::significant(one.mean)),
        ]
    };
    let head = [
        "A new process",
        "first 200",
        "memory filled",
        "cold requests",
    ];
    let rows: Vec<Vec<String>> = found.iter().map(row).collect();
    format!("\n{}", text::table(&head.map(str::to_owned), &rows))
}

/// One sentence for the whole, and one for each surprise.
pub(super) fn findings(coupling: &Coupling) -> Vec<String> {
    let cells = &coupling.cells;
    let surprising: Vec<&Cell> = cells.iter().filter(|cell| !cell.as_predicted).collect();
    let undue: u64 = cells.iter().map(|cell| cell.unauthorized_in_fault).sum();
    let mut found = vec![format!(
        "Faults: {} of {} cells came out as the design predicts; {} × 401 while nobody could know.",
        cells.len() - surprising.len(),
        cells.len(),
        numbers::count(undue)
    )];
    for cell in surprising {
        found.push(format!(
            "Not as predicted: {}, {} ({}): {}; predicted: {}.",
            title(coupling, &cell.fault),
            cell.strategy,
            of_form(cell.form),
            cell.surprises.join("; "),
            cell.predicted
        ));
    }
    found
}

/// The section of the page.
pub(super) fn section(coupling: &Coupling) -> Markup {
    let proxy = &coupling.proxy;
    html! {
        p {
            "Each fault was made " (coupling.repetitions) " times in a random order under "
            (numbers::grouped(coupling.rate_per_second)) " requests/s per strategy, and lasted "
            (numbers::duration_ms(coupling.fault_ms)) ". A cell says how much was good while it lasted (2xx within "
            (numbers::duration_ms(coupling.deadline_ms)) ", with its 95 % interval over the repetitions), what the \
             design predicts, and whether that is what came."
        }
        @for form in forms(coupling) { (matrix(coupling, form)) }
        (new_replicas(&coupling.new_replicas))
        p.note {
            "Links between the parts lead through a proxy in the load generator. Asked for a round trip of "
            (numbers::significant(proxy.round_trip_ms)) " ms it took " (numbers::duration_us(proxy.p50_us))
            " (p50) and " (numbers::duration_us(proxy.p99_us)) " (p99) more, with the sockets' own time."
            @if let Some(lives) = &coupling.short_lives {
                " The outage that outlasts the tokens is made in a system of its own: access tokens live for "
                (lives.access_token_seconds) " s and " (lives.leeway_seconds) " s more, exchanged ones for "
                (lives.exchange_seconds) " s, the outage is " (lives.outage_seconds) " s; " (lives.clients)
                " clients per strategy send " (lives.rate_per_second) " requests/s, renew a token after "
                (numbers::percent(lives.refresh_at)) " of its life or when it is refused, and after a failure wait "
                (lives.first_pause_ms) " ms, twice as long each further time, at most "
                (lives.longest_pause_ms) " ms."
            }
        }
        p.legend {
            @for (class, label) in OUTCOMES { span { i.swatch.(class) {} (label) } }
            span { i.swatch.window {} "the fault lasts" }
        }
        @for fault in &coupling.faults { (figure(coupling, fault)) }
    }
}

fn matrix(coupling: &Coupling, form: Form) -> Markup {
    let strategies = strategies(coupling);
    html! {
        h3 { "Availability, " (of_form(form)) }
        div.wide { table.matrix {
            thead { tr { th { "fault" } @for strategy in &strategies { th.words { (strategy) } } } }
            tbody {
                @for fault in coupling.faults.iter().filter(|fault| is_made(coupling, fault, form)) { tr {
                    th title=(fault.action) { (fault.title) }
                    @for strategy in &strategies {
                        @match find(coupling, &fault.id, strategy, form) {
                            Some(cell) => { (matrix_cell(cell)) }
                            None => { td { "–" } }
                        }
                    }
                } }
            }
        } }
    }
}

/// The colour says nothing that the words do not.
fn matrix_cell(cell: &Cell) -> Markup {
    let (class, verdict) = if cell.as_predicted {
        ("yes", "as predicted")
    } else {
        ("no", "surprise")
    };
    let interval = &cell.availability;
    html! {
        td.words {
            b { (numbers::percent(interval.mean)) }
            " [" (numbers::percent(interval.low)) ", " (numbers::percent(interval.high)) "]"
            br; (cell.predicted)
            br; span.(class) { (verdict) }
            @for surprise in &cell.surprises { br; (surprise) }
            br; span.note { "again: " (recovery(cell)) }
            @if let Some(trips) = &cell.round_trips {
                br; span.note { "later by " (told_trips(trips)) " round trips" }
            }
            @if let Some(falls) = &cell.falls_ms {
                br; span.note { "falls after " (told_ms(falls)) }
            }
        }
    }
}

fn new_replicas(found: &[NewReplica]) -> Markup {
    html! {
        @if !found.is_empty() {
            h3 { "A new process" }
            div.wide { table {
                thead { tr { th { "strategy" } th { "started" } th { "first 200" } th { "memory filled" }
                    th { "cold requests" } } }
                tbody { @for one in found { tr {
                    th { (one.strategy) } td { (one.process) } td { (told_ms(&one.first_good_ms)) }
                    td { @match &one.warm_ms { Some(warm) => { (told_ms(warm)) } None => { "–" } } }
                    td { @match &one.cold_requests { Some(cold) => { (numbers::significant(cold.mean)) } None => { "–" } } }
                } } }
            } }
        }
    }
}

/// When it was good again; where it never was, when it was decided.
fn recovery(cell: &Cell) -> String {
    match (&cell.good_ms, &cell.decided_ms) {
        (Some(good), _) if good.count as usize == cell.repetitions.len() => told_ms(good),
        (_, Some(decided)) => format!("({})", told_ms(decided)),
        (_, None) => "not seen".to_owned(),
    }
}

/// Nothing is not told as less than nothing: -0 + 0 is 0.
fn told_trips(trips: &Interval) -> String {
    let rounded = (trips.mean * 100.0).round() / 100.0 + 0.0;
    format!("{rounded:.2}")
}

fn told_ms(interval: &Interval) -> String {
    if interval.mean < 1.0 {
        return "at once".to_owned();
    }
    numbers::duration_ms(interval.mean.round() as u64)
}

fn find<'a>(coupling: &'a Coupling, fault: &str, strategy: &str, form: Form) -> Option<&'a Cell> {
    let mut cells = coupling.cells.iter();
    cells.find(|cell| cell.fault == fault && cell.strategy == strategy && cell.form == form)
}

fn is_made(coupling: &Coupling, fault: &FaultInfo, form: Form) -> bool {
    let mut cells = coupling.cells.iter();
    cells.any(|cell| cell.fault == fault.id && cell.form == form)
}

/// The forms that were made.
fn forms(coupling: &Coupling) -> Vec<Form> {
    let made = |form: &Form| coupling.cells.iter().any(|cell| cell.form == *form);
    [Form::AllAtOnce, Form::Alone]
        .into_iter()
        .filter(made)
        .collect()
}

/// In the order in which they were given.
fn strategies(coupling: &Coupling) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for cell in &coupling.cells {
        if !names.contains(&cell.strategy) {
            names.push(cell.strategy.clone());
        }
    }
    names
}

fn title<'a>(coupling: &'a Coupling, id: &'a str) -> &'a str {
    let mut faults = coupling.faults.iter();
    faults
        .find(|fault| fault.id == id)
        .map_or(id, |fault| fault.title.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::coupling::ProxyError;

    fn cell(strategy: &str, surprises: &[&str]) -> Cell {
        let interval = Interval {
            mean: 0.5,
            low: 0.4,
            high: 0.6,
            count: 3,
        };
        Cell {
            fault: "redis_hung".to_owned(),
            strategy: strategy.to_owned(),
            form: Form::AllAtOnce,
            availability: interval,
            decided_ms: None,
            good_ms: None,
            falls_ms: None,
            round_trips: None,
            unauthorized_in_fault: 0,
            predicted: "unaffected".to_owned(),
            predicted_low: 0.99,
            predicted_high: 1.0,
            as_predicted: surprises.is_empty(),
            surprises: surprises.iter().map(|&one| one.to_owned()).collect(),
            repetitions: Vec::new(),
            timeline: Vec::new(),
        }
    }

    fn coupling() -> Coupling {
        Coupling {
            rate_per_second: 500.0,
            deadline_ms: 1_000,
            slice_ms: 100,
            baseline_ms: 1_000,
            fault_ms: 2_000,
            recovery_ms: 1_000,
            replicas: 2,
            users: 8,
            repetitions: 3,
            seed: 1,
            proxy: ProxyError {
                round_trip_ms: 2.0,
                p50_us: 60.0,
                p99_us: 90.0,
            },
            faults: vec![FaultInfo {
                id: "redis_hung".to_owned(),
                title: "Redis <hung>".to_owned(),
                kind: "hung".to_owned(),
                target: "redis".to_owned(),
                dose: None,
                action: "SIGSTOP".to_owned(),
            }],
            cells: vec![cell("jwt", &[]), cell("session", &["half of it"])],
            new_replicas: Vec::new(),
            short_lives: None,
        }
    }

    #[test]
    fn a_surprise_is_told_in_words_in_the_table_the_sentences_and_the_page() {
        let coupling = coupling();
        let table = terminal(&coupling);
        assert!(
            table.contains("50.0 %!") && table.contains("50.0 % "),
            "{table}"
        );
        let sentences = findings(&coupling);
        assert_eq!(sentences.len(), 2);
        assert!(sentences[0].contains("1 of 2 cells"), "{sentences:?}");
        assert!(sentences[1].contains("half of it"), "{sentences:?}");
        let page = section(&coupling).into_string();
        for part in ["as predicted", "surprise", "half of it", "[40.0 %, 60.0 %]"] {
            assert!(page.contains(part), "{part} is missing in {page}");
        }
        assert!(page.contains("Redis &lt;hung&gt;"), "not escaped: {page}");
    }

    #[test]
    fn a_table_of_six_strategies_fits_into_a_hundred_columns() {
        let mut coupling = coupling();
        coupling.cells = [
            "jwt",
            "session",
            "session-cached",
            "jwt-revocable",
            "introspection",
            "phantom",
        ]
        .map(|strategy| cell(strategy, &[]))
        .to_vec();
        let out = terminal(&coupling);
        let widest = out.lines().map(|line| line.chars().count()).max();
        assert!(widest <= Some(100), "{widest:?}:\n{out}");
    }
}
