//! How fresh the verdicts are: how long a credential is still accepted after it was revoked.
//!
//! Victims log in, and requests with the credential of each are sent to every replica at a steady rate:
//! directly, so that each replica is asked as often as is said, and through the gateway where that is
//! part of the strategy. At a random moment the credential is revoked (or its user banned, or the
//! role taken away), and the *lag* is the time from the arrival of that answer to the sending of the
//! last request that was accepted. The moment of sending counts and not that of the answer: a request
//! that was under way when the revocation was answered may end either way and accuses nobody.
//!
//! Where only time ends a credential, that is waited for: the stack has tokens that live for seconds. In a
//! system that runs, whose tokens may live long, it is watched for some seconds.

mod groups;
mod lag;
mod place;
mod victims;

use std::time::{Duration, Instant};

use url::Url;

use crate::{
    experiment::{
        call::Call,
        error::{ExperimentError, strategy},
    },
    load::{self, Arm, Arrivals, Load, Options, Variant},
    progress::Progress,
    results::{Freshness, RevocationKind, RevocationLag},
    stats::random::Random,
    subject::stack::StackOptions,
    subject::strategy::{Credential, Strategy},
};
use groups::{Group, LEAD, Lives, SPREAD, groups, streams, until};
use lag::{Lags, Seen};
pub use place::FoundSystem;
use place::Place;

/// Revocations of each kind and strategy, in the thorough form.
pub const REVOCATIONS: u32 = 200;
/// The same in the quick form.
pub const QUICK_REVOCATIONS: u32 = 40;

/// What is measured, and how thoroughly.
#[derive(Clone)]
pub struct FreshnessOptions {
    /// The system that is started, with short-lived tokens; cancelling its interrupt ends the
    /// measurement with [`ExperimentError::Interrupted`].
    pub stack: StackOptions,
    /// A system that runs, to be measured in place of one that is started. Of the stack only its strategies
    /// and its interrupt are looked at then.
    pub found: Option<FoundSystem>,
    /// Revocations of the first kind, in the order of [`RevocationKind::ALL`]; of each further one a quarter.
    pub revocations: u32,
    /// What is revoked.
    pub kinds: Vec<RevocationKind>,
    /// Tokens that live shorter still.
    pub quick: bool,
    /// Where all randomness begins.
    pub seed: u64,
}

/// Batches that bring less than hoped for are repeated, up to this multiple of what is needed.
const PATIENCE: usize = 2;
/// Revocations that may be under way at the same time.
const THREADS: usize = 4;

/// Starts a stack with short-lived tokens, or reaches the system that was found, and measures.
///
/// # Errors
///
/// The stack does not start, or its auth service or the generator fails. What the system accepts for too
/// long is never one.
pub fn run(options: &FreshnessOptions, progress: &Progress) -> Result<Freshness, ExperimentError> {
    ExperimentError::or_interrupted(measure(options, progress), &options.stack.interrupt)
}

fn measure(options: &FreshnessOptions, progress: &Progress) -> Result<Freshness, ExperimentError> {
    let strategies = options
        .stack
        .strategies
        .iter()
        .map(|name| strategy(name))
        .collect::<Result<Vec<_>, _>>()?;
    progress.step("freshness: preparing the system");
    let place = Place::reach(options, &strategies)?;
    let mut measured = Measurement {
        options,
        place: &place,
        progress,
        random: Random::new(options.seed),
    };
    let mut lags = Vec::new();
    // In their usual order: a user who was banned is let in again by what comes after it.
    let kinds = || {
        RevocationKind::ALL
            .iter()
            .filter(|kind| options.kinds.contains(kind))
    };
    for (index, kind) in kinds().enumerate() {
        let wanted = match index {
            0 => options.revocations,
            _ => options.revocations.div_ceil(4),
        };
        for group in &place.groups {
            lags.extend(measured.group(group, *kind, wanted as usize)?);
        }
    }
    let (replicas, lives) = (place.fewest_replicas(), place.lives);
    place.end();
    // In the order of the kinds, then in that of the strategies.
    let order = |lag: &RevocationLag| {
        let kind = kinds().position(|kind| *kind == lag.kind);
        let strategy = options
            .stack
            .strategies
            .iter()
            .position(|s| *s == lag.strategy);
        (kind, strategy)
    };
    lags.sort_by_key(order);
    Ok(Freshness {
        replicas: u32::try_from(replicas).unwrap_or(u32::MAX),
        access_token_ttl_seconds: lives.access_token.as_secs_f64(),
        leeway_seconds: lives.leeway.as_secs_f64(),
        exchange_ttl_seconds: lives.exchange.as_secs_f64(),
        lags,
    })
}

