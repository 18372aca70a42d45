//! The authorization endpoint and the code that it gives, with PKCE.

use auth_service::{
    revocations::Revocations,
    storage::{At, Database, UnixSeconds},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use reqwest::{RequestBuilder, Response, redirect::Policy};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use url::Url;

use super::{API, refused, text, with_clients, with_form};
use crate::{
    on_both_databases,
    service::{Backend, Builder, PASSWORD, Service, answered, header},
};

pub(crate) const APP: &str = "app";
const URI: &str = "https://app.example.org/back?kept=1";
/// RFC 7636 appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const STATE: &str = "a state & more";

on_both_databases!(
    a_code_that_is_used_twice_ends_a_login_that_was_spared_before,
    rfc6749_4_1_a_browser_brings_a_code_and_the_client_gets_tokens_of_its_own,
    rfc6749_4_1_2_a_code_that_is_used_twice_ends_the_login_of_its_first_use,
    of_many_who_redeem_a_code_at_once_one_gets_a_login_and_it_ends,
    a_code_dies_with_the_logins_of_its_user,
);

/// A service with a public client beside the confidential ones.
pub(crate) fn with_app(backend: Backend) -> Builder {
    with_clients(backend).option(&format!(
        "--public-clients={APP}={URI}, {APP}=http://127.0.0.1:3000/, other={URI}"
    ))
}

fn challenge(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(verifier))
}

/// The parameters of a good request.
fn request() -> Vec<(&'static str, String)> {
    vec![
        ("response_type", "code".to_owned()),
        ("client_id", APP.to_owned()),
        ("redirect_uri", URI.to_owned()),
        ("state", STATE.to_owned()),
        ("code_challenge", challenge(VERIFIER)),
        ("code_challenge_method", "S256".to_owned()),
    ]
}

impl Service {
    /// Like [`Service::request`], by a client that follows nothing.
    fn browser(&self, method: &str, path: &str) -> RequestBuilder {
        let client = reqwest::Client::builder().redirect(Policy::none());
        let client = client.build().unwrap();
        client.request(method.parse().unwrap(), self.at(path))
    }

    fn submitted(&self, username: &str, password: &str) -> RequestBuilder {
        self.submitted_with(&[("username", username), ("password", password)])
    }

    /// A good request with some parameters in place of others.
    fn submitted_with(&self, changes: &[(&str, &str)]) -> RequestBuilder {
        let request = request();
        let kept = request
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .filter(|(name, _)| changes.iter().all(|(changed, _)| changed != name));
        let pairs: Vec<(&str, &str)> = kept.chain(changes.iter().copied()).collect();
        with_form(self.browser("POST", "/oauth/authorize"), &pairs)
    }

    /// A code that the user `ada` has got by a request with such changes.
    pub(crate) async fn code_for(&self, changes: &[(&str, &str)]) -> String {
        let user = [("username", "ada"), ("password", PASSWORD)];
        let changes = [changes, &user].concat();
        let response = answered(self.submitted_with(&changes)).await;
        assert_eq!(response.status(), 303);
        answer(&response, "code").expect("a code")
    }

    /// A code that the user `ada` has got.
    pub(crate) async fn code(&self) -> String {
        self.code_for(&[]).await
    }

    pub(crate) async fn redeemed(&self, code: &str) -> Response {
        self.redeemed_with(code, &[]).await
    }

    pub(crate) async fn redeemed_with(&self, code: &str, changes: &[(&str, &str)]) -> Response {
        let good = [
            ("grant_type", "authorization_code"),
            ("client_id", APP),
            ("redirect_uri", URI),
            ("code", code),
            ("code_verifier", VERIFIER),
        ];
        let kept = good
            .iter()
            .filter(|(name, _)| changes.iter().all(|(changed, _)| changed != name));
        let pairs: Vec<_> = kept.chain(changes).copied().collect();
        answered(self.oauth("token", &pairs)).await
    }

