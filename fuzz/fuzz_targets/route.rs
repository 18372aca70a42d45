//! The path of a request at the gateway, which decides about the pool.

#![no_main]

#[path = "../../gateway/src/operations.rs"]
mod operations;
#[path = "../../gateway/src/routes.rs"]
#[allow(dead_code, reason = "the gateway needs more of it")]
mod routes;

use libfuzzer_sys::fuzz_target;
use routes::{PathRule, RouteTable};

fuzz_target!(|path: &str| {
    let routes = ["/jwt=jwt", "/auth=auth/v1", "/jwt/admin=admin"];
    let routes = routes.map(|text| PathRule::parse(text).expect("a route"));
    let table = RouteTable::new(routes);
    let Ok((route, _)) = table.find(path) else {
        return;
    };
    assert!(path.starts_with(route.prefix.as_str()));
    let target = route
        .rewrite(path, None)
        .expect("no prefix here is unchanged");
    assert!(target.starts_with('/'), "{target}");
    // Whoever decodes it once reads no way out of the prefix.
    let decoded = target
        .to_ascii_lowercase()
        .replace("%2e", ".")
        .replace("%2f", "/");
    let decoded = decoded.replace("%5c", "\\");
    assert!(
        !decoded.split(['/', '\\']).any(|segment| segment == ".."),
        "{target}"
    );
    // Nor a path that the services have for operators.
    let decoded = decoded.split(';').next().unwrap_or_default();
    assert!(
        !["metrics", "readyz", "healthz"].contains(&decoded.trim_matches('/')),
        "{target}"
    );
});
