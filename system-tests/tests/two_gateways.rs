//! Two gateways before one system: what each keeps for itself holds with two of them.

use std::time::{Duration, Instant};

use loadtest::subject::stack::{Role, StackOptions};
use system_tests::{Cluster, PATIENCE, cluster::answer, within};

/// The longest life of an exchanged token.
const TOKEN_LIFE: Duration = Duration::from_secs(3);

fn start(strategy: &str) -> Cluster {
    let life = format!("{}s", TOKEN_LIFE.as_secs());
    let options = StackOptions {
        strategies: vec![strategy.to_owned()],
        gateways: 2,
        ..StackOptions::default()
    };
    Cluster::with(options.variable(Role::Auth, "AUTH_EXCHANGE_TTL", &life))
}

fn me(cluster: &Cluster, gateway: &str, session: &str) -> u16 {
    let url = format!("{gateway}/phantom/me");
    answer(cluster.client.get(url).bearer_auth(session)).status
}

#[test]
fn a_logout_at_one_gateway_ends_the_tokens_that_both_have_kept() {
    let cluster = start("phantom");
    let gateways = cluster.stack.gateways.iter().map(|gateway| &*gateway.url);
    let gateways: Vec<&str> = gateways.collect();
    cluster.register("ada");
    let (session, other) = (cluster.session("ada"), cluster.session("ada"));
    for gateway in gateways.iter().copied() {
        for session in [&session, &other] {
            assert_eq!(me(&cluster, gateway, session), 200, "{gateway}");
        }
    }
    let logout = cluster.post("/auth/logout", &serde_json::json!({}));
    let logout = answer(logout.bearer_auth(&session));
    assert_eq!(logout.status, 200, "{logout:?}");
    let ended = Instant::now();
    for gateway in gateways.iter().copied() {
        let left = (TOKEN_LIFE + Duration::from_secs(2)).saturating_sub(ended.elapsed());
        within(left, "the token that this gateway kept ends", || {
            let status = me(&cluster, gateway, &session);
            assert!(matches!(status, 200 | 401), "{status}");
            (status == 401).then_some(())
        });
    }
    // And stays ended, while other sessions go on at both.
    for gateway in gateways.iter().copied() {
        assert_eq!(me(&cluster, gateway, &session), 401, "{gateway}");
        assert_eq!(me(&cluster, gateway, &other), 200, "{gateway}");
    }
}

#[test]
fn one_of_two_gateways_ends_and_its_clients_get_every_answer_from_the_other() {
    let cluster = start("jwt");
    let [first, second] = [0, 1].map(|which: usize| &*cluster.stack.gateways[which].url);
    cluster.register("ada");
    let token = cluster.token("ada");
    let ask = |gateway: &str| {
        let url = format!("{gateway}/jwt/me");
        cluster.client.get(url).bearer_auth(&token).send()
    };
    assert_eq!(ask(second).unwrap().status(), 200);
    cluster.stack.terminate("gateway-2").unwrap();
    // What was accepted is answered, until the port is closed.
    let (mut answered, deadline) = (0, Instant::now() + PATIENCE);
    loop {
        assert!(Instant::now() < deadline, "it never ended");
        match ask(second) {
            Ok(reply) => {
                assert_eq!(reply.status(), 200);
                answered += 1;
            }
            Err(error) => {
                assert!(error.is_connect(), "{error:?}");
                break;
            }
        }
    }
    assert!(answered > 10, "only {answered}");
    assert_eq!(ask(first).unwrap().status(), 200);
    let status = cluster.stack.wait_exit("gateway-2", PATIENCE).unwrap();
    assert_eq!(status.and_then(|status| status.code()), Some(0));
}