    pub(crate) async fn renewed_by(
        &self,
        client: &str,
        refresh_token: &str,
        more: &[(&str, &str)],
    ) -> Response {
        let pairs = [
            ("grant_type", "refresh_token"),
            ("client_id", client),
            ("refresh_token", refresh_token),
        ];
        answered(self.oauth("token", &[&pairs[..], more].concat())).await
    }
}

/// A parameter that a redirect gives the client.
fn answer(response: &Response, name: &str) -> Option<String> {
    let url = Url::parse(header(response, "location")).unwrap();
    let mut pairs = url.query_pairs().filter(|(key, _)| key == name);
    let value = pairs.next().map(|(_, value)| value.into_owned());
    assert!(pairs.next().is_none(), "{name} is repeated");
    value
}

/// RFC 6749 §4.1, RFC 7636 §4, RFC 9207 §2, RFC 9700 §4.12, RFC 6749 §6.
async fn rfc6749_4_1_a_browser_brings_a_code_and_the_client_gets_tokens_of_its_own(
    backend: Backend,
) {
    let service = with_app(backend).start().await;
    service.register("ada").await;
    let query = Url::parse_with_params("http://x/", request()).unwrap();
    let path = format!("/oauth/authorize?{}", query.query().unwrap());
    let form = answered(service.browser("GET", &path)).await;
    assert_eq!(form.status(), 200);

    let response = answered(service.submitted("ada", PASSWORD)).await;
    assert_eq!(response.status(), 303);
    assert!(header(&response, "location").starts_with(&format!("{URI}&code=")));
    assert_eq!(header(&response, "cache-control"), "no-store");
    assert_eq!(answer(&response, "state").as_deref(), Some(STATE));
    let issuer = "http://127.0.0.1:8080/auth";
    assert_eq!(answer(&response, "iss").as_deref(), Some(issuer));
    let code = answer(&response, "code").unwrap();

    let redeemed = service.redeemed(&code).await;
    assert_eq!(redeemed.status(), 200);
    assert_eq!(header(&redeemed, "cache-control"), "no-store");
    let tokens: Value = redeemed.json().await.unwrap();
    let claims = service.claims(text(&tokens, "access_token")).await;
    assert_eq!(claims.client_id, APP);
    assert_eq!(claims.preferred_username.as_deref(), Some("ada"));

    let refresh_token = text(&tokens, "refresh_token");
    for other in ["other", "statewise-login", "statewise-page"] {
        let response = service.renewed_by(other, refresh_token, &[]).await;
        refused(response, 400, "invalid_grant").await;
    }
    let renewed = service.renewed_by(APP, refresh_token, &[]).await;
    assert_eq!(renewed.status(), 200, "no other client has spent it");
    let renewed: Value = renewed.json().await.unwrap();
    let claims = service.claims(text(&renewed, "access_token")).await;
    assert_eq!(claims.client_id, APP);

    let hint = [
        ("token", text(&renewed, "refresh_token")),
        ("token_type_hint", "refresh_token"),
    ];
    let found = service.oauth_as(API, "introspect", &hint).await;
    let found: Value = found.json().await.unwrap();
    assert_eq!(found["client_id"], APP);
    service.stop().await;
}

/// RFC 7009 §2.1: the client gives back what was issued to it, and only that.
#[tokio::test]
async fn rfc7009_2_1_the_client_of_a_code_ends_its_login_and_no_other_client_does() {
    let service = with_app(Backend::Sqlite).start().await;
    service.register("ada").await;
    let code = service.code().await;
    let tokens: Value = service.redeemed(&code).await.json().await.unwrap();
    let refresh_token = text(&tokens, "refresh_token").to_owned();
    let revoke = |client: &'static str| {
        service.oauth(
            "revoke",
            &[("client_id", client), ("token", &refresh_token)],
        )
    };
    for other in ["other", "statewise-login"] {
        refused(answered(revoke(other)).await, 400, "invalid_grant").await;
    }
    // Without Redis it is in the database only.
    assert_eq!(answered(revoke(APP)).await.status(), 202);
    let renewed = service.renewed_by(APP, &refresh_token, &[]).await;
    refused(renewed, 400, "invalid_grant").await;
    service.stop().await;
}

