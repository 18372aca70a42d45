use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use proptest::prelude::*;

use super::*;

fn parse(text: &str) -> Result<RedisUrl, UrlError> {
    text.parse()
}

fn at(host: &str, port: u16) -> Node {
    Node {
        host: host.to_owned(),
        port,
    }
}

fn password(info: RedisResult<ConnectionInfo>) -> Option<String> {
    let info = info.unwrap();
    info.redis_settings().password().map(str::to_owned)
}

/// What a URL says of the login, TLS and database, to compare.
fn login(url: &RedisUrl) -> (Option<String>, Option<String>, bool, i64) {
    let info = url.at(at("h", 1).into()).unwrap();
    let redis = info.redis_settings();
    (
        redis.username().map(str::to_owned),
        redis.password().map(str::to_owned),
        url.is_over_tls(),
        redis.db(),
    )
}

#[test]
fn one_server_is_named_with_and_without_tls() {
    for (text, address, wanted) in [
        ("redis://h", ("h", 6379), (None, None, false, 0)),
        (
            "redis://:pa%2Fss@127.0.0.1:6380/2",
            ("127.0.0.1", 6380),
            (None, Some("pa/ss".to_owned()), false, 2),
        ),
        (
            "rediss://ada:secret@h/",
            ("h", 6379),
            (Some("ada".to_owned()), Some("secret".to_owned()), true, 0),
        ),
        ("REDISS://[::1]:7", ("::1", 7), (None, None, true, 0)),
    ] {
        let url = parse(text).unwrap();
        let address = ConnectionAddr::from(at(address.0, address.1));
        assert_eq!(url.topology, Topology::Server(address), "{text}");
        assert_eq!(login(&url), wanted, "{text}");
    }
    let socket = parse("redis+unix:///run/redis.sock?db=3&pass=secret").unwrap();
    let path = ConnectionAddr::Unix("/run/redis.sock".into());
    assert_eq!(socket.topology, Topology::Server(path));
    assert_eq!(login(&socket), (None, Some("secret".to_owned()), false, 3));
}

#[test]
fn sentinels_are_named_with_the_name_of_the_primary() {
    let url = parse("redis+sentinel://a:26380,b,[::1]:7/main/4").unwrap();
    let Topology::Sentinel(sentinel) = &url.topology else {
        panic!("{url:?}");
    };
    let wanted = [at("a", 26380), at("b", 26379), at("::1", 7)];
    assert_eq!(sentinel.sentinels, wanted);
    assert_eq!(sentinel.primary, "main");
    assert_eq!(login(&url), (None, None, false, 4));
    assert_eq!(url.to_string(), "a:26380,b:26379,[::1]:7/main/4");
    assert_eq!(
        password(sentinel.at(&wanted[0])),
        None,
        "they have their own"
    );

    let text = "rediss+sentinel://ada:secret@a/main?sentinel_user=s&sentinel_password=x%26y+z";
    let url = parse(text).unwrap();
    let Topology::Sentinel(sentinel) = &url.topology else {
        panic!("{url:?}");
    };
    let info = sentinel.at(&at("a", 26379)).unwrap();
    assert_eq!(info.redis_settings().username(), Some("s"));
    assert_eq!(info.redis_settings().password(), Some("x&y+z"));
    let (user, password, tls, _) = login(&url);
    assert_eq!(
        (user.as_deref(), password.as_deref()),
        (Some("ada"), Some("secret"))
    );
    assert!(tls);
}

#[test]
fn a_cluster_is_named_by_some_of_its_nodes() {
    let url = parse("rediss+cluster://:secret@a,b:6380,c/").unwrap();
    let nodes = vec![at("a", 6379), at("b", 6380), at("c", 6379)];
    assert_eq!(url.topology, Topology::Cluster(nodes));
    assert_eq!(login(&url), (None, Some("secret".to_owned()), true, 0));
    let of_node = url.of_node(&at("d", 7));
    assert_eq!(of_node.topology, Topology::Server(at("d", 7).into()));
    assert_eq!(login(&of_node), login(&url));
    assert!(url.is_cluster() && !of_node.is_cluster());
}

