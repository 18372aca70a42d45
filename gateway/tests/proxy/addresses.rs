//! How many connections one address may have, so that it leaves some for everybody else.

use tokio::net::{TcpSocket, TcpStream};

use crate::support::{Gateway, Upstream, Wire, eventually};

const REFUSED: &str = "gateway_client_connections_refused_total";

/// A connection from this address of the machine.
async fn from(source: &str, gateway: &Gateway) -> Wire {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(format!("{source}:0").parse().unwrap()).unwrap();
    let stream: TcpStream = socket.connect(gateway.address).await.unwrap();
    Wire::over(stream)
}

/// Connections of one address that were answered and wait for their next request.
async fn hold(source: &str, gateway: &Gateway, count: usize) -> Vec<Wire> {
    let mut held = Vec::new();
    for _ in 0..count {
        let mut wire = from(source, gateway).await;
        assert_eq!(wire.get("/p").await.unwrap().status, 200);
        held.push(wire);
    }
    held
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_holds_all_it_may_leaves_the_rest_to_others() {
    let upstream = Upstream::named("a").await;
    let gateway = Gateway::before(&[&upstream], &["--max-connections=8"]).await;
    // A quarter.
    let mut held = hold("127.0.0.9", &gateway, 2).await;
    let mut third = from("127.0.0.9", &gateway).await;
    assert!(third.get("/p").await.is_none(), "closed at once");
    for other in ["127.0.0.2", "127.0.0.3"] {
        let mut wire = from(other, &gateway).await;
        assert_eq!(wire.get("/p").await.unwrap().status, 200, "{other}");
    }
    assert!(gateway.metric(REFUSED).await >= 1.0);
    // What it gives up it may have again.
    drop(held.pop());
    eventually("the address comes in again", || async {
        let mut wire = from("127.0.0.9", &gateway).await;
        wire.get("/p").await.is_some()
    })
    .await;
    drop(held);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_of_ours_may_have_all_connections_and_a_number_is_a_number() {
    let upstream = Upstream::named("a").await;
    for (options, held) in [
        (&["--max-connections=8", "--trusted-hops=1"][..], 6),
        (
            &[
                "--max-connections=8",
                "--trusted-hops=1",
                "--max-connections-per-address=3",
            ],
            3,
        ),
        (
            &["--max-connections=8", "--max-connections-per-address=5"],
            5,
        ),
    ] {
        let gateway = Gateway::before(&[&upstream], options).await;
        let kept = hold("127.0.0.9", &gateway, held).await;
        if held < 6 {
            let mut more = from("127.0.0.9", &gateway).await;
            assert!(more.get("/p").await.is_none(), "{options:?}");
        }
        drop(kept);
        gateway.stop().await;
    }
}