/// RFC 6749 §4.1.3, RFC 7636 §4.6, RFC 9700 §2.1.1: a code that was stolen is worth nothing without
/// the verifier, to another client or with another URI, and the attempt does not spend it.
#[tokio::test]
async fn rfc7636_4_6_who_cannot_prove_what_a_code_was_issued_for_gets_nothing() {
    let service = with_app(Backend::Sqlite).start().await;
    service.register("ada").await;
    let code = service.code().await;
    let wrong = VERIFIER.replace('d', "e");
    let challenge = challenge(VERIFIER);
    for changes in [
        [("code_verifier", wrong.as_str())],
        [("code_verifier", &challenge)],
        [("client_id", "other")],
        [("client_id", "statewise-page")],
        [("client_id", "statewise-login")],
        [("redirect_uri", "http://127.0.0.1:3000/")],
        [("redirect_uri", "https://app.example.org/back")],
        [("code", "another")],
    ] {
        let response = service.redeemed_with(&code, &changes).await;
        refused(response, 400, "invalid_grant").await;
    }
    for (changes, status, error) in [
        ([("code_verifier", "")], 400, "invalid_request"),
        ([("code_verifier", "short")], 400, "invalid_request"),
        ([("redirect_uri", "")], 400, "invalid_request"),
        ([("code", "")], 400, "invalid_request"),
        ([("client_id", "eve")], 401, "invalid_client"),
    ] {
        let response = service.redeemed_with(&code, &changes).await;
        refused(response, status, error).await;
    }
    let as_confidential = service
        .oauth_as(
            API,
            "token",
            &[
                ("grant_type", "authorization_code"),
                ("redirect_uri", URI),
                ("code", &code),
                ("code_verifier", VERIFIER),
            ],
        )
        .await;
    refused(as_confidential, 400, "invalid_grant").await;
    assert_eq!(service.redeemed(&code).await.status(), 200);
    service.stop().await;
}

/// RFC 6749 §4.1.2 and §10.5.
async fn rfc6749_4_1_2_a_code_that_is_used_twice_ends_the_login_of_its_first_use(backend: Backend) {
    let service = with_app(backend).start().await;
    service.register("ada").await;
    let code = service.code().await;
    let tokens: Value = service.redeemed(&code).await.json().await.unwrap();
    let refresh_token = text(&tokens, "refresh_token");
    // A thief without the verifier ends nothing.
    let thief = [("code_verifier", "x".repeat(43))];
    let thief = thief
        .each_ref()
        .map(|(name, value)| (*name, value.as_str()));
    refused(
        service.redeemed_with(&code, &thief).await,
        400,
        "invalid_grant",
    )
    .await;
    let renewed = service.renewed_by(APP, refresh_token, &[]).await;
    assert_eq!(renewed.status(), 200);
    let renewed: Value = renewed.json().await.unwrap();

    // Even when the code would be over by itself.
    service.clock.advance(std::time::Duration::from_secs(300));
    refused(service.redeemed(&code).await, 400, "invalid_grant").await;
    let last = service
        .renewed_by(APP, text(&renewed, "refresh_token"), &[])
        .await;
    refused(last, 400, "invalid_grant").await;
    let found = service.introspected(text(&renewed, "access_token")).await;
    assert_eq!(found, json!({"active": false}));
    service.stop().await;
}

