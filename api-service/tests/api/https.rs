//! Keys, metadata and introspection over https, by an authority of the operator's own.

use std::{fs, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use api_service::{Authorities, Discovery, Jwt, KeySource, StrategyConfig, TokenSettings};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{ServerConfig, pki_types::PrivatePkcs8KeyDer};
use serde_json::json;
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::{
    authority::Authority,
    binary::binary,
    eventually,
    issuer::{Answer, Issuer},
    process::Process,
    service::{NEVER, NOW, Service, trusted},
    signer::{Signer, claims},
};

const SOON: Duration = Duration::from_millis(20);

/// A certificate authority, with the file that makes it trusted.
struct Own {
    authority: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
}

impl Own {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let own = Self {
            authority: CertifiedIssuer::self_signed(params, key).unwrap(),
            folder: tempfile::tempdir().unwrap(),
        };
        fs::write(own.file(), own.authority.pem()).unwrap();
        own
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("authority.pem")
    }

    fn trusted(&self) -> Authorities {
        Authorities::read(&self.file()).unwrap()
    }

    /// Ends TLS in front of a server, with a certificate for `localhost`; its address.
    async fn in_front_of(&self, server: SocketAddr) -> String {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.authority).unwrap();
        let chain = vec![certificate.der().clone()];
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key.into())
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    // Who does not trust the certificate goes away.
                    if let Ok(mut client) = acceptor.accept(client).await {
                        let mut server = TcpStream::connect(server).await?;
                        tokio::io::copy_bidirectional(&mut client, &mut server).await?;
                    }
                    Ok::<(), std::io::Error>(())
                });
            }
        });
        format!("https://localhost:{port}")
    }
}

