//! What the gateway must not depend on.

use std::process::Command;

#[test]
fn the_gateway_depends_neither_on_redis_nor_on_jsonwebtoken() {
    let output = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--package=gateway",
            "--edges=normal",
            "--prefix=none",
            "--format={p}",
        ])
        .args(["--offline", "--locked", "--manifest-path"])
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
        .output()
        .unwrap();
    let tree = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let names: Vec<&str> = tree
        .lines()
        .filter_map(|line| line.split(' ').next())
        .collect();
    assert!(names.contains(&"hyper"), "{tree}");
    for forbidden in ["redis", "jsonwebtoken", "actix-web", "sqlx"] {
        assert!(!names.contains(&forbidden), "{forbidden} is in the tree");
    }
}
