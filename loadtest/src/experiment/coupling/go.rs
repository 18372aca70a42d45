//! One fault, made once under an open load.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use reqwest::{StatusCode, blocking::Client};
use url::Url;

use super::{
    CouplingError, CouplingOptions, Go, LOOK,
    cells::Observation,
    wait_until,
    window::{Window, told},
};
use crate::{
    disturb::{fault::Site, links::Links},
    load::{self, Arm, Arrivals, Load, Options, Variant},
    stats::random::Random,
    subject::{
        client::client,
        login::{LoginError, Users},
        stack::Stack,
        strategy::Credential,
    },
};

/// Logins are renewed after this time: a token lives for 15 minutes.
const LOGINS_LAST: Duration = Duration::from_secs(5 * 60);
/// Sent before anything is measured, so that what can be remembered is.
const WARMUP: Duration = Duration::from_millis(300);
/// Connections per strategy that are open from the start.
const CONNECTIONS: usize = 32;
/// How long the parts may drain at the end; nothing is in flight any more.
const DRAIN: Duration = Duration::from_secs(3);
/// How often a fault is tried when the machine is not quiet before it.
const ATTEMPTS: usize = 3;
/// How long a strategy may take to decide again after a fault that was watched to its end.
const SETTLED: Duration = Duration::from_secs(30);

/// A system with users, on which one fault after another is made.
pub(super) struct Bench<'a> {
    pub(super) options: &'a CouplingOptions,
    pub(super) stack: Stack,
    links: &'a Arc<Links>,
    gateway: Url,
    pub(super) client: Client,
    users: Users,
    /// Credentials by their kind, and since when they are good; `None` when some were lost.
    logins: Option<(Instant, BTreeMap<&'static str, Vec<Variant>>)>,
    random: Random,
}

impl<'a> Bench<'a> {
    pub(super) fn new(
        options: &'a CouplingOptions,
        stack: Stack,
        links: &'a Arc<Links>,
    ) -> Result<Self, CouplingError> {
        let gateway = Url::parse(&stack.gateway_url).expect("the stack's own URL is one");
        Ok(Self {
            options,
            users: Users::register(&gateway, options.users)?,
            stack,
            links,
            gateway,
            client: client(Duration::from_secs(1))
                .map_err(std::io::Error::other)
                .map_err(CouplingError::Clients)?,
            logins: None,
            random: Random::new(options.seed ^ 0x5EED),
        })
    }

    /// Makes a fault and gives what each strategy that was driven did. Where not all was well before,
    /// what came is not the fault's alone, and it is made again.
    pub(super) fn make(&mut self, go: &Go, place: u32) -> Result<Vec<Observation>, CouplingError> {
        let mut made = self.once(go, place)?;
        for _ in 1..ATTEMPTS {
            if made.1 {
                break;
            }
            made = self.once(go, place)?;
        }
        Ok(made.0)
    }

    /// What was observed, and whether all was well before.
    fn once(&mut self, go: &Go, place: u32) -> Result<(Vec<Observation>, bool), CouplingError> {
        let options = self.options;
        let arms = self.arms(&go.strategies)?;
        self.settle(&arms)?;
        let seed = self.random.next_u64();
        let running = load::start(self.load(seed), arms)?;
        let origin = running.measured_from;
        let site = Site {
            stack: &self.stack,
            links: self.links,
            strategies: &go.strategies,
        };

        wait_until(origin + options.baseline, options)?;
        let began = origin.elapsed();
        let started_again = go.fault.begin(&site)?;
        wait_until(origin + began + options.fault, options)?;
        let ended = origin.elapsed();
        go.fault.end(&site)?;
        let window = Window {
            began,
            restored: started_again.map_or(ended, |at| at.saturating_duration_since(origin)),
            ended,
            slice: options.slice,
        };

        let outcome = running.join()?;
        if outcome.interrupted {
            return Err(CouplingError::Interrupted);
        }
        self.wait_whole()?;
        if go.fault.loses_sessions() {
            self.logins = None;
        }
        let began_well = outcome
            .arms
            .iter()
            .all(|arm| window.began_well(&arm.timeline));
        let observed = outcome
            .arms
            .into_iter()
            .map(|arm| Observation {
                fault: go.fault,
                form: go.form,
                repetition: window.repetition(&arm.timeline, place),
                timeline: arm.timeline.iter().map(told).collect(),
                strategy: arm.name,
            })
            .collect();
        Ok((observed, began_well))
    }

