//! What still works when Redis or the auth service is gone, hung, or back.

use std::time::{Duration, Instant};

use system_tests::{Cluster, PATIENCE, within};

/// A credential of each kind, and the system that gave them.
fn logged_in() -> (Cluster, String, String) {
    let cluster = Cluster::start(1);
    cluster.register("ada");
    let (token, session) = (cluster.token("ada"), cluster.session("ada"));
    (cluster, token, session)
}

#[test]
fn without_redis_tokens_work_and_sessions_cannot_be_decided_until_it_is_back() {
    let (cluster, token, session) = logged_in();
    cluster.stack.kill9("redis").unwrap();
    for _ in 0..20 {
        cluster.get_as("/session/me", &session).assert_undecided();
        assert_eq!(cluster.get_as("/jwt/me", &token).status, 200);
    }
    assert_eq!(cluster.log_in("ada", "token").status, 200);
    cluster.log_in("ada", "session").assert_undecided();

    cluster.stack.restart("redis").unwrap();
    cluster.stack.wait_ready("redis").unwrap();
    // The store came back empty, so the session is lost and 401 is the truth.
    within(Duration::from_secs(1), "sessions are decided again", || {
        (cluster.get_as("/session/me", &session).status == 401).then_some(())
    });
    let (again, _) = within(
        Duration::from_secs(1),
        "a session login works again",
        || {
            let answer = cluster.log_in("ada", "session");
            (answer.status == 200).then_some(answer)
        },
    );
    let session = again.json["session_id"].as_str().unwrap();
    assert_eq!(cluster.get_as("/session/me", session).status, 200);
}

#[test]
fn while_redis_hangs_the_answer_comes_in_time_and_the_session_survives() {
    let (cluster, token, session) = logged_in();
    cluster.stack.sigstop("redis").unwrap();
    for _ in 0..5 {
        let asked = Instant::now();
        cluster.get_as("/session/me", &session).assert_undecided();
        // The deadline of a call is 250 ms; the rest is for a busy machine.
        assert!(
            asked.elapsed() < Duration::from_secs(2),
            "{:?}",
            asked.elapsed()
        );
        assert_eq!(cluster.get_as("/jwt/me", &token).status, 200);
    }
    cluster.stack.sigcont("redis").unwrap();
    within(Duration::from_secs(1), "the session is known again", || {
        let status = cluster.get_as("/session/me", &session).status;
        assert!(
            [200, 503].contains(&status),
            "a hung store answered {status}"
        );
        (status == 200).then_some(())
    });
}

#[test]
fn without_the_auth_service_both_kinds_of_credential_keep_working() {
    let (cluster, token, session) = logged_in();
    cluster.stack.kill9("auth-service").unwrap();
    for _ in 0..20 {
        assert_eq!(cluster.get_as("/jwt/me", &token).status, 200);
        assert_eq!(cluster.get_as("/session/me", &session).status, 200);
    }
    cluster.log_in("ada", "token").assert_undecided();

    cluster.stack.restart("auth-service").unwrap();
    cluster.stack.wait_ready("auth-service").unwrap();
    let (token, _) = within(PATIENCE, "logins work again", || {
        let answer = cluster.log_in("ada", "token");
        let token = answer.json["access_token"].as_str()?;
        Some(token.to_owned())
    });
    // The keys are kept, so tokens of before and after are good.
    assert_eq!(cluster.get_as("/jwt/me", &token).status, 200);
}
