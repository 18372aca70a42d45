//! Asking, and judging what was answered over time.

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

use reqwest::blocking::RequestBuilder;
use serde_json::Value;
use system_tests::{Answer, Cluster, cluster::answer};

use crate::table::{Expected, Fault, Verdict, expected};

/// Time between two requests with one credential.
const PAUSE: Duration = Duration::from_millis(50);
/// How long a verdict that must not change is watched.
const HOLD: Duration = Duration::from_secs(4);

/// What was different from the table; the whole table is looked at before the test fails.
#[derive(Default)]
pub(crate) struct Findings(Mutex<Vec<String>>);

impl Findings {
    #[expect(clippy::print_stderr, reason = "what a test says of itself")]
    pub(crate) fn add(&self, text: String) {
        eprintln!("differs: {text}");
        let mut found = self
            .0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        found.push(text);
    }

    /// Fails when anything was found.
    #[track_caller]
    pub(crate) fn settle(self) {
        let found = self.0.into_inner().expect("no thread panicked");
        assert!(found.is_empty(), "{}", found.join("\n"));
    }
}

/// Reads a verdict from an answer, and holds it to what is true of every answer.
pub(crate) fn verdict(answer: &Answer) -> Result<Verdict, String> {
    let challenge = answer.header("www-authenticate");
    let fail = |why: &str| Err(format!("{why}: {answer:?}"));
    if !answer.header("set-cookie").is_empty() {
        return fail("it touches a cookie");
    }
    if answer.status != 200 && answer.header("content-type") != "application/problem+json" {
        return fail("it is no problem document");
    }
    let known = match answer.status {
        200 => Verdict::Valid,
        400 => Verdict::Ambiguous,
        401 if challenge.contains("error=") => Verdict::Invalid,
        401 => Verdict::Missing,
        403 => Verdict::Forbidden,
        503 => Verdict::Undecided,
        _ => return fail("no verdict has this status"),
    };
    if known == Verdict::Undecided && answer.header("retry-after").is_empty() {
        return fail("it does not say when to come back");
    }
    if known == Verdict::Undecided && !challenge.is_empty() {
        return fail("it challenges a caller whose credential may be good");
    }
    if !challenge.contains(known.form().1) {
        return fail("the challenge is of another verdict");
    }
    Ok(known)
}

/// One request that is made again and again.
pub(crate) struct Watched<'a> {
    pub(crate) strategy: &'static str,
    pub(crate) fault: Fault,
    pub(crate) request: Box<dyn Fn() -> RequestBuilder + Send + Sync + 'a>,
}

/// Makes all the requests side by side, for as long as the longest expectation takes, and compares.
pub(crate) fn watch(findings: &Findings, watched: &[Watched<'_>]) {
    let began = Instant::now();
    std::thread::scope(|scope| {
        for one in watched {
            scope.spawn(move || {
                if let Err(why) = follow(one, began) {
                    findings.add(format!("{} under {:?}: {why}", one.strategy, one.fault));
                }
            });
        }
    });
}

#[expect(clippy::print_stderr, reason = "what a test says of itself")]
fn follow(one: &Watched<'_>, began: Instant) -> Result<(), String> {
    let (first, last, bound) = match expected(one.fault, one.strategy) {
        Expected::Always(verdict) => (verdict, verdict, HOLD),
        Expected::Until(first, bound, then) => (first, then, bound.longest()),
    };
    let mut changed = first == last;
    // After a change it must stay.
    let mut until = began + bound;
    loop {
        let found = verdict(&answer((one.request)()))?;
        let elapsed = began.elapsed();
        if found == last && !changed {
            changed = true;
            eprintln!(
                "{} under {:?}: {last:?} after {elapsed:?}",
                one.strategy, one.fault
            );
            until = Instant::now() + Duration::from_millis(500);
        } else if found != last && (changed || found != first) {
            return Err(format!("{found:?} after {elapsed:?}"));
        }
        if Instant::now() >= until {
            break;
        }
        std::thread::sleep(PAUSE);
    }
    if changed {
        Ok(())
    } else {
        Err(format!("still {first:?} after {bound:?}"))
    }
}

/// Makes one request and compares it with what is to be seen at once.
pub(crate) fn once(findings: &Findings, fault: Fault, strategy: &str, request: RequestBuilder) {
    let answer = answer(request);
    let wanted = match expected(fault, strategy) {
        Expected::Always(verdict) | Expected::Until(verdict, ..) => verdict,
    };
    match verdict(&answer) {
        Ok(found) if found == wanted => {}
        Ok(found) => findings.add(format!("{strategy} under {fault:?}: {found:?}, {answer:?}")),
        Err(why) => findings.add(format!("{strategy} under {fault:?}: {why}")),
    }
}

/// `/public` looks at no credential.
pub(crate) fn public(findings: &Findings, cluster: &Cluster, strategy: &str, credential: &str) {
    let path = format!("/{strategy}/public");
    let cookie = format!("__Host-sid={credential}; __Host-sid=other");
    let request = cluster
        .get(&path)
        .header("authorization", format!("Bearer {credential}"))
        .header("authorization", "Bearer other")
        .header("cookie", cookie);
    let answer = answer(request);
    if answer.status != 200 || answer.json == Value::Null {
        findings.add(format!("{path}: {answer:?}"));
    }
}