/// RFC 6749 §4.1.2.
async fn a_code_that_is_used_twice_ends_a_login_that_was_spared_before(backend: Backend) {
    let service = with_app(backend).start().await;
    service.register("ada").await;
    let code = service.code().await;
    let tokens: Value = service.redeemed(&code).await.json().await.unwrap();
    let claims = service.claims(text(&tokens, "access_token")).await;
    let database = Database::open(&service.database_settings()).await.unwrap();
    let revocations = Revocations::new(database, std::time::Duration::from_secs(900));
    let now = UnixSeconds::now(&service.clock);
    let others = revocations.end_others(&claims.sub, claims.sid.as_deref(), At::untraced(now));
    assert!(others.await.unwrap().is_some());
    let renewed = service
        .renewed_by(APP, text(&tokens, "refresh_token"), &[])
        .await;
    let renewed: Value = renewed.json().await.unwrap();
    refused(service.redeemed(&code).await, 400, "invalid_grant").await;
    let last = service
        .renewed_by(APP, text(&renewed, "refresh_token"), &[])
        .await;
    refused(last, 400, "invalid_grant").await;
    service.stop().await;
}

/// RFC 6749 §4.1.2.
async fn of_many_who_redeem_a_code_at_once_one_gets_a_login_and_it_ends(backend: Backend) {
    let service = with_app(backend).start().await;
    service.register("ada").await;
    let code = service.code().await;
    let attempts: Vec<_> = (0..32)
        .map(|_| {
            let pairs = [
                ("grant_type", "authorization_code"),
                ("client_id", APP),
                ("redirect_uri", URI),
                ("code", &code),
                ("code_verifier", VERIFIER),
            ];
            tokio::spawn(answered(service.oauth("token", &pairs)))
        })
        .collect();
    let mut logins = Vec::new();
    for attempt in attempts {
        let response = attempt.await.unwrap();
        if response.status() == 200 {
            logins.push(response.json::<Value>().await.unwrap());
        } else {
            refused(response, 400, "invalid_grant").await;
        }
    }
    assert_eq!(logins.len(), 1);
    let renewed = service
        .renewed_by(APP, text(&logins[0], "refresh_token"), &[])
        .await;
    refused(renewed, 400, "invalid_grant").await;
    service.stop().await;
}

/// A service that a user let act for them does what the APIs offer, and is no administrator of accounts.
#[tokio::test]
async fn a_client_changes_no_account_and_no_key_whatever_its_user_may() {
    let service = with_app(Backend::Sqlite)
        .option("--admin-username=ada")
        .option(&format!("--admin-password={PASSWORD}"))
        .start()
        .await;
    let code = service.code().await;
    let tokens: Value = service.redeemed(&code).await.json().await.unwrap();
    let token = text(&tokens, "access_token");
    assert!(
        service
            .claims(token)
            .await
            .roles
            .contains(&"admin".to_owned())
    );
    for (method, path) in [
        ("GET", "/sessions"),
        ("DELETE", "/sessions"),
        ("DELETE", "/sessions/x"),
        ("GET", "/users/ada"),
        ("PATCH", "/users/ada"),
        ("POST", "/revocations"),
        ("GET", "/keys"),
        ("POST", "/keys/rotate"),
    ] {
        let request = service.request(method, path).json(&json!({"kind": "all"}));
        let response = answered(request.bearer_auth(token)).await;
        assert_eq!(response.status(), 403, "{method} {path}");
        assert!(header(&response, "www-authenticate").contains("insufficient_scope"));
    }
    let logout = service.request("POST", "/logout").bearer_auth(token);
    assert!(
        answered(logout).await.status().is_success(),
        "its own login"
    );
    service.stop().await;
}

/// RFC 6749 §4.1.2.
#[tokio::test]
async fn a_code_is_good_for_a_minute() {
    let service = with_app(Backend::Sqlite).start().await;
    service.register("ada").await;
    for (seconds, status) in [(59, 200), (60, 400)] {
        let code = service.code().await;
        service
            .clock
            .advance(std::time::Duration::from_secs(seconds));
        assert_eq!(service.redeemed(&code).await.status(), status, "{seconds}");
    }
    service.stop().await;
}

