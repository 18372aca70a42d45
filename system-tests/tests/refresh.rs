//! A refresh whose answer was lost: the auth service dies between writing and answering, and the
//! client asks again with the only token it has.

use std::{
    thread,
    time::{Duration, Instant},
};

use loadtest::subject::stack::{Role, StackOptions};
use reqwest::blocking::Client;
use serde_json::Value;
use system_tests::Cluster;

/// Kills of the short run and of the long one.
const ROUNDS: [usize; 2] = [10, 100];

struct Auth {
    cluster: Cluster,
    client: Client,
}

/// What became of the request during which the service was killed.
#[derive(Debug, Default)]
struct Tally {
    /// The client got the answer: the kill was late.
    answered: usize,
    /// The token was spent and the client did not learn it: what this test is about.
    lost: usize,
    /// Nothing was written: the kill was early.
    unwritten: usize,
}

#[test]
fn a_client_that_lost_the_answer_to_a_refresh_asks_again_and_gets_the_one_successor() {
    let long = std::env::var("STATEWISE_LONG").is_ok_and(|value| value == "1");
    let auth = Auth::start();
    let (mut token, ordinary) = auth.warmed_up();
    let mut tally = Tally::default();
    // Too early and nothing is written, too late and the answer is there: what happened moves the
    // next kill towards the moment in between.
    let mut delay = ordinary / 2;
    for round in 0..ROUNDS[usize::from(long)] {
        let first = auth.refresh_and_kill(&token, delay);
        auth.cluster.stack.restart("auth-service").unwrap();
        auth.cluster.stack.wait_ready("auth-service").unwrap();

        let successor = auth.refresh(&token).expect("the retry is answered");
        let written = auth.metric("auth_refreshes_total{outcome=\"repeated\"}") == 1;
        let step = ordinary / 16;
        match (&first, written) {
            (Some(_), _) => {
                tally.answered += 1;
                delay = delay.saturating_sub(step);
            }
            (None, true) => tally.lost += 1,
            (None, false) => {
                tally.unwritten += 1;
                delay += step;
            }
        }
        if let Some(first) = first {
            assert_eq!(first, successor, "round {round}: two successors");
        }
        let again = auth.refresh(&token).expect("answered");
        assert_eq!(again, successor, "round {round}: two successors");
        token = successor;
    }
    println!("of {} kills: {tally:?}", ROUNDS[usize::from(long)]);
    if long {
        assert!(
            tally.lost > 0,
            "no kill hit the moment in question: {tally:?}"
        );
    }
}

impl Auth {
    fn start() -> Self {
        let options = StackOptions {
            strategies: vec!["jwt".to_owned()],
            ..StackOptions::default()
        };
        // A restart on a busy machine may take longer than the default.
        let cluster = Cluster::with(options.variable(Role::Auth, "AUTH_REFRESH_GRACE", "120s"));
        let client = Client::builder()
            .timeout(Duration::from_secs(20))
            .retry(reqwest::retry::never())
            // A connection to a service that was killed must not be taken for the next one.
            .pool_max_idle_per_host(0)
            .no_proxy()
            .build()
            .expect("a client");
        Self { cluster, client }
    }

    /// A refresh token, and how long a refresh takes here.
    fn warmed_up(&self) -> (String, Duration) {
        self.cluster.register("ada");
        let login = self.cluster.log_in("ada", "token");
        let mut token = text(&login.json);
        let mut longest = Duration::from_millis(2);
        for _ in 0..5 {
            let asked = Instant::now();
            token = self.refresh(&token).expect("a refresh works");
            longest = longest.max(asked.elapsed());
        }
        (token, longest)
    }

    /// The successor; `None` when there was no whole answer. Any answer but success fails.
    fn refresh(&self, token: &str) -> Option<String> {
        let url = format!("{}/oauth/token", self.cluster.stack.auth_url);
        let answer = self
            .client
            .post(url)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(format!("grant_type=refresh_token&refresh_token={token}"))
            .send()
            .ok()?;
        let status = answer.status();
        let body = answer.json::<Value>().ok()?;
        assert_eq!(status, 200, "{body}");
        Some(text(&body))
    }

    /// Kills the service while it refreshes, and tells what the client got.
    fn refresh_and_kill(&self, token: &str, delay: Duration) -> Option<String> {
        thread::scope(|scope| {
            let asking = scope.spawn(|| self.refresh(token));
            thread::sleep(delay);
            let killed = self.cluster.stack.kill9("auth-service");
            killed.expect("it runs, so it can be killed");
            asking.join().expect("a refresh that is answered succeeds")
        })
    }

    fn metric(&self, line: &str) -> u64 {
        let url = format!("{}/metrics", self.cluster.stack.auth_url);
        let answer = self.client.get(url).send().expect("it runs again");
        let text = answer.text().expect("metrics are text");
        text.lines()
            .find_map(|found| found.strip_prefix(line)?.trim().parse().ok())
            .unwrap_or_default()
    }
}

fn text(answer: &Value) -> String {
    let token = answer["refresh_token"].as_str();
    token.expect("a refresh token").to_owned()
}
