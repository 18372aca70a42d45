//! A mixture of requests against a system of real processes: every kind does what it says.

use std::{collections::BTreeMap, time::Duration};

use loadtest::{
    load::{self, Arm, Arrivals, Load, Options, Outcome},
    subject::{
        login::{Users, cheap_hashing},
        mix::{Mix, MixContext},
        stack::{Stack, StackOptions},
        strategy::Strategy,
    },
};
use reqwest::Url;

const STRATEGIES: [&str; 5] = ["jwt", "session", "session-cached", "introspection", "phantom"];
const TIME: Duration = Duration::from_secs(2);
const RATE: f64 = 300.0;

#[test]
fn every_request_of_a_mixture_is_answered_well_by_every_strategy() {
    let options = StackOptions {
        strategies: STRATEGIES.map(str::to_owned).to_vec(),
        ..StackOptions::default()
    };
    let stack = Stack::start(cheap_hashing(options)).unwrap_or_else(|error| panic!("{error}"));
    let gateway: Url = stack.gateway_url.parse().expect("a URL");
    let users = Users::register(&gateway, 4).unwrap_or_else(|error| panic!("{error}"));
    let mixes = ["app", "put-cart", "login", "refresh", "logout", "cart"];
    for strategy in STRATEGIES {
        let credential = Strategy::named(strategy).expect("a strategy").credential();
        let logins = users
            .log_in(credential)
            .unwrap_or_else(|error| panic!("{error}"));
        for mix in mixes {
            let mix = if mix == "app" {
                mix.to_owned()
            } else {
                format!("me=1,{mix}=1")
            };
            let context = MixContext {
                gateway: &gateway,
                pool: strategy,
                users: &users,
                credential,
                logins: &logins,
                rate: RATE,
                time: TIME,
                seed: 1,
            };
            let parsed: Mix = mix.parse().unwrap_or_else(|error| panic!("{error}"));
            let variants = parsed.variants(&context);
            let arm = Arm {
                name: strategy.to_owned(),
                url: gateway.join(&format!("/{strategy}/me")).expect("a URL"),
                variants: variants.unwrap_or_else(|error| panic!("{error}")),
                load: Load::Open {
                    rate: RATE,
                    arrivals: Arrivals::Poisson,
                },
            };
            let options = Options {
                duration: TIME,
                deadline: Duration::from_secs(20),
                drain: Duration::from_secs(20),
                connections: 4,
                ..Options::default()
            };
            let run = load::run(options, vec![arm]).unwrap_or_else(|error| panic!("{error}"));
            let bad: BTreeMap<&Outcome, &u64> = run.arms[0]
                .outcomes
                .iter()
                .filter(|(outcome, _)| !outcome.is_good())
                .collect();
            assert!(bad.is_empty(), "{strategy}, {mix}: {bad:?}");
            assert!(run.arms[0].good() > 400, "{strategy}, {mix}");
        }
    }
    let _ended = stack.stop(Duration::from_secs(3));
}
