//! What the world may know.

use serde_json::Value;

use crate::{
    oauth::code::with_app,
    oauth::{EDGE, SECRET, WORKER, refused, text, with_clients},
    service::{Backend, Builder, answered, header},
};

/// RFC 8414 §2 and §3.3.
#[tokio::test]
async fn rfc8414_3_3_the_metadata_name_the_issuer_byte_for_byte_and_only_what_exists() {
    let service = Builder::new(Backend::Sqlite)
        .option("--issuer=https://Auth.example.org/a%2Fb")
        .start()
        .await;
    let response = service.get("/.well-known/oauth-authorization-server").await;
    assert_eq!(response.status(), 200);
    let metadata: Value = response.json().await.unwrap();
    // RFC 8414 §3.1 and §5, OpenID Connect Discovery §4.
    for place in [
        "/.well-known/oauth-authorization-server/a%2Fb",
        "/.well-known/openid-configuration",
        "/.well-known/openid-configuration/a%2Fb",
    ] {
        let response = service.get(place).await;
        assert_eq!(response.status(), 200, "{place}");
        assert_eq!(response.json::<Value>().await.unwrap(), metadata, "{place}");
    }
    let elsewhere = "/.well-known/oauth-authorization-server/a";
    assert_eq!(service.get(elsewhere).await.status(), 404);
    let issuer = "https://Auth.example.org/a%2Fb";
    assert_eq!(metadata["issuer"], issuer);
    let endpoints = metadata.as_object().unwrap().iter();
    let endpoints =
        endpoints.filter(|(name, _)| name.ends_with("_endpoint") || *name == "jwks_uri");
    let mut found = 0;
    for (endpoint, url) in endpoints {
        let path = url.as_str().unwrap().strip_prefix(issuer);
        let path = path.expect("below the issuer");
        assert_ne!(service.get(path).await.status(), 404, "{endpoint}");
        found += 1;
    }
    assert_eq!(found, 5);
    service.stop().await;
}

/// RFC 8414 §2 and §3.2, RFC 9700 §2.4: each grant that is listed works, none that is not does.
#[tokio::test]
async fn rfc8414_2_the_grants_that_are_listed_work_and_no_others() {
    let service = with_app(Backend::Sqlite).start().await;
    service.register("ada").await;
    let metadata = service.get("/.well-known/oauth-authorization-server").await;
    let metadata: Value = metadata.json().await.unwrap();
    let listed = metadata["grant_types_supported"].as_array().unwrap();
    let login = service.logged_in("ada", "token").await;
    for grant in [
        "refresh_token",
        "client_credentials",
        "urn:ietf:params:oauth:grant-type:token-exchange",
        "authorization_code",
        // The registered others, and one that is none.
        "implicit",
        "password",
        "urn:ietf:params:oauth:grant-type:jwt-bearer",
        "urn:ietf:params:oauth:grant-type:saml2-bearer",
        "urn:ietf:params:oauth:grant-type:device_code",
        "none",
    ] {
        let form = [
            ("grant_type", grant),
            ("refresh_token", text(&login, "refresh_token")),
            ("subject_token", text(&login, "access_token")),
            (
                "subject_token_type",
                "urn:ietf:params:oauth:token-type:access_token",
            ),
        ];
        let request = service.oauth("token", &form);
        if grant == "authorization_code" {
            let code = service.code().await;
            assert_eq!(service.redeemed(&code).await.status(), 200);
            assert!(listed.contains(&Value::from(grant)));
            continue;
        }
        let response = answered(match grant {
            "refresh_token" => request,
            "client_credentials" => request.basic_auth(WORKER, Some(SECRET)),
            _ => request.basic_auth(EDGE, Some(SECRET)),
        })
        .await;
        if listed.contains(&Value::from(grant)) {
            assert_eq!(response.status(), 200, "{grant}");
        } else {
            refused(response, 400, "unsupported_grant_type").await;
        }
    }
    service.stop().await;
}

/// RFC 8414 §2: each way to authenticate that is listed works at its endpoint.
#[tokio::test]
async fn rfc8414_2_the_ways_to_authenticate_that_are_listed_work() {
    let service = with_clients(Backend::Sqlite).start().await;
    let metadata = service.get("/.well-known/oauth-authorization-server").await;
    let metadata: Value = metadata.json().await.unwrap();
    for (endpoint, name) in [
        ("introspect", "introspection"),
        ("revoke", "revocation"),
        ("token", "token"),
    ] {
        let listed = &metadata[format!("{name}_endpoint_auth_methods_supported")];
        let listed = listed.as_array().unwrap();
        assert!(!listed.is_empty());
        let form = |more: &[(&'static str, &'static str)]| {
            let fixed = [("token", "x"), ("grant_type", "client_credentials")];
            service.oauth(endpoint, &[&fixed, more].concat())
        };
        for (method, request) in [
            ("none", form(&[])),
            (
                "client_secret_basic",
                form(&[]).basic_auth(WORKER, Some(SECRET)),
            ),
            (
                "client_secret_post",
                form(&[("client_id", WORKER), ("client_secret", SECRET)]),
            ),
        ] {
            let status = answered(request).await.status();
            match (listed.contains(&Value::from(method)), endpoint) {
                // A public client may renew and nothing else, which the grants' own tests show.
                (true, "token") if method == "none" => assert_eq!(status, 401),
                (true, _) => assert_eq!(status, 200, "{method} at {endpoint}"),
                (false, _) => assert_eq!(status, 401, "{method} at {endpoint}"),
            }
        }
    }
    service.stop().await;
}

/// RFC 7517 §5, RFC 7518 §6.3.2.
#[tokio::test]
async fn the_key_set_may_be_kept_for_five_minutes_and_has_no_private_member() {
    for (algorithm, members) in [
        ("RS256", ["alg", "e", "kid", "kty", "n", "use"].as_slice()),
        ("ES256", &["alg", "crv", "kid", "kty", "use", "x", "y"]),
        ("EdDSA", &["alg", "crv", "kid", "kty", "use", "x"]),
    ] {
        let service = Builder::new(Backend::Sqlite)
            .option(&format!("--algorithm={algorithm}"))
            .start()
            .await;
        let response = service.get("/.well-known/jwks.json").await;
        assert_eq!(header(&response, "cache-control"), "public, max-age=300");
        let set: Value = response.json().await.unwrap();
        let key = set["keys"][0].as_object().unwrap();
        let mut names: Vec<_> = key.keys().map(String::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, members, "{algorithm}");

        service.register("ada").await;
        let login = service.logged_in("ada", "token").await;
        service
            .claims(login["access_token"].as_str().unwrap())
            .await;
        service.stop().await;
    }
}
