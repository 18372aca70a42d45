//! The system with a user and logins of every size, and what is sent in a window.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use url::Url;

use super::{
    DEADLINE, SizesOptions,
    carry::{Arm, Carrier, Refusal, user},
    size::Size,
};
use crate::{
    experiment::{
        administrator::{Account, Administrator},
        error::{ExperimentError, strategy},
        one_by_one::OneByOne,
    },
    instrument::environment,
    load::{self, Arrivals, Load, Options},
    metrics::Observation,
    results::{Carried, Plan, SizeRefused},
    subject::{
        login::{Users, cheap_hashing},
        stack::Stack,
        strategy::{Credential, Strategy},
        usage::{Meter, Usage},
    },
};

/// Logins are made anew after this time: a token lives for a quarter of an hour.
const LOGGED_IN: Duration = Duration::from_secs(300);
/// Requests that are left over at the end of a window are waited for so long.
const DRAIN: Duration = Duration::from_millis(500);
/// How long the parts may drain at the end.
const END: Duration = Duration::from_secs(3);
/// For so long it is looked what Redis is asked when nobody asks anything.
const IDLE: Duration = Duration::from_secs(1);

/// A running system.
pub(super) struct Bench<'a> {
    options: &'a SizesOptions,
    stack: Stack,
    meter: Meter,
    carrier: Carrier,
    /// A user for each size that users can have.
    people: Vec<(Size, Users)>,
    arms: Vec<Arm>,
    refused: Vec<SizeRefused>,
    idle: Idle,
    logged_in: Instant,
}

/// What moves between Redis and those who are connected to it when no request comes.
#[derive(Clone, Copy, Default)]
struct Idle {
    /// By reading its counters once.
    reading: f64,
    per_second: f64,
}

impl<'a> Bench<'a> {
    /// Starts the system, and gives users and logins what they are to carry, as far as they can.
    ///
    /// # Errors
    ///
    /// The system does not start, or a part of it cannot be reached.
    pub(super) fn start(options: &'a SizesOptions) -> Result<Self, ExperimentError> {
        let account = Account::new("sizes-admin")?;
        let stack = Stack::start(cheap_hashing(account.in_stack(options.stack.clone())))?;
        let gateway = Url::parse(&stack.gateway_url).expect("the stack's own URL is one");
        let administrator = Administrator::log_in(&gateway, &account)?;
        let mut bench = Self {
            options,
            meter: Meter::of_stack(&stack)?,
            carrier: Carrier::new(&gateway, options.logins)?,
            stack,
            people: Vec::new(),
            arms: Vec::new(),
            refused: Vec::new(),
            idle: Idle::default(),
            logged_in: Instant::now(),
        };
        for size in options.sizes() {
            bench.add(size, &administrator)?;
        }
        for carries in [Carried::Roles, Carried::Record] {
            bench.add_largest(carries, &administrator)?;
        }
        // The largest that a token carries is among the others, as curves go.
        bench.arms.sort_by_key(|arm| arm.size);
        bench.idle = bench.at_rest()?;
        Ok(bench)
    }

    /// An arm for each strategy that can carry it.
    fn add(&mut self, size: Size, administrator: &Administrator) -> Result<(), ExperimentError> {
        let user = user(size, administrator)?;
        for name in &self.options.stack.strategies {
            let strategy = strategy(name)?;
            let prepared = match &user {
                Ok(users) => self.carrier.prepare(strategy, size, users)?,
                Err(refusal) => Err(refusal.clone()),
            };
            match prepared {
                Ok(arm) => self.arms.push(arm),
                Err(refusal) => self.refuse(strategy, size, refusal),
            }
        }
        self.people.extend(user.ok().map(|users| (size, users)));
        Ok(())
    }

    /// Where a token carries some sizes and not others, the largest that it does carry.
    fn add_largest(
        &mut self,
        carries: Carried,
        administrator: &Administrator,
    ) -> Result<(), ExperimentError> {
        let mut strategies = self.options.stack.strategies.iter();
        let known = strategies.find_map(|name| {
            Strategy::named(name).filter(|one| one.credential() == Credential::Token)
        });
        let Some(strategy) = known else {
            return Ok(());
        };
        let arms = self.arms.iter().filter(|arm| arm.strategy == strategy);
        let taken = arms
            .map(|arm| arm.size)
            .filter(|size| size.carries() == carries);
        let refused = self
            .refused
            .iter()
            .filter(|one| one.strategy == strategy.name());
        let refused = refused.filter(|one| one.carries == carries);
        let (Some(least), Some(mut refused)) = (
            taken.map(Size::count).max(),
            refused.map(|one| one.size() as u64).min(),
        ) else {
            return Ok(());
        };
        let mut taken = least;
        while refused - taken > 1 {
            let middle = u64::midpoint(taken, refused);
            let size = Size::of(carries, middle);
            let carried = match user(size, administrator)? {
                Ok(users) => self.carrier.prepare(strategy, size, &users)?.is_ok(),
                Err(_) => false,
            };
            match carried {
                true => taken = middle,
                false => refused = middle,
            }
        }
        if taken > least {
            self.add(Size::of(carries, taken), administrator)?;
        }
        if taken > least && carries == Carried::Record && self.options.unread {
            self.add(Size::of(Carried::RecordUnread, taken), administrator)?;
        }
        Ok(())
    }

