//! The system at a distance: its links, its users, and what is sent in a window.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{DEADLINE, DistanceOptions, asking, place::Place};
use crate::{
    disturb::{
        links::Links,
        proxy::{Calibration, Condition},
    },
    experiment::{
        error::{ExperimentError, strategy},
        one_by_one::OneByOne,
    },
    instrument::environment,
    load::{self, Arm, Arrivals, Load, Options, Variant},
    metrics::Observation,
    results::Plan,
    subject::{
        found::Subject,
        login::{Users, cheap_hashing},
        stack::{Detour, Link, StackOptions},
        usage::Meter,
    },
};

/// Users log in anew after this time: a token lives for a quarter of an hour.
const LOGGED_IN: Duration = Duration::from_secs(300);
/// Requests that are left over at the end of a window are waited for so long.
const DRAIN: Duration = Duration::from_millis(500);
/// Connections of the generator, at least.
const FEWEST_CONNECTIONS: usize = 32;
/// What a request takes without any distance, at most, for the number of connections.
const NEAR: Duration = Duration::from_millis(5);
/// Of the highest rates, each of the four windows.
const HIGHEST_WINDOW: Duration = Duration::from_millis(500);
/// What the pools are called whose links are direct: the strategy's name and this.
const DIRECT: &str = "-direct";
/// It stands where Redis does.
const AUTH: &str = "auth-service";

/// The highest rates of the strategy that asks on each request, in a closed loop.
#[derive(Clone, Copy)]
pub(super) struct Highest {
    pub(super) through_per_second: f64,
    pub(super) direct_per_second: f64,
}

/// A running system whose parts can be put at a distance.
pub(super) struct Bench<'a> {
    pub(super) options: &'a DistanceOptions,
    /// Index of the strategy that is measured through the proxy at no delay as well.
    pub(super) asking: usize,
    calibration: Calibration,
    subject: Subject,
    // After the system that its proxies serve.
    links: Arc<Links>,
    users: Users,
    /// Credentials of every user, by strategy.
    logins: Vec<Vec<Variant>>,
    logged_in: Instant,
}

impl<'a> Bench<'a> {
    /// Starts two pools for each strategy, one of them behind proxies, and logs users in.
    ///
    /// # Errors
    ///
    /// The system does not start, or nobody can log in.
    pub(super) fn start(
        options: &'a DistanceOptions,
        calibration: Calibration,
    ) -> Result<Self, ExperimentError> {
        let failed = ExperimentError::system("starting the delay proxy");
        let links = Links::start().map_err(failed)?;
        let strategies = &options.stack.strategies;
        let further_pools = strategies
            .iter()
            .map(|name| Ok((direct(name), strategy(name)?)))
            .collect::<Result<_, ExperimentError>>()?;
        let stack = cheap_hashing(StackOptions {
            further_pools,
            detour: Some(detour(&links)),
            ..options.stack.clone()
        });
        let subject = Subject::reach(&stack, None, None)?;
        let users = Users::register(&subject.gateway, options.users)?;
        let mut bench = Self {
            options,
            asking: asking(strategies),
            calibration,
            subject,
            links,
            users,
            logins: Vec::new(),
            logged_in: Instant::now(),
        };
        bench.log_in()?;
        Ok(bench)
    }

    fn log_in(&mut self) -> Result<(), ExperimentError> {
        self.move_to(Place::Direct)?;
        let strategies = self.options.stack.strategies.iter();
        self.logins = strategies
            .map(|name| Ok(self.users.log_in(strategy(name)?.credential())?))
            .collect::<Result<_, ExperimentError>>()?;
        self.logged_in = Instant::now();
        Ok(())
    }

    /// Logs in anew what may soon be over.
    pub(super) fn keep_logged_in(&mut self) -> Result<(), ExperimentError> {
        if self.logged_in.elapsed() > LOGGED_IN {
            self.log_in()?;
        }
        Ok(())
    }

    /// Restarts every process, and logs in anew.
    pub(super) fn restart(&mut self) -> Result<(), ExperimentError> {
        self.move_to(Place::Direct)?;
        if let Some(stack) = &self.subject.stack {
            stack.restart_all()?;
            // Its connection to Redis ended with that.
            self.subject.meter = Meter::of_stack(stack)?;
        }
        self.log_in()
    }

    /// Puts Redis and the auth service there.
    fn move_to(&self, place: Place) -> Result<(), ExperimentError> {
        let condition = match place {
            Place::Direct => Condition::default(),
            Place::Through(round_trip) => self.calibration.condition(round_trip),
        };
        let set = self.links.set(|_| true, condition);
        set.map(drop)
            .map_err(ExperimentError::system("setting the delay"))
    }

