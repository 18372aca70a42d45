//! What the world may know.

use serde_json::Value;

use crate::service::{Backend, Builder, header};

#[tokio::test]
async fn the_metadata_name_the_issuer_byte_for_byte_and_only_what_exists() {
    let service = Builder::new(Backend::Sqlite)
        .option("--issuer=https://Auth.example.org/a%2Fb")
        .start()
        .await;
    let response = service.get("/.well-known/oauth-authorization-server").await;
    assert_eq!(response.status(), 200);
    let metadata: Value = response.json().await.unwrap();
    let issuer = "https://Auth.example.org/a%2Fb";
    assert_eq!(metadata["issuer"], issuer);
    for endpoint in ["token_endpoint", "jwks_uri"] {
        let url = metadata[endpoint].as_str().unwrap();
        let path = url.strip_prefix(issuer).expect("below the issuer");
        assert_ne!(service.get(path).await.status(), 404, "{endpoint}");
    }
    assert_eq!(
        metadata["grant_types_supported"],
        serde_json::json!(["refresh_token"])
    );
    service.stop().await;
}

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