/// For the progress bar.
#[must_use]
pub fn expected(options: &FreshnessOptions) -> Duration {
    const LOGIN: Duration = Duration::from_millis(50);
    let known = options.stack.strategies.iter();
    let strategies: Vec<Strategy> = known.filter_map(|name| Strategy::named(name)).collect();
    let lives = match options.found {
        Some(_) => Lives::found(None),
        None => Lives::of(options.quick),
    };
    let rounds = 1.0 + 0.25 * (options.kinds.len().max(1) - 1) as f64;
    let one = |group: &Group| {
        let batches = (options.revocations as usize).div_ceil(group.victims);
        let logins = group.victims * group.strategies.len();
        (group.window() + LOGIN * u32::try_from(logins).unwrap_or(0))
            * u32::try_from(batches).unwrap_or(0)
    };
    let groups = groups(&strategies, lives, options.stack.replicas);
    let all: Duration = groups.iter().map(one).sum();
    Duration::from_secs(4) + all.mul_f64(rounds)
}

struct Measurement<'a> {
    options: &'a FreshnessOptions,
    place: &'a Place,
    progress: &'a Progress,
    random: Random,
}

/// One credential that is going to be revoked.
struct Victim {
    user: usize,
    credential: String,
    /// When, counted from the begin of the load.
    moment: Duration,
}

impl Measurement<'_> {
    fn group(
        &mut self,
        group: &Group,
        kind: RevocationKind,
        wanted: usize,
    ) -> Result<Vec<RevocationLag>, ExperimentError> {
        let mut lags: Vec<Lags> = group.strategies.iter().map(|_| Lags::default()).collect();
        let names: Vec<&str> = group.strategies.iter().map(|one| one.name()).collect();
        let limit = wanted.div_ceil(group.victims) * PATIENCE;
        for _ in 0..limit {
            let measured = lags.iter().map(Lags::measured).min().unwrap_or_default();
            if measured >= wanted {
                break;
            }
            self.progress.step(&format!(
                "freshness: {} of {wanted} revocations ({}) of {}",
                measured,
                kind.title(),
                names.join(", ")
            ));
            let victims = group.victims.min(wanted - measured).max(1);
            self.batch(group, kind, victims, &mut lags)?;
        }
        let lives = self.place.lives;
        let results = group.strategies.iter().zip(lags);
        Ok(results
            .map(|(strategy, lags)| {
                let until = until(*strategy, lives).map(|(_, why)| why);
                let fineness = (group.spacing(), group.resolution(*strategy));
                lags.result(strategy.name(), kind, fineness, until)
            })
            .collect())
    }

    fn batch(
        &mut self,
        group: &Group,
        kind: RevocationKind,
        count: usize,
        lags: &mut [Lags],
    ) -> Result<(), ExperimentError> {
        if self.options.stack.interrupt.is_cancelled() {
            return Err(ExperimentError::Interrupted);
        }
        let victims = self.victims(group, kind, count)?;
        let calls = victims
            .iter()
            .map(|victim| {
                let username = self.place.users.username(victim.user);
                let (gateway, administrator) = (&self.place.gateway, self.place.administrator());
                victims::revocation(gateway, administrator, username, &victim.credential, kind)
            })
            .collect::<Result<Vec<_>, _>>()?;
        let running = load::start(self.load(group), self.arms(group, kind, &victims))?;
        let origin = running.measured_from;
        let answers = revoke(origin, &victims, calls);
        let outcome = running.join()?;
        if outcome.interrupted {
            return Err(ExperimentError::Interrupted);
        }
        let mut arms = outcome.arms.iter();
        for (index, (asked, acknowledged)) in answers.into_iter().enumerate() {
            let strategy = group.strategies[index / count];
            let own = arms.by_ref().take(streams(strategy, group.replicas));
            lags[index / count].add(&Seen {
                asked,
                acknowledged,
                last_accepted: own.filter_map(|arm| arm.last_good_sent).max(),
                end: group.window(),
                spacing: group.spacing(),
                bound: group.bound,
            });
        }
        Ok(())
    }

    /// `count` of each strategy, those of a strategy one after the other; tokens last, because their
    /// lives are short.
    fn victims(
        &mut self,
        group: &Group,
        kind: RevocationKind,
        count: usize,
    ) -> Result<Vec<Victim>, ExperimentError> {
        for user in 0..group.strategies.len() * count {
            let username = self.place.users.username(user);
            victims::prepare(self.place.administrator(), username, kind)?;
        }
        let mut places: Vec<usize> = (0..group.strategies.len() * count).collect();
        let is_token =
            |place: &usize| group.strategies[place / count].credential() == Credential::Token;
        places.sort_by_key(is_token);
        let mut victims = Vec::new();
        for user in places {
            let credential = group.strategies[user / count].credential();
            victims.push(Victim {
                user,
                credential: self.place.users.log_in_one(user, credential)?,
                moment: LEAD + SPREAD.mul_f64(self.random.unit()),
            });
        }
        victims.sort_by_key(|victim| victim.user);
        Ok(victims)
    }

    /// For each victim, in their order, one for each of its streams.
    fn arms(&self, group: &Group, kind: RevocationKind, victims: &[Victim]) -> Vec<Arm> {
        let count = victims.len() / group.strategies.len();
        let arms = victims.iter().flat_map(|victim| {
            let strategy = group.strategies[victim.user / count];
            self.asked(strategy, kind).into_iter().map(move |url| Arm {
                name: strategy.name().to_owned(),
                url,
                variants: vec![Variant::bearer(&victim.credential)],
                load: Load::Open {
                    rate: group.rate,
                    arrivals: Arrivals::Uniform,
                },
            })
        });
        arms.collect()
    }

    /// What a victim of `strategy` requests.
    fn asked(&self, strategy: Strategy, kind: RevocationKind) -> Vec<Url> {
        let name = strategy.name();
        if strategy.is_exchanged() {
            let mut url = self.place.gateway.clone();
            url.set_path(&format!("/{name}{}", victims::path(kind)));
            return vec![url];
        }
        let replicas = self.place.replicas.get(name).into_iter().flatten();
        let urls =
            replicas.filter_map(|base| Url::parse(base).ok()?.join(victims::path(kind)).ok());
        urls.collect()
    }

    fn load(&mut self, group: &Group) -> Options {
        Options {
            duration: group.window(),
            deadline: Duration::from_secs(2),
            drain: Duration::from_millis(500),
            connections: 2,
            slice: Duration::from_secs(1),
            seed: self.random.next_u64(),
            interrupt: self.options.stack.interrupt.clone(),
            ..Options::default()
        }
    }
}

