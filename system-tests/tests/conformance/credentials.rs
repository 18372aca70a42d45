//! What is presented, while everything runs.

use reqwest::blocking::RequestBuilder;
use serde_json::{Value, json};
use system_tests::{Cluster, cluster::answer, eventually};

use crate::{
    cluster,
    table::{Fault, STRATEGIES},
    watch::{Findings, Watched, once, public, watch},
};
use loadtest::subject::stack::Role;

/// A credential of each kind, of one login each.
pub(crate) struct Pair {
    pub(crate) token: String,
    pub(crate) session: String,
}

impl Pair {
    /// Logs a user in both ways.
    pub(crate) fn of(cluster: &Cluster, user: &str) -> Self {
        Self {
            token: cluster.token(user),
            session: cluster.session(user),
        }
    }

    /// What a strategy is presented with.
    pub(crate) fn own(&self, strategy: &str) -> &str {
        if takes_token(strategy) {
            &self.token
        } else {
            &self.session
        }
    }

    fn other(&self, strategy: &str) -> &str {
        if takes_token(strategy) {
            &self.session
        } else {
            &self.token
        }
    }

    fn cookie(&self) -> String {
        format!("theme=dark; __Host-sid={}", self.session)
    }
}

pub(crate) fn takes_token(strategy: &str) -> bool {
    strategy.starts_with("jwt")
}

/// `GET /me` of a strategy with its own kind of credential.
pub(crate) fn me(cluster: &Cluster, strategy: &str, pair: &Pair) -> RequestBuilder {
    cluster
        .get(&format!("/{strategy}/me"))
        .bearer_auth(pair.own(strategy))
}

/// The same credential with something in it changed: a token's signature, or an id's bytes.
fn forged(credential: &str) -> String {
    let at = credential.len() - 10;
    let other = if &credential[at..=at] == "A" {
        "B"
    } else {
        "A"
    };
    format!("{}{other}{}", &credential[..at], &credential[at + 1..])
}

#[test]
fn a_credential_has_the_same_verdict_whatever_the_strategy() {
    let cluster = cluster(&[]);
    let user = cluster.register("ada");
    let ada = Pair::of(&cluster, "ada");
    let root = Pair::of(&cluster, "root");
    let findings = Findings::default();
    for strategy in STRATEGIES {
        let path = format!("/{strategy}/me");
        let get = |credential: &str| cluster.get(&path).bearer_auth(credential);
        let own = ada.own(strategy);

        assert_known(&findings, strategy, &user.json["user_id"], get(own));
        let check = |fault, request| once(&findings, fault, strategy, request);
        check(Fault::Missing, cluster.get(&path));
        check(Fault::Malformed, get("not a credential"));
        check(Fault::Malformed, get(""));
        check(Fault::Malformed, get(&own[1..]));
        check(
            Fault::TwoAuthorizations,
            get(own).header("authorization", format!("Bearer {own}")),
        );
        check(Fault::Forged, get(&forged(own)));
        check(Fault::OtherKind, get(ada.other(strategy)));
        check(
            Fault::SessionCookie,
            cluster.get(&path).header("cookie", ada.cookie()),
        );
        // A browser sends its cookie everywhere, and a page may add a token.
        let both = cluster
            .get(&path)
            .bearer_auth(&ada.token)
            .header("cookie", ada.cookie());
        check(Fault::StrayBesides, both);
        let admin = cluster.get(&format!("/{strategy}/admin"));
        check(
            Fault::NotAllowed,
            admin.try_clone().unwrap().bearer_auth(own),
        );
        check(Fault::None, admin.bearer_auth(root.own(strategy)));
        public(&findings, &cluster, strategy, own);
    }
    no_secret_in_logs(&findings, &cluster, &ada);
    findings.settle();
}

fn assert_known(findings: &Findings, strategy: &str, subject: &Value, request: RequestBuilder) {
    let me = answer(request);
    let known = me.status == 200
        && me.json["subject"] == *subject
        && me.json["username"] == "ada"
        && me.json["roles"] == json!(["user"])
        && me.json["strategy"] == strategy;
    if !known {
        findings.add(format!("{strategy} does not know the caller: {me:?}"));
    }
}

fn no_secret_in_logs(findings: &Findings, cluster: &Cluster, pair: &Pair) {
    let logs = cluster.logs();
    let clients = cluster.stack.clients.iter().map(|client| &client.secret);
    for secret in [&pair.token, &pair.session].into_iter().chain(clients) {
        if logs.contains(secret.as_str()) {
            findings.add("a secret is in the logs".to_owned());
        }
    }
}

#[test]
fn a_logout_is_seen_as_soon_as_the_table_says() {
    let cluster = cluster(&[]);
    cluster.register("ada");
    let findings = Findings::default();
    // One login for each, so that no logout ends another's credential.
    let pairs: Vec<(&str, Pair)> = STRATEGIES
        .into_iter()
        .map(|strategy| (strategy, Pair::of(&cluster, "ada")))
        .collect();
    for (strategy, pair) in &pairs {
        once(
            &findings,
            Fault::None,
            strategy,
            me(&cluster, strategy, pair),
        );
        let logout = cluster
            .post("/auth/logout", &json!({}))
            .bearer_auth(pair.own(strategy));
        let ended = answer(logout);
        assert!((200..300).contains(&ended.status), "{strategy}: {ended:?}");
    }
    let watched: Vec<Watched<'_>> = pairs
        .iter()
        .map(|(strategy, pair)| Watched {
            strategy,
            fault: Fault::LoggedOut,
            request: Box::new(|| me(&cluster, strategy, pair)),
        })
        .collect();
    watch(&findings, &watched);
    findings.settle();
}

#[test]
fn an_expired_credential_is_refused_by_every_strategy() {
    let cluster = cluster(&[
        (Role::Auth, "AUTH_ACCESS_TOKEN_TTL", "8s"),
        (Role::Auth, "AUTH_SESSION_IDLE_TTL", "8s"),
        (Role::Auth, "AUTH_SESSION_ABSOLUTE_TTL", "8s"),
        (Role::Auth, "AUTH_SESSION_TTL_JITTER", "0"),
        (Role::Api, "API_LEEWAY", "0s"),
    ]);
    cluster.register("ada");
    let findings = Findings::default();
    let pair = Pair::of(&cluster, "ada");
    for strategy in STRATEGIES {
        once(
            &findings,
            Fault::None,
            strategy,
            me(&cluster, strategy, &pair),
        );
    }
    // Everything was good; now its time passes.
    for strategy in STRATEGIES {
        eventually("the credential expires", || {
            let status = answer(me(&cluster, strategy, &pair)).status;
            (status != 200).then_some(())
        });
        once(
            &findings,
            Fault::Expired,
            strategy,
            me(&cluster, strategy, &pair),
        );
    }
    findings.settle();
}