async fn a_code_dies_with_the_logins_of_its_user(backend: Backend) {
    let service = with_app(backend)
        .option("--admin-username=root")
        .option(&format!("--admin-password={PASSWORD}"))
        .with_redis()
        .start()
        .await;
    service.register("ada").await;
    let root = service.logged_in("root", "token").await;
    let as_root = |method: &str, path: &str, body: Value| {
        let request = service.request(method, path).json(&body);
        answered(request.bearer_auth(text(&root, "access_token")))
    };
    let code = service.code().await;
    let user = json!({"kind": "user", "id": "ada"});
    assert_eq!(as_root("POST", "/revocations", user).await.status(), 200);
    refused(service.redeemed(&code).await, 400, "invalid_grant").await;

    // A login after it is a new one, even in the same second.
    let code = service.code().await;
    assert_eq!(service.redeemed(&code).await.status(), 200);

    let code = service.code().await;
    let disabled = json!({"disabled": true});
    assert_eq!(as_root("PATCH", "/users/ada", disabled).await.status(), 200);
    refused(service.redeemed(&code).await, 400, "invalid_grant").await;
    let form = answered(service.submitted("ada", PASSWORD)).await;
    assert_eq!(form.status(), 403);
    assert!(
        form.text()
            .await
            .unwrap()
            .contains("This account is disabled")
    );
    service.stop().await;
}

/// RFC 9700 §4.16, ASVS 5.0 §3.4: nobody frames the form, and nothing in it is executed.
#[tokio::test]
async fn the_form_is_framed_by_nobody_and_repeats_no_markup() {
    let service = with_app(Backend::Sqlite).start().await;
    let name = "\"><script>alert(1)</script>";
    let response = answered(service.submitted(name, PASSWORD)).await;
    assert_eq!(response.status(), 401);
    assert_eq!(
        header(&response, "content-type"),
        "text/html; charset=utf-8"
    );
    assert_eq!(header(&response, "cache-control"), "no-store");
    assert_eq!(header(&response, "x-frame-options"), "DENY");
    assert_eq!(header(&response, "referrer-policy"), "same-origin");
    let policy = header(&response, "content-security-policy");
    for directive in [
        "default-src 'none'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    ] {
        assert!(
            policy.split("; ").any(|part| part == directive),
            "{directive}"
        );
    }
    assert!(!policy.contains("unsafe"));
    let page = response.text().await.unwrap();
    assert!(page.contains("The name or the password is wrong"));
    assert!(page.contains("&quot;&gt;&lt;script&gt;") && !page.contains("<script"));
    assert!(page.contains("value=\"a state &amp; more\""));
    assert!(!page.contains(PASSWORD), "a password is not sent back");
    service.stop().await;
}

/// RFC 6749 §10.10: the form guesses no faster than `POST /login`, and for the same budget.
#[tokio::test]
async fn the_form_has_the_limits_of_every_login() {
    let service = with_app(Backend::Sqlite)
        .option("--login-limit-account-at-address=2/15m")
        .start()
        .await;
    service.register("ada").await;
    for _ in 0..2 {
        let response = answered(service.submitted("ada", "wrong password")).await;
        assert_eq!(response.status(), 401);
        assert!(!header(&response, "ratelimit").is_empty());
    }
    let response = answered(service.submitted("ada", PASSWORD)).await;
    assert_eq!(response.status(), 429);
    assert!(!header(&response, "retry-after").is_empty());
    assert!(
        response
            .text()
            .await
            .unwrap()
            .contains("Too many logins have failed")
    );
    assert_eq!(service.login("ada", PASSWORD, "token").await.status(), 429);
    service.stop().await;
}

/// RFC 6749 §10.12: a site that logs its visitor in as somebody else is refused before the password.
#[tokio::test]
async fn the_form_of_another_site_is_refused() {
    let service = with_app(Backend::Sqlite).start().await;
    service.register("ada").await;
    for (name, value, status) in [
        ("sec-fetch-site", "cross-site", 403),
        ("sec-fetch-site", "same-site", 403),
        ("sec-fetch-site", "same-origin", 303),
        ("origin", "https://evil.example", 403),
    ] {
        let request = service.submitted("ada", PASSWORD);
        let response = answered(request.header(name, value)).await;
        assert_eq!(response.status(), status, "{name}: {value}");
    }
    service.stop().await;
}

