//! An outage of the auth service that outlasts the tokens, under clients that renew theirs.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use url::Url;

use super::{
    CouplingError, CouplingOptions,
    cells::Observation,
    clients::{Course, Crowd, FIRST_PAUSE, LONGEST_PAUSE, REFRESH_AT},
    predicted::Circumstances,
    wait_until,
    window::{Window, millis, told},
};
use crate::{
    disturb::{
        fault::{Fault, Kind, Site},
        links::Links,
    },
    progress::Progress,
    results::coupling::{Form, ShortLives},
    subject::{
        login::Users,
        stack::{Role, Stack, StackOptions},
        strategy::Credential,
    },
};

/// Lives in this system: as short as whole seconds and a leeway allow.
const TOKEN: Duration = Duration::from_secs(3);
const LEEWAY: Duration = Duration::from_secs(1);
const EXCHANGE: Duration = Duration::from_secs(3);
/// Watched before: by then every client has renewed its token.
const BASELINE: Duration = Duration::from_millis(2_500);
/// Watched after.
const RECOVERY: Duration = Duration::from_secs(4);
/// Two lives, as the table of faults has it.
const OUTAGE: Duration = Duration::from_secs(8);
/// One go.
pub(super) const WINDOW: Duration = Duration::from_millis(14_500);
/// Of each strategy.
const CLIENTS: usize = 12;
/// Requests per second of each client.
const RATE: f64 = 10.0;
const DRAIN: Duration = Duration::from_secs(3);

/// The same for the prediction.
pub(super) fn circumstances(usual: Circumstances) -> Circumstances {
    Circumstances {
        fault: OUTAGE,
        watched: RECOVERY,
        exchange: EXCHANGE,
        token: TOKEN,
        leeway: LEEWAY,
        ..usual
    }
}

/// Makes the outages, in a system of their own; `None` when none is asked for.
pub(super) fn measure(
    options: &CouplingOptions,
    faults: &[&'static Fault],
    observed: &mut Vec<Observation>,
    progress: &Progress,
) -> Result<Option<ShortLives>, CouplingError> {
    if faults.is_empty() {
        return Ok(None);
    }
    progress.step("faults: starting a system whose tokens live for seconds");
    // No link is broken here; whoever makes a fault asks for them all the same.
    let links = Links::start().map_err(CouplingError::Proxy)?;
    let seconds = |life: Duration| format!("{}s", life.as_secs());
    let stack = StackOptions::clone(&options.stack)
        .variable(Role::Auth, "AUTH_ACCESS_TOKEN_TTL", &seconds(TOKEN))
        .variable(Role::Auth, "AUTH_EXCHANGE_TTL", &seconds(EXCHANGE))
        .variable(Role::Api, "API_LEEWAY", &seconds(LEEWAY));
    let stack = Stack::start(stack)?;
    let gateway = Url::parse(&stack.gateway_url).expect("the stack's own URL is one");
    let users = Users::register(&gateway, CLIENTS)?;
    let crowd = Crowd::new(options.deadline).map_err(CouplingError::Clients)?;
    let mut place = observed.len() as u32;
    for &fault in faults {
        for repetition in 0..options.repetitions {
            progress.step(&format!(
                "{} ({} of {})",
                fault.title,
                repetition + 1,
                options.repetitions
            ));
            let go = Go {
                options,
                stack: &stack,
                links: &links,
                crowd: &crowd,
                gateway: &gateway,
                users: &users,
            };
            observed.extend(go.make(fault, place)?);
            place += 1;
        }
    }
    let _ended = stack.stop(DRAIN);
    Ok(Some(ShortLives {
        access_token_seconds: TOKEN.as_secs_f64(),
        leeway_seconds: LEEWAY.as_secs_f64(),
        exchange_seconds: EXCHANGE.as_secs_f64(),
        outage_seconds: OUTAGE.as_secs_f64(),
        clients: CLIENTS as u32,
        rate_per_second: RATE * CLIENTS as f64,
        refresh_at: REFRESH_AT,
        first_pause_ms: millis(FIRST_PAUSE),
        longest_pause_ms: millis(LONGEST_PAUSE),
    }))
}

struct Go<'a> {
    options: &'a CouplingOptions,
    stack: &'a Stack,
    links: &'a Arc<Links>,
    crowd: &'a Crowd,
    gateway: &'a Url,
    users: &'a Users,
}

impl Go<'_> {
    fn make(&self, fault: &'static Fault, place: u32) -> Result<Vec<Observation>, CouplingError> {
        let options = self.options;
        let seed = options.seed.wrapping_add(u64::from(place));
        let mut strategies: Vec<(&String, Credential)> = options
            .stack
            .strategies
            .iter()
            .filter_map(|strategy| Some((strategy, Credential::of(strategy)?)))
            .collect();
        // Tokens last: their lives are short.
        strategies.sort_by_key(|(_, credential)| *credential == Credential::Token);
        let mut fleets = Vec::new();
        for (strategy, credential) in strategies {
            let fleet = self
                .crowd
                .log_in(self.gateway, strategy, credential, self.users);
            fleets.push(fleet.map_err(CouplingError::Clients)?);
        }
        let course = Course {
            duration: WINDOW,
            rate: RATE,
            deadline: options.deadline,
            slice: options.slice,
            seed,
            interrupt: options.stack.interrupt.clone(),
        };
        let origin = Instant::now();
        let (seen, times) = std::thread::scope(|scope| {
            let clients = scope.spawn(|| self.crowd.run(fleets, origin, &course));
            let times = self.outage(fault, origin);
            let seen = clients
                .join()
                .map_err(|_| std::io::Error::other("their thread panicked"));
            (seen, times)
        });
        let window = times?;
        self.stack.wait_ready("auth-service")?;
        self.stack.wait_upstreams()?;
        let observed = seen.map_err(CouplingError::Clients)?.into_iter();
        let missing = millis(window.began)..millis(window.restored);
        Ok(observed
            .map(|seen| {
                let mut repetition = window.repetition(&seen.timeline, place);
                // A token that ended is refused with good reason; a client knows when its own does.
                let undue = seen.undue_refusals.iter();
                repetition.unauthorized_in_fault =
                    undue.filter(|due| missing.contains(&millis(**due))).count() as u64;
                repetition.logins_lost = seen.lost;
                Observation {
                    fault,
                    form: Form::AllAtOnce,
                    repetition,
                    timeline: seen.timeline.iter().map(told).collect(),
                    strategy: seen.strategy,
                }
            })
            .collect())
    }

    fn outage(&self, fault: &Fault, origin: Instant) -> Result<Window, CouplingError> {
        let site = Site {
            stack: self.stack,
            links: self.links,
            strategies: &self.options.stack.strategies,
        };
        let Kind::Outlasting { lives } = fault.kind else {
            unreachable!("only such faults are made here")
        };
        wait_until(origin + BASELINE, self.options)?;
        let began = origin.elapsed();
        fault.begin(&site)?;
        let outage = (TOKEN + LEEWAY).mul_f64(lives);
        wait_until(origin + began + outage, self.options)?;
        let ended = origin.elapsed();
        fault.end(&site)?;
        Ok(Window {
            began,
            restored: ended,
            ended,
            slice: self.options.slice,
        })
    }
}
