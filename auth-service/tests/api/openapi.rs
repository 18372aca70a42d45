//! The document is true: it is what the copy in the repository says, and it has every path.

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::Value;

use crate::service::{Backend, Builder, answered, header};

fn here(path: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

#[tokio::test]
async fn the_copy_in_the_repository_is_what_is_served() {
    let service = Builder::new(Backend::Sqlite).start().await;
    let response = service.get("/openapi.json").await;
    assert_eq!(header(&response, "content-type"), "application/json");
    let served = response.text().await.unwrap();
    let copy = here("../docs/openapi/auth-service.json");
    if std::env::var_os("STATEWISE_WRITE_OPENAPI").is_some() {
        fs::write(&copy, &served).unwrap();
    }
    let copy = fs::read_to_string(copy).unwrap();
    assert!(copy == served, "it differs: renew it with `make openapi`");
    service.stop().await;
}

#[tokio::test]
async fn every_path_is_described_with_its_methods() {
    let service = Builder::new(Backend::Sqlite).start().await;
    let document: Value = service.get("/openapi.json").await.json().await.unwrap();
    let described = document["paths"].as_object().unwrap();
    let paths: BTreeSet<String> = described.keys().cloned().collect();
    let common = ["/healthz", "/readyz", "/metrics", "/openapi.json"];
    let routed = routes()
        .into_iter()
        .chain(common.map(str::to_owned))
        .collect();
    assert_eq!(paths, routed);
    for (path, methods) in described {
        // No path is taken by this method.
        let refused = answered(service.request("TRACE", &path.replace(['{', '}'], ""))).await;
        assert_eq!(refused.status(), 405, "{path}");
        let mut allowed: BTreeSet<String> = header(&refused, "allow")
            .split(", ")
            .map(str::to_lowercase)
            .collect();
        // It is GET without a body.
        allowed.remove("head");
        let described: BTreeSet<String> = methods.as_object().unwrap().keys().cloned().collect();
        assert_eq!(described, allowed, "{path}");
    }
    service.stop().await;
}

/// The paths in the list of routes, and in the constants beside their handlers.
fn routes() -> Vec<String> {
    let mut sources = vec![here("src/clients/public.rs")];
    let mut folders = vec![here("src/http")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                sources.push(path);
            }
        }
    }
    let mut found = Vec::new();
    for source in sources {
        let text = fs::read_to_string(&source).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap();
        for line in code
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"))
        {
            if !line.contains("resource(") && !line.contains("_PATH: &str") {
                continue;
            }
            found.extend(
                line.split('"')
                    .filter(|text| text.starts_with('/'))
                    .map(str::to_owned),
            );
        }
        // `resource(` may stand at the end of a line.
        for rest in code.split("resource(\n").skip(1) {
            let first = rest.trim_start().split('"').nth(1).unwrap_or_default();
            found.extend(first.starts_with('/').then(|| first.to_owned()));
        }
    }
    found.sort();
    found.dedup();
    found
}
