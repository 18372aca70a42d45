//! A mixture of requests against a system of real processes: every kind does what it says.

use std::time::Duration;

use loadtest::{
    load::{self, Arm, Arrivals, Load, Options, Outcome},
    subject::{
        login::{Users, cheap_hashing},
        mix::{Mix, MixContext},
        stack::{Role, Stack, StackOptions},
        strategy::Strategy,
    },
};
use reqwest::Url;

const STRATEGIES: [&str; 5] = [
    "jwt",
    "session",
    "session-cached",
    "introspection",
    "phantom",
];
const TIME: Duration = Duration::from_secs(2);
const RATE: f64 = 150.0;
/// A busy machine is no fault of the mixture.
const PATIENT: [(Role, &str); 6] = [
    (Role::Auth, "AUTH_REDIS_TIMEOUT"),
    (Role::Auth, "AUTH_DATABASE_TIMEOUT"),
    (Role::Api, "API_REDIS_TIMEOUT"),
    (Role::Api, "API_INTROSPECTION_TIMEOUT"),
    (Role::Gateway, "GATEWAY_EXCHANGE_TIMEOUT"),
    (Role::Gateway, "GATEWAY_RESPONSE_TIMEOUT"),
];

#[test]
fn every_request_of_a_mixture_is_answered_well_by_every_strategy() {
    let options = StackOptions {
        strategies: STRATEGIES.map(str::to_owned).to_vec(),
        ..StackOptions::default()
    };
    let options = PATIENT.into_iter().fold(options, |options, (role, name)| {
        options.variable(role, name, "20s")
    });
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
            let (outcomes, due) = (&run.arms[0].outcomes, run.arms[0].scheduled);
            // A change that overtook another one names a version that was not there yet.
            let overtaken = Outcome::Status(412);
            let bad = |outcome: &&Outcome| !outcome.is_good() && **outcome != overtaken;
            assert_eq!(outcomes.keys().find(bad), None, "{strategy}, {mix}");
            let lost = outcomes.get(&overtaken).copied().unwrap_or_default();
            assert!(
                due > 200 && lost * 20 <= due,
                "{strategy}, {mix}: {lost} of {due}"
            );
        }
    }
    let _ended = stack.stop(Duration::from_secs(3));
}
