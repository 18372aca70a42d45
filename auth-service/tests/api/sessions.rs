//! `/sessions`: a user's own logins.

use serde_json::{Value, json};

use crate::{
    accounts::Caller,
    on_both_databases,
    revocations::Replica,
    service::{Backend, Builder, PASSWORD, Service, answered, header, problem},
};

on_both_databases!(
    a_user_sees_and_ends_logins_of_both_kinds_and_none_of_others,
    a_user_has_so_many_logins_of_a_kind_and_sees_them_in_pages,
);

async fn listed(service: &Service, caller: &Caller) -> Vec<Value> {
    let response = caller.get(service, "/sessions").await;
    assert_eq!(response.status(), 200);
    assert_eq!(header(&response, "cache-control"), "no-store");
    let body: Value = response.json().await.unwrap();
    body["sessions"].as_array().unwrap().clone()
}

fn current(logins: &[Value]) -> &Value {
    let mut current = logins.iter().filter(|login| login["current"] == true);
    let found = current.next().expect("one is current");
    assert!(current.next().is_none(), "only one is current");
    found
}

async fn a_user_sees_and_ends_logins_of_both_kinds_and_none_of_others(backend: Backend) {
    let service = Builder::new(backend).with_redis().start().await;
    for name in ["ada", "eve"] {
        service.register(name).await;
    }
    let token = Caller::token(&service, "ada").await;
    let session = Caller::session(&service, "ada").await;
    let eve = Caller::session(&service, "eve").await;

    let by_token = listed(&service, &token).await;
    let by_session = listed(&service, &session).await;
    assert_eq!(by_token.len(), 2);
    assert_eq!(by_session.len(), 2);
    assert_eq!(current(&by_token)["kind"], "token");
    assert_eq!(current(&by_session)["kind"], "session");
    let text = serde_json::to_string(&by_session).unwrap();
    for caller in [&token, &session] {
        assert!(
            !text.contains(caller.credential()),
            "no credential is shown"
        );
    }

    let path = |login: &Value| format!("/sessions/{}", login["id"].as_str().unwrap());
    for login in &by_token {
        let refused = eve.delete(&service, &path(login)).await;
        assert_eq!(
            refused.status(),
            404,
            "another's login is as unknown as none"
        );
        problem(refused).await;
    }
    assert_eq!(listed(&service, &token).await.len(), 2);

    let ended = token.delete(&service, &path(current(&by_session))).await;
    assert_eq!(ended.status(), 200);
    assert_eq!(session.get(&service, "/sessions").await.status(), 401);
    let again = token.delete(&service, &path(current(&by_session))).await;
    assert_eq!(again.status(), 404);
    let own = token.delete(&service, &path(current(&by_token))).await;
    assert_eq!(own.status(), 200);
    assert_eq!(token.get(&service, "/sessions").await.status(), 401);
    service.stop().await;
}

#[tokio::test]
async fn asvs_7_4_3_everywhere_but_here_ends_all_other_logins() {
    let service = Builder::new(Backend::Sqlite).with_redis().start().await;
    service.register("ada").await;
    let replica = Replica::of(&service).await;
    for here_by in ["token", "session"] {
        let here = match here_by {
            "token" => Caller::token(&service, "ada").await,
            _ => Caller::session(&service, "ada").await,
        };
        let elsewhere = [
            Caller::token(&service, "ada").await,
            Caller::token(&service, "ada").await,
            Caller::session(&service, "ada").await,
        ];
        let ended = here.delete(&service, "/sessions").await;
        assert_eq!(ended.status(), 200);
        for other in &elsewhere {
            assert_eq!(other.get(&service, "/sessions").await.status(), 401);
        }
        let left = listed(&service, &here).await;
        assert_eq!(left.len(), 1, "{here_by}");
        assert_eq!(left[0]["current"], true);
        let ended = service.claims(elsewhere[0].credential()).await;
        replica.hears_of(&ended).await;
        if here_by == "token" {
            assert!(!replica.refuses(&service.claims(here.credential()).await));
        }
    }
    service.stop().await;
}

#[tokio::test]
async fn a_login_ends_the_session_before_it_beside_whatever_cookies() {
    let service = Builder::new(Backend::Sqlite).with_redis().start().await;
    service.register("ada").await;
    let login = json!({"username": "ada", "password": PASSWORD, "credential": "session"});
    for beside in [&b"theme=dark; "[..], b"name=\xe9; ", b"no value; "] {
        let before = Caller::session(&service, "ada").await;
        let cookie = format!("__Host-sid={}", before.credential());
        let cookies = [beside, cookie.as_bytes()].concat();
        let request = service.request("POST", "/login").header("cookie", cookies);
        assert_eq!(answered(request.json(&login)).await.status(), 200);
        let ended = before.get(&service, "/sessions").await;
        assert_eq!(ended.status(), 401, "{}", beside.escape_ascii());
    }
    service.stop().await;
}