fn jwt(name: &str, keys: KeySource, authorities: Authorities) -> StrategyConfig {
    let mut issuer = trusted(name, keys, NEVER, SOON);
    issuer.jwks.authorities = authorities;
    StrategyConfig::from(Jwt(TokenSettings {
        issuer,
        others: Vec::new(),
        remembered: 0,
    }))
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_and_metadata_are_fetched_over_https_by_an_authority_of_ones_own() {
    let (own, signer) = (Own::new(), Signer::es256("k1"));
    let issuer = Issuer::start(Answer::Keys(signer.jwks()));
    let name = own.in_front_of(issuer.address()).await;
    let keys = format!("{name}/jwks.json");
    let metadata = json!({"issuer": name, "jwks_uri": keys}).to_string();
    issuer.answers_at(
        "/.well-known/openid-configuration",
        Answer::Other(200, metadata),
    );
    let mut claims = claims(NOW, &["user"]);
    claims["iss"] = name.as_str().into();
    let token = signer.sign(&claims);
    for source in [
        KeySource::At(keys.parse().unwrap()),
        KeySource::Discovered(Discovery::new(&name, false).unwrap()),
    ] {
        let service = Service::ready(jwt(&name, source.clone(), own.trusted())).await;
        assert_eq!(service.me(&token).await.status, 200);

        // Another authority's word is worth nothing here, and that is no fault of the caller's.
        let service = Service::start(jwt(&name, source, Own::new().trusted()));
        eventually(async || {
            let readiness = service.get("/readyz", &[]).await;
            assert_eq!(readiness.status, 503);
            readiness.body.contains("certificate")
        })
        .await;
        service.me(&token).await.is_undecidable();
    }
}

/// Keys of an https issuer do not come over http, even from this machine.
#[tokio::test(flavor = "multi_thread")]
async fn metadata_over_https_name_no_keys_over_http() {
    let (own, signer) = (Own::new(), Signer::es256("k1"));
    let issuer = Issuer::start(Answer::Keys(signer.jwks()));
    let name = own.in_front_of(issuer.address()).await;
    let metadata = json!({"issuer": name, "jwks_uri": issuer.url().as_str()}).to_string();
    issuer.answers_at(
        "/.well-known/openid-configuration",
        Answer::Other(200, metadata),
    );
    let source = KeySource::Discovered(Discovery::new(&name, true).unwrap());
    let service = Service::start(jwt(&name, source, own.trusted()));
    eventually(async || {
        let readiness = service.get("/readyz", &[]).await;
        readiness.body.contains("is no URL of https")
    })
    .await;
    assert_eq!(issuer.asked(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn introspection_is_asked_over_https_by_an_authority_of_ones_own() {
    let own = Own::new();
    let authority = Authority::start();
    let url = own.in_front_of(authority.address()).await + "/oauth/introspect";
    let user = authority.log_in(&["user"]);
    let asking = |trusted| authority.strategy_over_https(url.parse().unwrap(), trusted);
    let service = Service::ready(asking(own.trusted())).await;
    assert_eq!(service.me(&user).await.status, 200);
    assert_eq!(service.me("nobodys").await.status, 401);
    let service = Service::start(asking(Own::new().trusted()));
    service.me(&user).await.is_undecidable();
}

/// In place of the machine's: a file without any.
const NO_AUTHORITIES: (&str, &str) = ("SSL_CERT_FILE", "/dev/null");

#[test]
fn https_without_any_authority_ends_with_1_and_says_what_is_missing() {
    let introspection = [
        ("API_STRATEGY", "introspection"),
        ("API_CLIENT_ID", "api"),
        ("API_CLIENT_SECRET", "secret"),
        (
            "API_INTROSPECTION_URL",
            "https://user:hunter2@id.example/introspect",
        ),
    ];
    let keys = [
        ("API_STRATEGY", "jwt"),
        ("API_JWKS_URL", "https://user:hunter2@id.example/keys"),
    ];
    let discovered = [
        ("API_STRATEGY", "jwt"),
        ("API_ISSUER", "https://id.example"),
        ("API_JWKS_URL", "discover"),
    ];
    let other = [
        ("API_STRATEGY", "jwt"),
        ("API_OTHER_ISSUERS", r#"[{"issuer":"https://id.example"}]"#),
    ];
    for variables in [&introspection[..], &keys, &discovered, &other] {
        let mut command = binary(variables);
        let ended = command
            .envs([NO_AUTHORITIES, ("API_LISTEN", "127.0.0.1:0")])
            .output()
            .unwrap();
        let text = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(1), "{variables:?}: {text}");
        for says in [
            "https://id.example cannot be asked",
            "SSL_CERT_FILE",
            "API_CA_FILE",
        ] {
            assert!(text.contains(says), "{variables:?}: {text}");
        }
        assert!(!text.contains("hunter2"), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_any_authority_a_service_that_asks_over_http_starts() {
    let signer = Signer::es256("k1");
    let issuer = Issuer::start(Answer::Keys(signer.jwks()));
    Process::start(&[("API_STRATEGY", "jwt"), NO_AUTHORITIES], &issuer);
    let authority = Authority::start();
    let introspection = authority.url().to_string();
    let variables = [
        ("API_STRATEGY", "introspection"),
        ("API_INTROSPECTION_URL", introspection.as_str()),
        ("API_CLIENT_ID", crate::authority::CLIENT),
        ("API_CLIENT_SECRET", crate::authority::SECRET),
        NO_AUTHORITIES,
    ];
    Process::start(&variables, &issuer);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_of_ones_own_is_enough_on_a_machine_without_any() {
    let (own, signer) = (Own::new(), Signer::es256("k1"));
    let issuer = Issuer::start(Answer::Keys(signer.jwks()));
    let keys = own.in_front_of(issuer.address()).await + "/jwks.json";
    let file = own.file().display().to_string();
    let variables = [
        ("API_STRATEGY", "jwt"),
        ("API_JWKS_URL", keys.as_str()),
        ("API_CA_FILE", file.as_str()),
        NO_AUTHORITIES,
    ];
    Process::start(&variables, &issuer);
    assert_eq!(issuer.asked(), 1);
}

#[test]
fn a_file_of_authorities_that_is_none_ends_with_64_and_is_named() {
    for (strategy, file) in [
        ("jwt", "/nowhere/authority.pem"),
        ("introspection", "/dev/null"),
    ] {
        let ended = binary(&[("API_STRATEGY", strategy), ("API_CA_FILE", file)])
            .output()
            .unwrap();
        let text = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(64), "{text}");
        assert!(
            text.contains("API_CA_FILE: ") && text.contains(file),
            "{text}"
        );
    }
}