    fn refuse(&mut self, strategy: Strategy, size: Size, refusal: Refusal) {
        self.refused.push(SizeRefused {
            strategy: strategy.name().to_owned(),
            carries: size.carries(),
            roles: size.roles(),
            record_bytes: size.record_bytes(),
            request: refusal.request,
            status: refusal.status,
        });
    }

    fn at_rest(&mut self) -> Result<Idle, ExperimentError> {
        let first = self.meter.read()?;
        let second = self.meter.read()?;
        std::thread::sleep(IDLE);
        let third = self.meter.read()?;
        let bytes = |usage: Usage| usage.redis_bytes.unwrap_or(0) as f64;
        let reading = bytes(second.since(&first));
        let with_rest = bytes(third.since(&second));
        Ok(Idle {
            reading,
            per_second: (with_rest - reading).max(0.0) / IDLE.as_secs_f64(),
        })
    }

    /// Restarts every process, and logs in anew.
    pub(super) fn restart(&mut self) -> Result<(), ExperimentError> {
        self.stack.restart_all()?;
        // Its connection to Redis ended with that.
        self.meter = Meter::of_stack(&self.stack)?;
        self.log_in()
    }

    /// Logs in anew what may soon be over.
    pub(super) fn keep_logged_in(&mut self) -> Result<(), ExperimentError> {
        if self.logged_in.elapsed() > LOGGED_IN {
            self.log_in()?;
        }
        Ok(())
    }

    fn log_in(&mut self) -> Result<(), ExperimentError> {
        let mut arms = Vec::new();
        for arm in &self.arms {
            let mut people = self.people.iter();
            let Some((_, users)) = people.find(|(size, _)| *size == arm.size) else {
                continue;
            };
            let prepared = self.carrier.prepare(arm.strategy, arm.size, users)?;
            arms.push(prepared.map_err(|refusal| ExperimentError::Refused {
                request: refusal.request,
                status: refusal.status,
            })?);
        }
        self.arms = arms;
        self.logged_in = Instant::now();
        Ok(())
    }

    /// One window of an arm, and the bytes between the services and Redis per request.
    ///
    /// # Errors
    ///
    /// The generator failed, counters cannot be read, or it was interrupted.
    pub(super) fn window(
        &mut self,
        arm: usize,
        seed: u64,
    ) -> Result<(Observation, Option<f64>), ExperimentError> {
        let arm = &self.arms[arm];
        let request = load::Arm {
            name: arm.to_string(),
            url: self.carrier.url(arm.strategy, arm.size.path()),
            variants: arm.variants.clone(),
            load: Load::Open {
                rate: self.options.rate,
                arrivals: Arrivals::Poisson,
            },
        };
        let before = self.meter.read()?;
        let began = Instant::now();
        let run = load::run(
            Options {
                seed,
                ..self.load()
            },
            vec![request],
        )?;
        let usage = self.meter.read()?.since(&before);
        let elapsed = began.elapsed().as_secs_f64();
        if run.interrupted {
            return Err(ExperimentError::Interrupted);
        }
        let seen = Observation::of(&run, Some(&usage), arm.strategy.name());
        let store = usage.redis_bytes.map(|bytes| {
            let ours = self.idle.reading + self.idle.per_second * elapsed;
            (bytes as f64 - ours).max(0.0) / seen.requests_with_warmup.max(1) as f64
        });
        Ok((seen, store))
    }

    fn load(&self) -> Options {
        Options {
            warmup: self.options.warmup,
            duration: self.options.window,
            deadline: DEADLINE,
            drain: DRAIN,
            interrupt: self.options.stack.interrupt.clone(),
            ..Options::default()
        }
    }

    pub(super) fn options(&self) -> &'a SizesOptions {
        self.options
    }

    pub(super) fn arms(&self) -> &[Arm] {
        &self.arms
    }

    pub(super) fn refused(&self) -> &[SizeRefused] {
        &self.refused
    }

    pub(super) fn stack(&self) -> &Stack {
        &self.stack
    }

    /// What two runs must have in common.
    pub(super) fn facts(&self) -> BTreeMap<String, String> {
        environment::facts_of_stack(&self.stack)
    }

    pub(super) fn redis_version(&self) -> Option<String> {
        self.meter.redis_version()
    }

    pub(super) fn plan(&self) -> Plan {
        let options = self.options;
        OneByOne {
            stack: &options.stack,
            quick: options.quick,
            seed: options.seed,
            rate: options.rate,
            logins: options.logins,
            blocks: options.blocks,
            restarts: options.restarts,
            window: self.load(),
            left_out: options.left_out(),
        }
        .plan()
    }

    /// Ends what was started here.
    pub(super) fn end(self) {
        let _ended = self.stack.stop(END);
    }
}
