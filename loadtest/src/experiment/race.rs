//! What many requests do at the moment when the token that they all carry runs out: each is refused, and
//! somebody must renew it. Refresh tokens are good once, so that of many who renew at the same time all
//! but one present a spent one, which looks like theft.
//!
//! Each login has a race of its own: logins begin a second apart, and times in tokens are whole seconds, so
//! that no two run out together. Just after a token ended its requests are sent at the same time, over
//! connections that are open; each goes on until it is answered with 200 or its refresh is refused for
//! good. At the end the newest refresh token of the login is tried.

mod holder;
mod tally;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant, SystemTime},
};

use tokio::{runtime::Runtime, task::JoinHandle};
use url::Url;

use crate::{
    experiment::error::ExperimentError,
    instrument::environment,
    progress::Progress,
    report,
    results::{ArmInfo, Holders, Origin, Plan, Race, RefreshRace, Results},
    subject::{
        found,
        login::{self, Users, cheap_hashing},
        stack::{Role, Stack, StackOptions},
        strategy::Credential,
    },
};
use holder::Contest;
use tally::Tally;

/// Who says that a token has run out, by its time alone.
const STRATEGY: &str = "jwt";
/// Life of an access token here: long enough to be renewed and used once more, however slowly.
const TOKEN: Duration = Duration::from_secs(4);
/// The default of the auth service.
const GRACE: Duration = Duration::from_secs(30);
/// From one login to the next.
const APART: Duration = Duration::from_secs(1);
const DRAIN: Duration = Duration::from_secs(3);

/// How many, and how often.
#[derive(Clone)]
pub struct RaceOptions {
    /// The system that is started. Cancelling its interrupt ends the experiment with
    /// [`ExperimentError::Interrupted`].
    pub stack: StackOptions,
    /// Requests of one login at the same time.
    pub requests: u32,
    /// Logins in each race.
    pub logins: u32,
    /// The short form.
    pub quick: bool,
}

impl RaceOptions {
    /// How long all of it takes, about.
    #[must_use]
    pub fn expected(&self) -> Duration {
        const START: Duration = Duration::from_secs(4);
        (START + (APART * self.logins + TOKEN + APART) * 2) * 2
    }
}

/// Makes the races, and returns what was found.
///
/// # Errors
///
/// The system does not start, or nobody can log in. What becomes of logins is never one.
pub fn run(options: &RaceOptions, progress: &Progress) -> Result<Results, ExperimentError> {
    ExperimentError::or_interrupted(measure(options, progress), &options.stack.interrupt)
}

fn measure(options: &RaceOptions, progress: &Progress) -> Result<Results, ExperimentError> {
    let (began, started_at) = (Instant::now(), SystemTime::now());
    let mut environment = environment::read(Origin::Started);
    let mut races = Vec::new();
    for grace in [GRACE, Duration::ZERO] {
        progress.step(&format!(
            "starting a system with a grace of {} s",
            grace.as_secs()
        ));
        let stack = Stack::start(system(options, grace))?;
        if !environment.facts.contains_key("algorithm") {
            let facts = environment::facts_of_stack(&stack);
            environment.facts.extend(facts);
        }
        for holders in [Holders::Each, Holders::Shared] {
            progress.step(&told(options, holders, grace));
            races.push(race(options, &stack, holders, grace)?);
        }
        let _ended = stack.stop(DRAIN);
    }
    let mut races = races.into_iter();
    let usual = races.next();
    let mut results = Results {
        refresh_race: usual.map(|usual| RefreshRace {
            usual,
            others: races.collect(),
        }),
        ..Results::of(started_at, environment, plan(options))
    };
    results.duration_seconds = began.elapsed().as_secs_f64();
    results.findings = report::findings(&results);
    Ok(results)
}