#[tokio::test]
async fn a_cookie_ends_nothing_on_behalf_of_another_site() {
    let service = Builder::new(Backend::Sqlite).with_redis().start().await;
    service.register("ada").await;
    let session = Caller::session(&service, "ada").await;
    let cookie = format!("__Host-sid={}", session.credential());
    for (method, path) in [("DELETE", "/sessions"), ("POST", "/logout")] {
        for (name, value) in [
            ("sec-fetch-site", "cross-site"),
            ("origin", "https://evil.example"),
        ] {
            let request = service.request(method, path).header("cookie", &cookie);
            let refused = answered(request.header(name, value)).await;
            assert_eq!(refused.status(), 403, "{path} {name}");
            assert_eq!(
                problem(refused).await["type"],
                "urn:problem-type:statewise:cross-site"
            );
        }
    }
    // A login through another site does not end the session that the cookie names.
    let login = json!({"username": "ada", "password": PASSWORD, "credential": "token"});
    let request = service.request("POST", "/login").header("cookie", &cookie);
    let request = request.header("sec-fetch-site", "cross-site").json(&login);
    assert_eq!(answered(request).await.status(), 200);
    let logins = listed(&service, &session).await;
    let login = logins
        .iter()
        .find(|login| login["current"] == true)
        .unwrap();
    let path = format!("/sessions/{}", login["id"].as_str().unwrap());
    let request = service.request("DELETE", &path).header("cookie", &cookie);
    let ended = answered(request.header("sec-fetch-site", "same-origin")).await;
    assert_eq!(ended.status(), 200);
    assert!(header(&ended, "set-cookie").starts_with("__Host-sid=;"));
    service.stop().await;
}

#[tokio::test]
async fn asvs_7_2_4_a_login_gives_a_new_session_and_ends_the_one_the_browser_had() {
    let service = Builder::new(Backend::Sqlite).with_redis().start().await;
    for name in ["ada", "eve"] {
        service.register(name).await;
    }
    // Whoever planted this id in the browser of ada is logged in with it as eve.
    let planted = Caller::session(&service, "eve").await;
    let body = serde_json::json!({
        "username": "ada", "password": crate::service::PASSWORD, "credential": "session",
    });
    let cookie = format!("__Host-sid={}", planted.credential());
    let request = service.request("POST", "/login").header("cookie", cookie);
    let login: Value = answered(request.json(&body)).await.json().await.unwrap();
    assert_ne!(login["session_id"], planted.credential());
    assert_eq!(planted.get(&service, "/sessions").await.status(), 401);
    service.stop().await;
}

async fn a_user_has_so_many_logins_of_a_kind_and_sees_them_in_pages(backend: Backend) {
    let builder = Builder::new(backend).with_redis();
    let service = builder.option("--logins-per-user=3").start().await;
    service.register("ada").await;
    let (mut tokens, mut sessions) = (Vec::new(), Vec::new());
    for _ in 0..5 {
        tokens.push(service.logged_in("ada", "token").await);
        sessions.push(Caller::session(&service, "ada").await);
        service.clock.advance(std::time::Duration::from_secs(1));
    }
    for (index, (token, session)) in tokens.iter().zip(&sessions).enumerate() {
        let goes_on = index >= 2;
        let access = Caller::Token(token["access_token"].as_str().unwrap().to_owned());
        for caller in [session, &access] {
            let status = caller.get(&service, "/sessions").await.status().as_u16();
            assert_eq!(status, if goes_on { 200 } else { 401 }, "{index}");
        }
        let refresh = token["refresh_token"].as_str().unwrap();
        let status = service.refresh(refresh).await.status().as_u16();
        assert_eq!(status, if goes_on { 200 } else { 400 }, "{index}");
    }

    let mut pages = Vec::new();
    let mut path = "/sessions?limit=4".to_owned();
    loop {
        let page: Value = sessions[4].get(&service, &path).await.json().await.unwrap();
        pages.push(page["sessions"].as_array().unwrap().clone());
        let Some(next) = page["next"].as_str() else {
            break;
        };
        path = format!("/sessions?limit=4&after={next}");
    }
    assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [4, 2]);
    let logins = pages.concat();
    assert!(logins.is_sorted_by_key(|login| std::cmp::Reverse(login["created_at"].as_u64())));
    let ids: std::collections::HashSet<_> = logins.iter().map(|login| &login["id"]).collect();
    assert_eq!(ids.len(), 6);
    let refused = sessions[4].get(&service, "/sessions?limit=0").await;
    assert_eq!(refused.status(), 400);
    problem(refused).await;
    service.stop().await;
}