    /// One window of a strategy at a distance.
    ///
    /// # Errors
    ///
    /// The generator or the proxy failed, counters cannot be read, or it was interrupted.
    pub(super) fn window(
        &mut self,
        strategy: usize,
        place: Place,
        seed: u64,
    ) -> Result<Observation, ExperimentError> {
        let options = self.options;
        let load = Load::Open {
            rate: options.rate,
            arrivals: Arrivals::Poisson,
        };
        let round_trip = place.round_trip();
        let times = Options {
            // What was asked for at the distance before has come by then.
            warmup: options.warmup + round_trip * 2,
            duration: options.window,
            seed,
            ..self.load(round_trip)
        };
        self.drive(strategy, place, load, times)
    }

    /// What the pool of the asking strategy answers as fast as it can, through the proxy at no delay and
    /// past it.
    ///
    /// # Errors
    ///
    /// As [`Bench::window`].
    pub(super) fn highest(&mut self) -> Result<Highest, ExperimentError> {
        let load = Load::Closed {
            connections: FEWEST_CONNECTIONS,
        };
        let through = Place::CONTROL;
        let mut answers = BTreeMap::from([(false, 0.0), (true, 0.0)]);
        // In an order in which a drift meets both alike.
        for place in [Place::Direct, through, through, Place::Direct] {
            let times = Options {
                warmup: self.options.warmup,
                duration: HIGHEST_WINDOW,
                seed: self.options.seed,
                ..self.load(Duration::ZERO)
            };
            let seen = self.drive(self.asking, place, load, times)?;
            *answers.entry(place == through).or_default() += seen.achieved_per_second() / 2.0;
        }
        Ok(Highest {
            through_per_second: answers[&true],
            direct_per_second: answers[&false],
        })
    }

    /// What all windows have in common. The pool is as large for each distance of the series, so that
    /// its size is no part of what they differ in.
    fn load(&self, round_trip: Duration) -> Options {
        let options = self.options;
        let farthest = options.round_trips.iter().max().copied();
        let farthest = farthest.unwrap_or_default().max(round_trip);
        let under_way = options.rate * (farthest + NEAR).as_secs_f64();
        Options {
            deadline: DEADLINE,
            drain: DRAIN,
            connections: ((under_way * 2.0).ceil() as usize).max(FEWEST_CONNECTIONS),
            interrupt: options.stack.interrupt.clone(),
            ..Options::default()
        }
    }

    fn drive(
        &mut self,
        strategy: usize,
        place: Place,
        load: Load,
        options: Options,
    ) -> Result<Observation, ExperimentError> {
        self.move_to(place)?;
        let name = &self.options.stack.strategies[strategy];
        let pool = match place {
            Place::Direct => direct(name),
            Place::Through(_) => name.clone(),
        };
        let arm = Arm {
            name: name.clone(),
            url: self.subject.url(&pool),
            variants: self.logins[strategy].clone(),
            load,
        };
        let before = self.subject.meter.read()?;
        let run = load::run(options, vec![arm])?;
        let usage = self.subject.meter.read()?.since(&before);
        if run.interrupted {
            return Err(ExperimentError::Interrupted);
        }
        Ok(Observation::of(&run, Some(&usage), &pool))
    }

    /// What two runs must have in common.
    pub(super) fn facts(&self) -> BTreeMap<String, String> {
        let stack = self.subject.stack.as_ref();
        stack.map_or_else(BTreeMap::new, environment::facts_of_stack)
    }

    pub(super) fn redis_version(&self) -> Option<String> {
        self.subject.meter.redis_version()
    }

    pub(super) fn plan(&self, blocks: u32) -> Plan {
        let options = self.options;
        OneByOne {
            stack: &options.stack,
            quick: options.quick,
            seed: options.seed,
            rate: options.rate,
            logins: options.users,
            blocks,
            restarts: options.restarts,
            window: Options {
                warmup: options.warmup,
                duration: options.window,
                ..self.load(Duration::ZERO)
            },
            left_out: options.left_out(),
        }
        .plan()
    }

    /// Ends what was started here.
    pub(super) fn end(self) {
        self.subject.end();
    }
}

fn direct(strategy: &str) -> String {
    format!("{strategy}{DIRECT}")
}

/// Leads what the API and the gateway ask through proxies, but not what the pools without a distance
/// do, nor what the auth service asks Redis.
fn detour(links: &Arc<Links>) -> Detour {
    let through = links.detour();
    Arc::new(move |link: &Link, target: SocketAddr| {
        let pool = link.from.rsplit_once('-').map_or("", |(pool, _)| pool);
        if link.from.starts_with(AUTH) || pool.ends_with(DIRECT) {
            return Ok(target);
        }
        through(link, target)
    })
}
