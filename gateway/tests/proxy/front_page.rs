//! `/`: what people and programs find there.

use crate::support::*;

const LINKS: &str = "--front-page=gateway=http://127.0.0.1:8080,Jaeger=http://127.0.0.1:16686";

/// Routes as the default ones, with one that no step is made for, all to one upstream.
async fn gateway(upstream: &Upstream, options: &[&str]) -> Gateway {
    let address = upstream.address;
    let pools = format!("--pools=p={address};auth={address};jwt={address};phantom={address}");
    let routes = "--routes=/auth=auth,/.well-known/x=auth/.well-known/x,/jwt=jwt,/phantom=phantom,\
        /phantom/public=phantom/public,/p=p";
    let mut all = vec![routes, pools.as_str()];
    all.extend(options);
    Gateway::before(&[upstream], &all).await
}

async fn ask(gateway: &Gateway, method: &str, accept: &str) -> String {
    let request =
        format!("{method} / HTTP/1.1\r\nhost: evil.example\r\n{accept}connection: close\r\n\r\n");
    raw(gateway.address, request).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shell_gets_lines_to_copy_for_every_route() {
    let upstream = Upstream::named("a").await;
    let gateway = gateway(&upstream, &[LINKS]).await;
    let text = ask(&gateway, "GET", "accept: */*\r\n").await;
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
    for wanted in [
        "content-type: text/plain; charset=utf-8",
        "cache-control: max-age=60",
        "vary: accept",
        "Jaeger        http://127.0.0.1:16686",
        "G='http://127.0.0.1:8080'",
        "curl -s $G/auth/register -H 'content-type: application/json' -d '{\"username\":\"ada\",",
        "SID=$(curl -s $G/auth/login ",
        "\ncurl -s $G/jwt/me -H \"authorization: Bearer $TOKEN\"\n",
        "\ncurl -s $G/phantom/me -H \"authorization: Bearer $SID\"\n",
        "\n/p            p\n",
    ] {
        assert!(text.contains(wanted), "{wanted} is missing in:\n{text}");
    }
    for unwanted in ["evil.example", "session-cached", "/public"] {
        assert!(!text.contains(unwanted), "{unwanted} is in:\n{text}");
    }
    assert_eq!(upstream.count(), 0, "no upstream is asked");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_gets_a_page_that_loads_and_runs_nothing() {
    let upstream = Upstream::named("a").await;
    let gateway = gateway(&upstream, &[LINKS]).await;
    let accept = "accept: text/html,application/xhtml+xml;q=0.9,*/*;q=0.8\r\n";
    let page = ask(&gateway, "GET", accept).await;
    for wanted in [
        "content-type: text/html; charset=utf-8",
        "content-security-policy: default-src 'none'; style-src 'sha256-",
        "x-content-type-options: nosniff",
        "<a href=\"http://127.0.0.1:16686\">",
        "Bearer $TOKEN",
    ] {
        assert!(page.contains(wanted), "{wanted} is missing in:\n{page}");
    }
    for unwanted in ["<script", "evil.example", " src=", "@import"] {
        assert!(!page.contains(unwanted), "{unwanted} is in:\n{page}");
    }
    let head = ask(&gateway, "HEAD", accept).await;
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(head.ends_with("\r\n\r\n"), "{head}");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_has_lost_its_way_gets_a_problem() {
    let upstream = Upstream::named("a").await;
    let gateway = gateway(&upstream, &[LINKS]).await;
    let json = ask(&gateway, "GET", "accept: application/json\r\n").await;
    assert!(json.starts_with("HTTP/1.1 404 "), "{json}");
    let post = ask(&gateway, "POST", "content-length: 0\r\n").await;
    assert!(post.starts_with("HTTP/1.1 405 "), "{post}");
    assert!(post.contains("allow: GET, HEAD"), "{post}");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_setting_there_is_no_page_and_a_route_that_takes_the_path_has_it() {
    let upstream = Upstream::named("a").await;
    let plain = gateway(&upstream, &[]).await;
    assert_eq!(get(plain.address, "/").await.status, 404);
    plain.stop().await;
    let routed = gateway(&upstream, &[LINKS, "--routes=/=p"]).await;
    assert_eq!(get(routed.address, "/").await.text(), "a");
    routed.stop().await;
}
