//! One table of cases, run unchanged against every strategy over real processes.

#![expect(clippy::unwrap_used, reason = "a step that fails fails its test")]

mod credentials;
mod outages;
mod table;
mod watch;

use loadtest::subject::stack::{Role, StackOptions};
use system_tests::Cluster;

/// A stack with a pool for every strategy, and short times where the table waits for one.
fn cluster(more: &[(Role, &str, &str)]) -> Cluster {
    let exchange = format!("{}s", table::EXCHANGE_TTL.as_secs());
    let feed = format!("{}s", table::FEED_MAX_AGE.as_secs());
    let mut options = StackOptions {
        strategies: table::STRATEGIES.map(str::to_owned).to_vec(),
        ..StackOptions::default()
    }
    .variable(Role::Auth, "AUTH_EXCHANGE_TTL", &exchange)
    .variable(Role::Api, "API_REVOCATION_MAX_AGE", &feed);
    for (role, name, value) in more {
        options = options.variable(*role, name, value);
    }
    Cluster::with(options)
}

#[test]
fn the_document_says_what_is_tested() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/verdicts.md");
    let wanted = table::document();
    if std::env::var_os("STATEWISE_WRITE_VERDICTS").is_some() {
        std::fs::write(path, &wanted).unwrap();
    }
    let found = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        found == wanted,
        "docs/verdicts.md differs: run `make verdicts`"
    );
}