fn told(options: &RaceOptions, holders: Holders, grace: Duration) -> String {
    format!(
        "{} requests at the end of each token, {}, grace {} s",
        options.requests,
        match holders {
            Holders::Each => "everybody for themselves",
            Holders::Shared => "one renewal at a time",
        },
        grace.as_secs()
    )
}

fn system(options: &RaceOptions, grace: Duration) -> StackOptions {
    let seconds = |time: Duration| format!("{}s", time.as_secs());
    let stack = StackOptions {
        strategies: vec![STRATEGY.to_owned()],
        ..options.stack.clone()
    };
    cheap_hashing(stack)
        .variable(Role::Auth, "AUTH_REFRESH_GRACE", &seconds(grace))
        .variable(Role::Auth, "AUTH_ACCESS_TOKEN_TTL", &seconds(TOKEN))
        .variable(Role::Auth, "AUTH_EXCHANGE_TTL", &seconds(TOKEN))
        .variable(Role::Api, "API_LEEWAY", "0s")
}

fn race(
    options: &RaceOptions,
    stack: &Stack,
    holders: Holders,
    grace: Duration,
) -> Result<Race, ExperimentError> {
    let gateway = Url::parse(&stack.gateway_url).expect("the stack's own URL is one");
    let users = Users::register(&gateway, 1)?;
    let failed = || ExperimentError::system("starting the clients");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(failed())?;
    let contest = Contest::new(&gateway, STRATEGY, holders, options.requests).map_err(failed())?;
    let under_way = begin(options, &runtime, &contest, &users)?;
    let mut all = Tally::default();
    for login in under_way {
        let one = runtime.block_on(login);
        all.merge(one.map_err(std::io::Error::other).map_err(failed())?);
    }
    Ok(all.race(Race {
        holders,
        grace_seconds: grace.as_secs_f64(),
        token_seconds: TOKEN.as_secs_f64(),
        requests: options.requests,
        logins: options.logins,
        ..Race::default()
    }))
}

/// Logs in once a second, and has each login's race begin by itself.
fn begin(
    options: &RaceOptions,
    runtime: &Runtime,
    contest: &Contest,
    users: &Users,
) -> Result<Vec<JoinHandle<Tally>>, ExperimentError> {
    let mut under_way = Vec::new();
    for _ in 0..options.logins {
        if options.stack.interrupt.is_cancelled() {
            return Err(ExperimentError::Interrupted);
        }
        // Amid a second of the wall clock: tokens begin and end with one, so that nobody's race is then.
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let into = Duration::from_nanos(u64::from(now.unwrap_or_default().subsec_nanos()));
        std::thread::sleep(APART.saturating_sub(into) + APART.mul_f64(0.4));
        let login = users.log_in_once(0, Credential::Token)?;
        let contest = contest.clone();
        under_way.push(runtime.spawn(async move { contest.race(login).await }));
    }
    Ok(under_way)
}

fn plan(options: &RaceOptions) -> Plan {
    Plan {
        arms: vec![ArmInfo {
            name: STRATEGY.to_owned(),
            strategy: Some(STRATEGY.to_owned()),
            credential: Some(Credential::Token.name().to_owned()),
            path: found::path(STRATEGY),
            variables: BTreeMap::new(),
            own_build: options.stack.bin_dir.is_some(),
            replicas: u32::try_from(options.stack.replicas).ok(),
        }],
        floor_arm: None,
        quick: options.quick,
        replicas: u32::try_from(options.stack.replicas).unwrap_or_default(),
        seed: 0,
        conditions: Vec::new(),
        rate_chosen_by: "no rate: all requests of a login are sent at once".to_owned(),
        connections: options.requests,
        max_connections: None,
        generator_threads: 1,
        blocks: 0,
        window_seconds: 0.0,
        warmup_seconds: 0.0,
        deadline_ms: u64::try_from(holder::PATIENCE.as_millis()).unwrap_or(u64::MAX),
        restarts: false,
        left_out: vec![login::CHEAP_HASHING_NOTE.to_owned()],
    }
}