#[test]
fn what_is_wrong_is_said() {
    for (text, wanted) in [
        ("", UrlError::Form),
        ("h:6379", UrlError::Form),
        ("http://h", UrlError::Form),
        ("redis://", UrlError::Form),
        ("rediss://", UrlError::Form),
        ("redis://h/main", UrlError::Form),
        ("rediss://h/#insecure", UrlError::Fragment),
        ("redis://a,b,c", UrlError::Several),
        ("redis+sentinel://", UrlError::Address(1)),
        ("redis+sentinel:///main", UrlError::Address(1)),
        ("redis+sentinel://a,,c/main", UrlError::Address(2)),
        ("redis+sentinel://a,b:0/main", UrlError::Address(2)),
        ("redis+sentinel://a:+1/main", UrlError::Address(1)),
        ("redis+sentinel://a:65536/main", UrlError::Address(1)),
        ("redis+sentinel://::1/main", UrlError::Address(1)),
        ("redis+sentinel://a b/main", UrlError::Address(1)),
        ("redis+sentinel://u:pa/ss@a/main", UrlError::Address(1)),
        ("redis+sentinel://a,b,a:26379/main", UrlError::Twice(3)),
        ("redis+sentinel://ada@a/main", UrlError::Login),
        ("redis+sentinel://ada:@a/main", UrlError::Login),
        ("redis+sentinel://a:%ff@a/main", UrlError::Login),
        ("redis+sentinel://a,b", UrlError::Primary),
        ("redis+sentinel://a,b/", UrlError::Primary),
        ("redis+sentinel://a/main/x", UrlError::Database),
        ("redis+sentinel://a/main/-1", UrlError::Database),
        ("redis+sentinel://a/main#x", UrlError::Fragment),
        ("redis+sentinel://a/main?db=1", UrlError::Parameter),
        (
            "redis+sentinel://a/main?sentinel_user=s",
            UrlError::SentinelLogin,
        ),
        (
            "redis+sentinel://a/main?sentinel_password=",
            UrlError::SentinelLogin,
        ),
        (
            "redis+sentinel://a/main?sentinel_password=a&sentinel_password=b",
            UrlError::Parameter,
        ),
        ("redis+cluster://a,b/1", UrlError::BehindNodes),
    ] {
        assert_eq!(parse(text), Err(wanted), "{text}");
    }
}

#[test]
fn what_is_wrong_with_a_password_does_not_show_it() {
    for text in [
        "redis+sentinel://ada:hunter2/@a/main",
        "redis+sentinel://ada:hunter2#@a/main",
        "redis+sentinel://a:hunter2/main",
        "redis+sentinel://hunter2@a/main",
        "redis+sentinel://a/main?password=hunter2",
        "redis+cluster://a/hunter2",
        "redis://a/hunter2",
        "hunter2",
    ] {
        let error = parse(text).unwrap_err();
        let told = format!("{error} {error:?}");
        assert!(!told.contains("hunter2"), "{told}");
    }
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

fn hosts() -> impl Strategy<Value = Vec<Node>> {
    let host = prop_oneof![
        "[a-z0-9][a-z0-9._-]{0,20}",
        any::<[u8; 4]>().prop_map(|bytes| std::net::Ipv4Addr::from(bytes).to_string()),
        any::<[u8; 16]>().prop_map(|bytes| Ipv6Addr::from(bytes).to_string()),
    ];
    let node = (host, 1_u16..).prop_map(|(host, port)| Node { host, port });
    prop::collection::vec(node, 1..6).prop_map(|mut nodes| {
        nodes.sort_by_key(Node::to_string);
        nodes.dedup();
        nodes
    })
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "(rediss?(\\+(sentinel|cluster|unix))?://)?\\PC{0,60}") {
        drop(parse(&text));
    }

    #[test]
    fn what_is_written_is_read_whatever_the_credentials(
        nodes in hosts(),
        (user, password, own) in ("\\PC{0,20}", "SECRET\\PC{1,20}", "HIDDEN\\PC{1,20}"),
        name in "\\PC{1,20}",
        tls in any::<bool>(),
        database in any::<u32>(),
    ) {
        let list: Vec<_> = nodes.iter().map(Node::to_string).collect();
        let text = format!(
            "{}+sentinel://{}:{}@{}/{}/{database}?sentinel_password={}",
            if tls { "rediss" } else { "redis" },
            encoded(&user),
            encoded(&password),
            list.join(","),
            encoded(&name),
            encoded(&own),
        );
        let url = parse(&text).unwrap();
        let shown = format!("{url} {url:?}");
        prop_assert!(!shown.contains("SECRET") && !shown.contains("HIDDEN"), "{shown}");
        let user = Some(user).filter(|user| !user.is_empty());
        prop_assert_eq!(login(&url), (user, Some(password), tls, database.into()));
        let Topology::Sentinel(sentinel) = &url.topology else {
            panic!("{url:?}");
        };
        prop_assert_eq!(&sentinel.primary, &name);
        prop_assert_eq!(super::tests::password(sentinel.at(&nodes[0])), Some(own));
        prop_assert_eq!(&sentinel.sentinels, &nodes);
    }
}