/// Makes each call at its moment, on a few threads, so that a slow answer does not delay the next
/// call. Gives when each was made and answered.
fn revoke(
    origin: Instant,
    victims: &[Victim],
    calls: Vec<Call>,
) -> Vec<(Duration, Option<Duration>)> {
    let mut due: Vec<(usize, Call)> = calls.into_iter().enumerate().collect();
    due.sort_by_key(|(index, _)| victims[*index].moment);
    let mut shares: Vec<Vec<(usize, Call)>> = (0..THREADS).map(|_| Vec::new()).collect();
    for (place, call) in due.into_iter().enumerate() {
        shares[place % THREADS].push(call);
    }
    let mut answers = vec![(Duration::ZERO, None); victims.len()];
    std::thread::scope(|scope| {
        let threads: Vec<_> = shares
            .into_iter()
            .map(|share| {
                scope.spawn(move || -> Vec<_> {
                    let answered = share.into_iter().map(|(index, call)| {
                        let moment = origin + victims[index].moment;
                        std::thread::sleep(moment.saturating_duration_since(Instant::now()));
                        (index, made(origin, call))
                    });
                    answered.collect()
                })
            })
            .collect();
        for (index, answer) in threads
            .into_iter()
            .flat_map(|one| one.join().unwrap_or_default())
        {
            answers[index] = answer;
        }
    });
    answers
}

fn made(origin: Instant, call: Call) -> (Duration, Option<Duration>) {
    let asked = origin.elapsed();
    let answered = call.make().ok();
    let accepted = answered.filter(|answered| (200..300).contains(&answered.status));
    let acknowledged = accepted.map(|answered| answered.at.saturating_duration_since(origin));
    (asked, acknowledged)
}
