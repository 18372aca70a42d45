//! What `deploy/metrics` promises, shown with a real Prometheus that scrapes a real system under load:
//! each query of the dashboard and each recording rule gives something, each alert of a fault that is
//! made fires, exemplars lead to traces, and docs/metrics.md has what is told.

#![expect(clippy::unwrap_used, reason = "a step that fails fails its test")]

mod metrics {
    pub(crate) mod documents;
    pub(crate) mod prometheus;
    pub(crate) mod traffic;
}

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    process::Command,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use loadtest::subject::stack::{Role, StackOptions};
use metrics::{
    documents::{self, Families, Query},
    prometheus::{Prometheus, Target, deployed},
    traffic::{STRATEGIES, Traffic},
};
use sqlx::{Connection, SqliteConnection, sqlite::SqliteConnectOptions};
use system_tests::{Cluster, PATIENCE, eventually, spans::Receiver};
use tokio::runtime::Runtime;

/// Panels that are empty while all is well.
const ONLY_OF_FAULTS: [&str; 2] = ["Firing", "Missing"];
/// What only a machine has that limits memory.
const ONLY_WHERE_LIMITED: [&str; 2] =
    ["process_memory_limit_bytes", "instance:process_memory:used"];

#[test]
fn prometheus_finds_everything_under_load_and_alerts_fire_for_faults_that_are_made() {
    let receiver = Receiver::start();
    let cluster = Cluster::with(options(&receiver.endpoint));
    let targets = targets(&cluster);
    let prometheus = Prometheus::start(&targets);
    let traffic = Traffic::start(&cluster);

    every_target_is_up(&prometheus, targets.len());
    everything_has_data(&prometheus);
    let mut families = Families::new();
    read_all(&cluster, &targets, &mut families);

    a_member_dies(&cluster, &prometheus);
    the_key_is_not_rotated(&cluster, &prometheus);
    the_auth_service_dies(&cluster, &prometheus);
    redis_dies(&cluster, &prometheus);
    read_all(&cluster, &targets, &mut families);
    drop(traffic);

    every_name_exists(&prometheus);
    exemplars_lead_to_traces(&prometheus, &receiver);
    documents::compare_with_page(&families);
}

#[test]
fn the_rules_are_valid_and_their_unit_tests_pass() {
    for arguments in [
        ["check", "config", "prometheus.yml"],
        ["test", "rules", "tests/rules.yml"],
    ] {
        let checked = Command::new("promtool")
            .args(arguments)
            .current_dir(deployed())
            .output()
            .expect("promtool is on PATH: scripts/install.sh prometheus");
        let said = String::from_utf8_lossy(&checked.stdout);
        let errors = String::from_utf8_lossy(&checked.stderr);
        assert!(checked.status.success(), "{arguments:?}: {said}{errors}");
    }
}

#[test]
fn the_panels_of_the_dashboard_lie_beside_each_other_and_read_the_chosen_prometheus() {
    const COLUMNS: u64 = 24;
    let dashboard = documents::dashboard();
    let (mut ids, mut taken) = (BTreeSet::new(), BTreeSet::new());
    for panel in dashboard["panels"].as_array().unwrap() {
        let title = &panel["title"];
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title}");
        let side = |name: &str| panel["gridPos"][name].as_u64().unwrap();
        let (columns, lines) = (
            side("x")..side("x") + side("w"),
            side("y")..side("y") + side("h"),
        );
        assert!(columns.end <= COLUMNS && !lines.is_empty(), "{title}");
        for column in columns {
            for line in lines.clone() {
                assert!(taken.insert((column, line)), "{title} lies on another");
            }
        }
        if panel["type"] != "row" {
            assert_eq!(panel["datasource"]["uid"], "${datasource}", "{title}");
        }
    }
    assert!(ids.len() > 40, "{} panels", ids.len());
}