/// RFC 6749 §4.1.2.1, RFC 9700 §4.11.
#[tokio::test]
async fn rfc6749_4_1_2_1_nobody_is_sent_to_an_unknown_uri_and_faults_go_to_a_known_one() {
    let service = with_app(Backend::Sqlite).start().await;
    for (name, value, error) in [
        ("client_id", "eve", None),
        ("redirect_uri", "https://eve.example/", None),
        ("response_type", "token", Some("unsupported_response_type")),
        ("code_challenge_method", "plain", Some("invalid_request")),
        ("scope", "a\"b", Some("invalid_scope")),
        ("resource", "https://eve.example/", Some("invalid_target")),
        ("dpop_jkt", "x", Some("invalid_request")),
    ] {
        let mut pairs = request();
        pairs.retain(|(other, _)| *other != name);
        pairs.push((name, value.to_owned()));
        let url = Url::parse_with_params("http://x/", &pairs).unwrap();
        let path = format!("/oauth/authorize?{}", url.query().unwrap());
        let pairs: Vec<_> = pairs
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        for request in [
            service.browser("GET", &path),
            with_form(service.browser("POST", "/oauth/authorize"), &pairs),
        ] {
            let response = answered(request).await;
            match error {
                None => {
                    assert_eq!(response.status(), 400, "{name}");
                    assert!(response.headers().get("location").is_none());
                    assert!(response.text().await.unwrap().contains(name));
                }
                Some(error) => {
                    assert_eq!(response.status(), 303, "{name}");
                    assert_eq!(answer(&response, "error").as_deref(), Some(error));
                    assert_eq!(answer(&response, "state").as_deref(), Some(STATE));
                    assert!(answer(&response, "iss").is_some());
                    assert_eq!(answer(&response, "code"), None);
                }
            }
        }
    }
    service.stop().await;
}

#[tokio::test]
async fn a_form_that_cannot_be_read_is_answered_as_a_page() {
    let service = with_app(Backend::Sqlite).start().await;
    let post = |content_type: &'static str, body: Vec<u8>| {
        let request = service.browser("POST", "/oauth/authorize");
        answered(request.header("content-type", content_type).body(body))
    };
    let form = "application/x-www-form-urlencoded";
    for (response, status) in [
        (post("application/json", b"{}".to_vec()).await, 400),
        (post(form, vec![b'a'; 1 << 20]).await, 413),
        (post(form, Vec::new()).await, 400),
    ] {
        assert_eq!(response.status(), status);
        assert_eq!(
            header(&response, "content-type"),
            "text/html; charset=utf-8"
        );
    }
    service.stop().await;
}

/// What the page does is in its script; here is that it is served, may run, and asks what exists.
#[tokio::test]
async fn the_page_of_this_service_is_a_client_that_is_known() {
    let service = Builder::new(Backend::Sqlite).start().await;
    let page = service.get("/page").await;
    assert_eq!(page.status(), 200);
    let policy = header(&page, "content-security-policy").to_owned();
    assert!(policy.contains("script-src 'self'") && policy.contains("connect-src 'self'"));
    let page = page.text().await.unwrap();
    for (path, content_type) in [
        ("page.js", "text/javascript; charset=utf-8"),
        ("page.css", "text/css; charset=utf-8"),
    ] {
        assert!(page.contains(path));
        let file = service.get(&format!("/{path}")).await;
        assert_eq!(file.status(), 200);
        assert_eq!(header(&file, "content-type"), content_type);
    }
    let mut pairs = request();
    pairs.retain(|(name, _)| !["client_id", "redirect_uri"].contains(name));
    pairs.push(("client_id", "statewise-page".to_owned()));
    pairs.push(("redirect_uri", "http://127.0.0.1:8080/auth/page".to_owned()));
    let url = Url::parse_with_params("http://x/", &pairs).unwrap();
    let path = format!("/oauth/authorize?{}", url.query().unwrap());
    assert_eq!(service.get(&path).await.status(), 200);
    service.stop().await;
}
