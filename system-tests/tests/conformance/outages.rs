//! What is decided while something is gone. One stack, one outage after another; after each one all
//! that was undecided is decided again, with the same credentials.

use system_tests::{Cluster, cluster::answer, eventually};

use crate::{
    cluster,
    credentials::{Pair, me},
    table::{Fault, STRATEGIES},
    watch::{Findings, Watched, once, public, watch},
};

struct Outage<'a> {
    cluster: &'a Cluster,
    findings: &'a Findings,
    /// Used before every outage.
    warm: Pair,
}

impl Outage<'_> {
    /// Everything works, and what can be kept anywhere is.
    fn warm_up(&self) {
        for strategy in STRATEGIES {
            eventually("the strategy decides again", || {
                let status = answer(me(self.cluster, strategy, &self.warm)).status;
                assert!([200, 503].contains(&status), "{strategy}: {status}");
                (status == 200).then_some(())
            });
        }
    }

    /// Watches what `fault` does to a credential that was used before and, where that matters, to
    /// one that was not.
    fn run(&self, warm: Fault, cold: Option<(Fault, &Pair)>) {
        let pairs = [Some((warm, &self.warm)), cold];
        let watched: Vec<Watched<'_>> = pairs
            .into_iter()
            .flatten()
            .flat_map(|(fault, pair)| {
                STRATEGIES.map(move |strategy| Watched {
                    strategy,
                    fault,
                    request: Box::new(move || me(self.cluster, strategy, pair)),
                })
            })
            .collect();
        watch(self.findings, &watched);
        for strategy in STRATEGIES {
            let missing = self.cluster.get(&format!("/{strategy}/me"));
            once(self.findings, Fault::Missing, strategy, missing);
            let credential = self.warm.own(strategy);
            public(self.findings, self.cluster, strategy, credential);
        }
    }
}

#[test]
fn what_cannot_be_decided_is_never_refused_and_comes_back() {
    let cluster = cluster(&[]);
    cluster.register("ada");
    let findings = Findings::default();
    let pair = || Pair::of(&cluster, "ada");
    let (feed, unwritten, hung, auth, down) = (pair(), pair(), pair(), pair(), pair());
    let outage = Outage {
        cluster: &cluster,
        findings: &findings,
        warm: pair(),
    };
    let stack = &cluster.stack;

    outage.warm_up();
    acl(&cluster, "-xread|-zscan");
    outage.run(Fault::FeedStale, Some((Fault::FeedStale, &feed)));
    acl(&cluster, "+@all");

    outage.warm_up();
    redis(&cluster, "CONFIG", &["SET", "maxmemory", "1"]);
    outage.run(
        Fault::FeedUnwritten,
        Some((Fault::FeedUnwritten, &unwritten)),
    );
    redis(&cluster, "CONFIG", &["SET", "maxmemory", "0"]);

    outage.warm_up();
    stack.sigstop("redis").unwrap();
    outage.run(Fault::RedisHungWarm, Some((Fault::RedisHungCold, &hung)));
    stack.sigcont("redis").unwrap();

    outage.warm_up();
    stack.kill9("auth-service").unwrap();
    outage.run(Fault::AuthDownWarm, Some((Fault::AuthDownCold, &auth)));
    restart_replicas(&cluster);
    outage.run(Fault::KeysMissing, None);
    stack.restart("auth-service").unwrap();
    stack.wait_ready("auth-service").unwrap();

    outage.warm_up();
    stack.kill9("redis").unwrap();
    outage.run(Fault::RedisDownWarm, Some((Fault::RedisDownCold, &down)));
    findings.settle();
}

/// Changes what clients of Redis may do.
fn acl(cluster: &Cluster, rules: &str) {
    let rules: Vec<_> = ["SETUSER", "default"]
        .into_iter()
        .chain(rules.split('|'))
        .collect();
    redis(cluster, "ACL", &rules);
}

fn redis(cluster: &Cluster, command: &str, arguments: &[&str]) {
    let client = redis::Client::open(cluster.stack.redis_url.as_str()).unwrap();
    let mut connection = client.get_connection().unwrap();
    redis::cmd(command)
        .arg(arguments)
        .exec(&mut connection)
        .unwrap();
}

/// Every replica anew, without waiting for those that cannot become ready.
fn restart_replicas(cluster: &Cluster) {
    let replicas = cluster.stack.processes_info();
    for replica in replicas.iter().filter(|one| one.name.starts_with("api-")) {
        cluster.stack.restart(&replica.name).unwrap();
    }
    for replica in replicas.iter().filter(|one| one.name.starts_with("api-")) {
        eventually("the replica lives", || {
            let health = cluster.client.get(format!("{}/healthz", replica.url));
            health.send().ok().filter(|health| health.status() == 200)
        });
    }
}