fn options(endpoint: &str) -> StackOptions {
    let mut options = StackOptions {
        strategies: STRATEGIES.map(|(name, _)| name.to_owned()).to_vec(),
        ..StackOptions::default()
    };
    for (role, name, value) in [
        (Role::Auth, "AUTH_ALGORITHM", "EdDSA"),
        (Role::Auth, "AUTH_KEY_ROTATE_EVERY", "5s"),
        (Role::Auth, "AUTH_KEY_ANNOUNCE", "2s"),
        (Role::Auth, "AUTH_ACCESS_TOKEN_TTL", "60s"),
        (Role::Auth, "AUTH_KEY_RETAIN", "120s"),
        (Role::Auth, "AUTH_ARGON2_MEMORY_KIB", "8"),
        (Role::Auth, "AUTH_ARGON2_ITERATIONS", "1"),
        (Role::Api, "API_JWKS_REFRESH", "1s"),
        (Role::Api, "API_REMEMBERED_TOKENS", "100"),
        (Role::Api, "API_INTROSPECTION_CACHE", "50ms"),
    ] {
        options = options.variable(role, name, value);
    }
    options
        .variable_everywhere("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
        .variable_everywhere("OTEL_BSP_SCHEDULE_DELAY", "200")
}

fn targets(cluster: &Cluster) -> Vec<Target> {
    let stack = &cluster.stack;
    let target = |job: String, url: &String| Target {
        job,
        url: url.clone(),
    };
    let mut targets = vec![
        target("gateway".to_owned(), &stack.gateway_admin_url),
        target("auth-service".to_owned(), &stack.auth_url),
    ];
    for (pool, urls) in &stack.pools {
        let of_pool = urls.iter().map(|url| target(format!("api-{pool}"), url));
        targets.extend(of_pool);
    }
    targets
}

#[track_caller]
fn every_target_is_up(prometheus: &Prometheus, count: usize) {
    assert_eq!(count, 2 + STRATEGIES.len());
    eventually("every target is scraped", || {
        (prometheus.query("up == 1").len() == count).then_some(())
    });
}

/// Each query of the dashboard, and each recording rule.
#[track_caller]
fn everything_has_data(prometheus: &Prometheus) {
    let mut wanted: Vec<(String, String)> = Vec::new();
    for Query { panel, expression } in documents::queries() {
        if !ONLY_OF_FAULTS.contains(&panel.as_str()) {
            wanted.push((panel, expression));
        }
    }
    assert!(wanted.len() > 40, "{} queries", wanted.len());
    for rule in rules(prometheus, "recording") {
        if !ONLY_WHERE_LIMITED.contains(&rule.as_str()) {
            wanted.push(("a rule".to_owned(), rule));
        }
    }
    // Some rates need two scrapes after the first request.
    let began = Instant::now();
    while !wanted.is_empty() {
        wanted.retain(|(_, expression)| prometheus.query(expression).is_empty());
        let late = began.elapsed() > PATIENCE;
        assert!(!late, "without data under load: {wanted:#?}");
    }
}

/// The names of the rules of a kind, all of which are evaluated without an error.
#[track_caller]
fn rules(prometheus: &Prometheus, kind: &str) -> BTreeSet<String> {
    let all = prometheus.get("rules", &[]);
    let groups = all["groups"].as_array().unwrap().iter();
    let rules = groups.flat_map(|group| group["rules"].as_array().unwrap());
    let mut names = BTreeSet::new();
    for rule in rules.filter(|rule| rule["type"] == kind) {
        assert!(rule["lastError"].is_null(), "{rule}");
        names.insert(rule["name"].as_str().unwrap().to_owned());
    }
    assert!(names.len() > 10, "{names:?}");
    names
}

/// Makes a fault when none of these alerts fires, and waits until all of them do.
#[track_caller]
#[expect(clippy::print_stdout, reason = "what a test says of itself")]
fn fires(prometheus: &Prometheus, fault: &str, make: impl FnOnce(), alerts: &[&str]) {
    eventually("what fired before is over", || {
        let firing = prometheus.firing();
        let is_over = alerts.iter().all(|alert| !firing.contains(*alert));
        is_over.then_some(())
    });
    make();
    let made = Instant::now();
    for alert in alerts {
        let what = format!("{alert} fires after {fault}");
        eventually(&what, || prometheus.firing().contains(*alert).then_some(()));
        println!(
            "{fault}: {alert} within {:.1} s",
            made.elapsed().as_secs_f64()
        );
    }
}

/// Starts a process again.
#[track_caller]
fn comes_back(cluster: &Cluster, name: &str) {
    cluster.stack.restart(name).unwrap();
    cluster.stack.wait_ready(name).unwrap();
}

fn a_member_dies(cluster: &Cluster, prometheus: &Prometheus) {
    fires(
        prometheus,
        "a member died",
        || cluster.stack.kill9("api-jwt-1").unwrap(),
        &[
            "StatewiseMembersEjected",
            "StatewisePoolEmpty",
            "StatewiseTargetDown",
        ],
    );
    comes_back(cluster, "api-jwt-1");
    eventually("the pool is whole again", || {
        (cluster.missing_upstreams() == 0).then_some(())
    });
}

fn the_key_is_not_rotated(cluster: &Cluster, prometheus: &Prometheus) {
    let runtime = Runtime::new().unwrap();
    let mut locked = None;
    fires(
        prometheus,
        "the user store took no writes",
        || locked = Some(runtime.block_on(lock_for_writing(&user_store(cluster)))),
        &["StatewiseKeyRotationFailing"],
    );
    let ends = locked.take().unwrap().close();
    runtime.block_on(ends).unwrap();
}

fn the_auth_service_dies(cluster: &Cluster, prometheus: &Prometheus) {
    fires(
        prometheus,
        "the auth-service died",
        || cluster.stack.kill9("auth-service").unwrap(),
        &[
            "StatewiseTargetDown",
            "StatewiseKeyFetchFailing",
            "StatewiseRevocationFeedStale",
        ],
    );
    comes_back(cluster, "auth-service");
}

fn redis_dies(cluster: &Cluster, prometheus: &Prometheus) {
    fires(
        prometheus,
        "Redis died",
        || cluster.stack.kill9("redis").unwrap(),
        &[
            "StatewiseRedisUnreachable",
            "StatewiseUndecidable",
            "StatewiseStoreCallsFail",
            "StatewiseErrorRatio",
            "StatewiseReplicaNotReady",
        ],
    );
}

/// The file of the users, as the auth-service was given it.
#[track_caller]
fn user_store(cluster: &Cluster) -> PathBuf {
    let pid = cluster.stack.pid("auth-service").unwrap();
    let environment = std::fs::read_to_string(format!("/proc/{pid}/environ")).unwrap();
    let mut variables = environment.split('\0');
    let folder = variables.find_map(|one| one.strip_prefix("AUTH_DATA_DIR="));
    Path::new(folder.unwrap()).join("users.sqlite")
}

/// Nobody else writes until the connection is closed.
async fn lock_for_writing(file: &Path) -> SqliteConnection {
    let options = SqliteConnectOptions::new()
        .filename(file)
        .busy_timeout(PATIENCE);
    let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
    let begin = sqlx::query("BEGIN IMMEDIATE");
    begin.execute(&mut connection).await.unwrap();
    connection
}

/// What each process tells. It is asked whether it is ready before, which it tells too.
#[track_caller]
fn read_all(cluster: &Cluster, targets: &[Target], families: &mut Families) {
    for Target { job, url } in targets {
        let service = match job.as_str() {
            "gateway" => "gateway",
            "auth-service" => "auth-service",
            _ => "api-service",
        };
        let get = |path: &str| cluster.client.get(format!("{url}{path}")).send().unwrap();
        drop(get("/readyz"));
        let text = get("/metrics").text().unwrap();
        assert!(text.ends_with("# EOF\n"), "{job}: {text}");
        documents::read_families(families, service, &text);
    }
}

/// Whatever a rule or the dashboard reads was there, and so was what panels show of faults only.
#[track_caller]
fn every_name_exists(prometheus: &Prometheus) {
    let names = prometheus.names();
    let queries = documents::queries();
    let alerts = rules(prometheus, "alerting");
    let mut read: Vec<(String, String)> = Vec::new();
    for query in &queries {
        let all = documents::metrics_in(query.without_default());
        read.extend(all.into_iter().map(|name| (query.panel.clone(), name)));
    }
    let all = prometheus.get("rules", &[]);
    for group in all["groups"].as_array().unwrap() {
        for rule in group["rules"].as_array().unwrap() {
            let (name, query) = (
                rule["name"].as_str().unwrap(),
                rule["query"].as_str().unwrap(),
            );
            let all = documents::metrics_in(query);
            read.extend(all.into_iter().map(|metric| (name.to_owned(), metric)));
        }
    }
    assert!(read.len() > 80, "{read:?}");
    read.retain(|(_, name)| !ONLY_WHERE_LIMITED.contains(&name.as_str()));
    read.retain(|(_, name)| !names.contains(name));
    assert!(read.is_empty(), "nobody tells: {read:#?}");
    for query in queries {
        let seen = format!("count_over_time(({})[10m:1s])", query.without_default());
        let limited = ONLY_WHERE_LIMITED.iter().any(|name| seen.contains(name));
        assert!(
            limited || !prometheus.query(&seen).is_empty(),
            "{} never showed anything: {seen}",
            query.panel
        );
    }
    assert_eq!(documents::alerts_of_page(), alerts, "docs/metrics.md");
}

/// A bucket of the gateway's durations names a trace that all who took part have exported.
#[track_caller]
fn exemplars_lead_to_traces(prometheus: &Prometheus, receiver: &Receiver) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let now = now.as_secs();
    let mut spans: BTreeMap<String, usize> = BTreeMap::new();
    for span in receiver.all() {
        *spans.entry(span.trace_id).or_default() += 1;
    }
    let (from, to) = ((now - 600).to_string(), now.to_string());
    for job in ["gateway", "api-session"] {
        let query = format!("http_server_request_duration_seconds_bucket{{job=\"{job}\"}}");
        let parameters = [("query", query.as_str()), ("start", &from), ("end", &to)];
        let found = prometheus.get("query_exemplars", &parameters);
        let series = found.as_array().unwrap().iter();
        let exemplars: Vec<&str> = series
            .flat_map(|one| one["exemplars"].as_array().unwrap())
            .map(|exemplar| exemplar["labels"]["trace_id"].as_str().unwrap())
            .collect();
        assert!(exemplars.len() > 5, "{job}: {found}");
        // A request that was passed on has one span at least of each who took part.
        let leads = exemplars.iter().filter(|id| spans.get(**id) > Some(&2));
        assert!(leads.count() > 5, "{job}: {exemplars:?}");
    }
}