    /// Waits until every process is ready: one that was not touched may still lack what was.
    pub(super) fn wait_whole(&self) -> Result<(), CouplingError> {
        for process in self.stack.processes_info() {
            self.stack.wait_ready(&process.name)?;
        }
        Ok(self.stack.wait_upstreams()?)
    }

    /// One arm a strategy, with logged-in users.
    pub(super) fn arms(&mut self, strategies: &[String]) -> Result<Vec<Arm>, CouplingError> {
        let fresh = |at: &Instant| at.elapsed() < LOGINS_LAST;
        let mut logins = match self.logins.take() {
            Some((at, logins)) if fresh(&at) => (at, logins),
            _ => (Instant::now(), BTreeMap::new()),
        };
        let mut arms = Vec::new();
        for strategy in strategies {
            let credential = Credential::of(strategy)
                .ok_or_else(|| CouplingError::UnknownStrategy(strategy.clone()))?;
            let variants = match logins.1.get(credential.name()) {
                Some(variants) => variants.clone(),
                None => {
                    let variants = self.log_in(credential)?;
                    logins.1.insert(credential.name(), variants.clone());
                    variants
                }
            };
            let mut url = self.gateway.clone();
            url.set_path(&crate::subject::found::path(strategy));
            arms.push(Arm {
                name: strategy.clone(),
                url,
                variants,
                load: Load::Open {
                    rate: self.options.rate_per_second,
                    arrivals: Arrivals::Poisson,
                },
            });
        }
        self.logins = Some(logins);
        Ok(arms)
    }

    /// Whoever stores sessions may not be connected to their store again yet, and says 503 then.
    fn log_in(&self, credential: Credential) -> Result<Vec<Variant>, CouplingError> {
        let until = Instant::now() + SETTLED;
        loop {
            match self.users.log_in(credential) {
                Err(LoginError::Refused { status, .. })
                    if status == StatusCode::SERVICE_UNAVAILABLE && Instant::now() < until =>
                {
                    std::thread::sleep(LOOK);
                }
                logged_in => return Ok(logged_in?),
            }
        }
    }

    /// Waits until every strategy decides again: what the fault before left behind, such as a breaker
    /// that is open, is not this one's.
    fn settle(&self, arms: &[Arm]) -> Result<(), CouplingError> {
        let until = Instant::now() + SETTLED;
        for arm in arms {
            let mut good = 0;
            while good < self.options.stack.replicas * 2 {
                if self.options.stack.interrupt.is_cancelled() {
                    return Err(CouplingError::Interrupted);
                }
                if is_good(&self.client, arm.url.as_str(), &arm.variants[0]) {
                    good += 1;
                    continue;
                }
                good = 0;
                if Instant::now() > until {
                    return Err(CouplingError::NoAnswer(arm.name.clone(), SETTLED));
                }
                std::thread::sleep(LOOK);
            }
        }
        Ok(())
    }

    fn load(&self, seed: u64) -> Options {
        let options = self.options;
        Options {
            duration: options.window(),
            warmup: WARMUP,
            deadline: options.deadline,
            drain: options.deadline,
            connections: CONNECTIONS,
            slice: options.slice,
            seed,
            interrupt: options.stack.interrupt.clone(),
            ..Options::default()
        }
    }

    /// Ends the system.
    pub(super) fn end(self) {
        let _ended = self.stack.stop(DRAIN);
    }
}

/// Whether a request is answered with 2xx.
pub(super) fn is_good(client: &Client, url: &str, variant: &Variant) -> bool {
    let mut request = client.get(url);
    for (name, value) in variant.headers() {
        request = request.header(name, value);
    }
    let answer = request.send();
    // Read to its end, so that the connection is used again.
    answer.is_ok_and(|answer| answer.status().is_success() && answer.bytes().is_ok())
}
