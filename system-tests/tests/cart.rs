//! Data of a login survive a change of replica: the gateway sends each request where it likes.

use std::collections::BTreeSet;

use serde_json::json;
use system_tests::{Answer, Cluster, cluster::answer};

/// Requests to one pool; with two replicas, all at one of them happens once in a million runs.
const REQUESTS: u64 = 20;

/// Writes a cart again and again, reads it back after each time, and carries what it is given.
fn shop(cluster: &Cluster, strategy: &str, credential: &str) {
    let path = format!("/{strategy}/cart");
    let mut state = String::new();
    let send = |request: reqwest::blocking::RequestBuilder, state: &mut String| -> Answer {
        let mut request = request.bearer_auth(credential);
        if !state.is_empty() {
            request = request.header("statewise-state", &*state);
        }
        let answer = answer(request);
        assert_eq!(answer.status, 200, "{strategy}: {answer:?}");
        let given = answer.header("statewise-state");
        if !given.is_empty() {
            given.clone_into(state);
        }
        answer
    };
    for version in 0..REQUESTS {
        let cart = json!({"items": [{"sku": "tea", "quantity": version + 1}]});
        let url = format!("{}{path}", cluster.stack.gateway_url);
        let change = cluster
            .client
            .put(url)
            .header("if-match", format!("\"{version}\""))
            .json(&cart);
        send(change, &mut state);
        let seen = send(cluster.get(&path), &mut state);
        assert_eq!(seen.json, cart, "{strategy}");
        assert_eq!(seen.header("etag"), format!("\"{}\"", version + 1));
    }
    assert_eq!(strategy == "session", state.is_empty());
}

#[test]
fn a_cart_survives_a_change_of_replica_and_the_end_of_one() {
    let cluster = Cluster::start(2);
    cluster.register("ada");
    let (token, session) = (cluster.token("ada"), cluster.session("ada"));
    for (strategy, credential) in [("jwt", &token), ("session", &session)] {
        shop(&cluster, strategy, credential);
        let replicas: BTreeSet<String> = (0..REQUESTS)
            .map(|_| cluster.get_as(&format!("/{strategy}/me"), credential))
            .map(|me| me.json["replica"].to_string())
            .collect();
        assert_eq!(replicas.len(), 2, "{replicas:?}");
    }
    // Whoever kept it would have lost it.
    cluster.stack.kill9("api-session-1").unwrap();
    let seen = cluster.get_as("/session/cart", &session);
    assert_eq!(seen.json["items"][0]["quantity"], REQUESTS, "{seen:?}");
}

#[test]
fn without_redis_a_cart_in_a_session_cannot_be_decided_and_one_with_the_client_can() {
    let cluster = Cluster::start(1);
    cluster.register("ada");
    let (token, session) = (cluster.token("ada"), cluster.session("ada"));
    cluster.stack.kill9("redis").unwrap();
    cluster.get_as("/session/cart", &session).assert_undecided();
    let seen = cluster.get_as("/jwt/cart", &token);
    assert_eq!(seen.status, 200, "{seen:?}");
}
