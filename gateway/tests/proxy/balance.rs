//! Who gets requests.

use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, atomic::Ordering},
    time::{Duration, UNIX_EPOCH},
};

use http::{Response, StatusCode};
use shared::clock::Clock;

use crate::support::*;

async fn shares(gateway: &Gateway, requests: usize) -> HashMap<String, usize> {
    let mut shares = HashMap::new();
    let mut wire = Wire::open(gateway.address).await;
    for _ in 0..requests {
        let reply = wire.get("/p").await.unwrap();
        assert_eq!(reply.status, 200);
        *shares.entry(reply.text()).or_default() += 1;
    }
    shares
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_spread_over_all_members() {
    let (a, b, c) = (
        Upstream::named("a").await,
        Upstream::named("b").await,
        Upstream::named("c").await,
    );
    let gateway = Gateway::before(&[&a, &b, &c], &[]).await;
    let shares = shares(&gateway, 600).await;
    for name in ["a", "b", "c"] {
        // Binomial with p = 1/3: 200 ± 12; six deviations are no chance.
        let share = shares[name];
        assert!((130..=270).contains(&share), "{shares:?}");
    }
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_member_gets_fewer_requests_than_a_fast_one() {
    let slow = Upstream::with(|_| async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        Response::new(full("slow"))
    })
    .await;
    let fast = Upstream::named("fast").await;
    let gateway = Gateway::before(&[&slow, &fast], &[]).await;
    let address = gateway.address;
    let clients: Vec<_> = (0..8)
        .map(|_| {
            tokio::spawn(async move {
                let mut wire = Wire::open(address).await;
                for _ in 0..50 {
                    assert_eq!(wire.get("/p").await.unwrap().status, 200);
                }
            })
        })
        .collect();
    for client in clients {
        soon(client).await.unwrap();
    }
    assert!(
        fast.count() > 3 * slow.count(),
        "{} {}",
        fast.count(),
        slow.count()
    );
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_connection_ejects_at_once_and_time_brings_the_member_back() {
    let (a, b) = (Upstream::named("a").await, Upstream::named("b").await);
    let clock = Clock::manual(UNIX_EPOCH + Duration::from_secs(1_000));
    let pools = format!("--pools=p={},{}", a.address, b.address);
    // Slow active checks: what is seen here is done by the requests themselves.
    let options = ["--routes=/p=p", &pools, "--health-interval=1h"];
    let gateway = Gateway::start(config(&options), clock.clone(), gateway::system_resolver()).await;
    eventually("both are healthy", || async {
        gateway.healthy().await == 2
    })
    .await;

    let address = a.address;
    a.kill().await;
    eventually("the killed member is ejected", || async {
        assert_eq!(get(gateway.address, "/p").await.text(), "b");
        gateway.healthy().await == 1
    })
    .await;
    assert_eq!(
        gateway.metric("gateway_ejections_total{pool=\"p\"}").await,
        1.0
    );
    assert_eq!(
        shares(&gateway, 50).await,
        HashMap::from([("b".to_owned(), 50)])
    );

    let a = Upstream::at(address, |_| async { Response::new(full("a")) }).await;
    clock.advance(Duration::from_millis(500));
    assert_eq!(gateway.healthy().await, 2);
    let shares = shares(&gateway, 100).await;
    assert!(shares["a"] > 20 && shares["b"] > 20, "{shares:?}");
    gateway.stop().await;
    drop(a);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_is_not_ready_gets_no_requests_until_it_is() {
    let (a, b) = (Upstream::named("a").await, Upstream::named("b").await);
    let gateway = Gateway::before(&[&a, &b], &[]).await;
    a.ready.store(false, Ordering::SeqCst);
    eventually("it is seen", || async { gateway.healthy().await == 1 }).await;
    assert_eq!(
        shares(&gateway, 50).await,
        HashMap::from([("b".to_owned(), 50)])
    );
    a.ready.store(true, Ordering::SeqCst);
    eventually("it is seen", || async { gateway.healthy().await == 2 }).await;
    assert_eq!(shares(&gateway, 100).await.len(), 2);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_ends_gets_no_new_requests_and_its_end_is_no_failure() {
    let (a, b) = (Upstream::named("a").await, Upstream::named("b").await);
    let gateway = Gateway::before(&[&a, &b], &[]).await;
    a.ending.store(true, Ordering::SeqCst);
    let ending = "gateway_pool_members{pool=\"p\",state=\"ending\"}";
    eventually("it is seen", || async {
        gateway.metric(ending).await == 1.0
    })
    .await;
    let upstreams = gateway.upstreams().await;
    let told = |name: &str| {
        let count = |upstream: &&serde_json::Value| upstream[name] == true;
        upstreams.iter().filter(count).count()
    };
    assert_eq!(
        (told("ending"), told("healthy"), told("ejected")),
        (1, 1, 0)
    );
    let only_b = HashMap::from([("b".to_owned(), 50)]);
    assert_eq!(shares(&gateway, 50).await, only_b);

    // Both end, as when a name still has the addresses of a generation that is being replaced.
    b.ending.store(true, Ordering::SeqCst);
    eventually("it is seen", || async { gateway.healthy().await == 0 }).await;
    assert_eq!(shares(&gateway, 100).await.len(), 2);
    a.kill().await;
    assert_eq!(shares(&gateway, 50).await, only_b);
    eventually("it is seen", || async {
        gateway.metric(ending).await == 1.0
    })
    .await;
    assert_eq!(
        gateway.metric("gateway_ejections_total{pool=\"p\"}").await,
        0.0
    );
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn when_no_member_is_ready_their_own_answers_are_passed_on() {
    let answer = |_| async {
        let mut response = Response::new(full("the store is down"));
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        response
            .headers_mut()
            .insert("retry-after", "7".parse().unwrap());
        response
    };
    let (a, b) = (Upstream::with(answer).await, Upstream::with(answer).await);
    let gateway = Gateway::before(&[&a, &b], &[]).await;
    a.ready.store(false, Ordering::SeqCst);
    b.ready.store(false, Ordering::SeqCst);
    eventually("it is seen", || async { gateway.healthy().await == 0 }).await;
    for _ in 0..40 {
        let reply = get(gateway.address, "/p").await;
        assert_eq!(
            (reply.status, reply.text().as_str()),
            (503, "the store is down")
        );
        assert_eq!(reply.all("retry-after"), ["7"]);
    }
    assert!(a.count() > 0 && b.count() > 0);
    // A 503 is an answer: nobody is ejected for it and nothing is sent twice.
    assert_eq!(a.count() + b.count(), 40);
    assert!(
        gateway
            .upstreams()
            .await
            .iter()
            .all(|upstream| upstream["ejected"] == false)
    );
    gateway.stop().await;
}

/// A name server in this process.
type Answer = Arc<Mutex<io::Result<Vec<SocketAddr>>>>;

fn resolver(answer: &Answer) -> gateway::Resolver {
    let answer = Arc::clone(answer);
    Arc::new(move |host, port| {
        assert_eq!((host.as_str(), port), ("api", 8082));
        let answer = match &*answer.lock().unwrap() {
            Ok(addresses) => Ok(addresses.clone()),
            Err(error) => Err(io::Error::from(error.kind())),
        };
        Box::pin(std::future::ready(answer))
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_a_names_addresses_is_followed_without_a_restart() {
    let (a, b, c) = (
        Upstream::named("a").await,
        Upstream::named("b").await,
        Upstream::named("c").await,
    );
    let answer: Answer = Arc::new(Mutex::new(Ok(vec![a.address])));
    let options = ["--routes=/p=p", "--pools=p=dns:api:8082"];
    let gateway = Gateway::start(config(&options), Clock::system(), resolver(&answer)).await;
    eventually("the first is known", || async {
        gateway.healthy().await == 1
    })
    .await;
    assert_eq!(shares(&gateway, 20).await.len(), 1);

    *answer.lock().unwrap() = Ok(vec![c.address, a.address, b.address, a.address]);
    eventually("all are known", || async { gateway.healthy().await == 3 }).await;
    assert_eq!(shares(&gateway, 120).await.len(), 3);

    *answer.lock().unwrap() = Ok(vec![b.address]);
    eventually("two have left", || async {
        gateway.upstreams().await.len() == 1
    })
    .await;
    assert_eq!(
        shares(&gateway, 20).await,
        HashMap::from([("b".to_owned(), 20)])
    );

    // A name server that is down or knows nothing does not empty the pool.
    for failure in [Err(io::ErrorKind::TimedOut.into()), Ok(Vec::new())] {
        *answer.lock().unwrap() = failure;
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(
            shares(&gateway, 20).await,
            HashMap::from([("b".to_owned(), 20)])
        );
    }
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_leaves_finishes_what_it_has() {
    let (release, gate) = tokio::sync::watch::channel(false);
    let a = Upstream::with(move |_| {
        let mut gate = gate.clone();
        async move {
            gate.wait_for(|open| *open).await.unwrap();
            Response::new(full("late"))
        }
    })
    .await;
    let b = Upstream::named("b").await;
    let answer: Answer = Arc::new(Mutex::new(Ok(vec![a.address])));
    let options = ["--routes=/p=p", "--pools=p=dns:api:8082"];
    let gateway = Gateway::start(config(&options), Clock::system(), resolver(&answer)).await;
    eventually("the first is known", || async {
        gateway.healthy().await == 1
    })
    .await;

    let address = gateway.address;
    let held = tokio::spawn(async move { get(address, "/p").await.text() });
    eventually("it is at the upstream", || async { a.count() == 1 }).await;
    *answer.lock().unwrap() = Ok(vec![b.address]);
    let there = b.address.to_string();
    eventually("it has left", || async {
        let upstreams = gateway.upstreams().await;
        upstreams.len() == 1 && upstreams[0]["address"] == there.as_str()
    })
    .await;
    assert_eq!(get(gateway.address, "/p").await.text(), "b");
    release.send(true).unwrap();
    assert_eq!(soon(held).await.unwrap(), "late");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_members_the_gateway_is_not_ready_and_says_so() {
    let answer: Answer = Arc::new(Mutex::new(Ok(Vec::new())));
    let options = ["--routes=/p=p", "--pools=p=dns:api:8082"];
    let gateway = Gateway::start(config(&options), Clock::system(), resolver(&answer)).await;
    let ready = get(gateway.address, "/readyz").await;
    assert_eq!((ready.status, ready.problem().as_str()), (503, "not-ready"));
    let reply = get(gateway.address, "/p").await;
    assert_eq!(
        (reply.status, reply.problem().as_str()),
        (503, "no-upstream")
    );
    assert_eq!(reply.all("retry-after"), ["1"]);

    let a = Upstream::named("a").await;
    *answer.lock().unwrap() = Ok(vec![a.address]);
    eventually("it is ready", || async {
        get(gateway.address, "/readyz").await.status == 200
    })
    .await;
    gateway.stop().await;
}
