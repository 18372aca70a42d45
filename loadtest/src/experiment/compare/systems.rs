//! The systems behind the arms: one for all strategies, one for each build or setting of its own, and
//! servers that are only driven.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use url::Url;

use super::{ArmSpec, CompareError, CompareOptions};
use crate::{
    instrument::environment,
    load::{self, Variant},
    results::Conditions,
    subject::{
        found::Subject,
        login::{self, Users},
        mix::{Mix, MixContext},
        stack::StackOptions,
        usage::{Meter, Reading, Usage},
    },
};

/// Users log in anew after this time: a token lives for a quarter of an hour.
const LOGGED_IN: Duration = Duration::from_secs(300);

/// Everything that is driven.
pub(super) struct Systems {
    systems: Vec<System>,
    pub(super) arms: Vec<Arm>,
    logged_in: Instant,
}

struct System {
    subject: Subject,
    users: Users,
}

/// One arm, ready to be driven.
pub(super) struct Arm {
    pub(super) spec: ArmSpec,
    /// Index of its system; `None` for a server that is only driven.
    system: Option<usize>,
    /// What its replicas are called at the gateway.
    pub(super) pool: String,
    pub(super) url: Url,
    /// One a login, of the largest working set.
    pub(super) variants: Vec<Variant>,
}

impl Systems {
    /// Starts or finds what the arms need and logs `users` users in to each.
    pub(super) fn begin(
        options: &CompareOptions,
        specs: &[ArmSpec],
        users: usize,
    ) -> Result<Self, CompareError> {
        let mut systems = Vec::new();
        let mut shared = None;
        let mut arms = Vec::new();
        for spec in specs {
            let (system, url) = match &spec.url {
                Some(url) => (None, url.clone()),
                None => {
                    let index = match shared.filter(|_| !spec.is_apart()) {
                        Some(index) => index,
                        None => {
                            let subject = reach(options, spec, specs)?;
                            let users = Users::register(&subject.gateway, users)?;
                            systems.push(System { subject, users });
                            if !spec.is_apart() {
                                shared = Some(systems.len() - 1);
                            }
                            systems.len() - 1
                        }
                    };
                    let pool = pool(options, spec);
                    (Some(index), systems[index].subject.url(&pool))
                }
            };
            arms.push(Arm {
                spec: spec.clone(),
                system,
                pool: pool(options, spec),
                url,
                variants: Vec::new(),
            });
        }
        let mut begun = Self {
            systems,
            arms,
            logged_in: Instant::now(),
        };
        begun.log_in(users)?;
        Ok(begun)
    }

    /// Logs every user in anew. A server of somebody else's that has a strategy is logged in to at
    /// its own `/auth`.
    fn log_in(&mut self, users: usize) -> Result<(), CompareError> {
        for arm in &mut self.arms {
            let mut variants = match (arm.spec.strategy, arm.system) {
                (None, _) => vec![Variant::default()],
                (Some(strategy), Some(system)) => {
                    self.systems[system].users.log_in(strategy.credential())?
                }
                (Some(strategy), None) => {
                    let mut base = arm.url.clone();
                    base.set_path("/");
                    base.set_query(None);
                    Users::register(&base, users)?.log_in(strategy.credential())?
                }
            };
            for (name, value) in &arm.spec.headers {
                let further = variants.into_iter();
                variants = further.map(|variant| variant.header(name, value)).collect();
            }
            arm.variants = variants;
        }
        self.logged_in = Instant::now();
        Ok(())
    }

    /// Logs in anew what may soon be over.
    pub(super) fn keep_logged_in(&mut self, users: usize) -> Result<(), CompareError> {
        if self.logged_in.elapsed() > LOGGED_IN {
            self.log_in(users)?;
        }
        Ok(())
    }

    /// Restarts every process of every system that was started here, and logs in anew.
    pub(super) fn restart(&mut self, users: usize) -> Result<(), CompareError> {
        let mut any = false;
        for system in &mut self.systems {
            if let Some(stack) = &system.subject.stack {
                stack.restart_all()?;
                // Its connection to Redis ended with that.
                system.subject.meter = Meter::of_stack(stack)?;
                any = true;
            }
        }
        if any {
            self.log_in(users)?;
        }
        Ok(())
    }

    /// The counters of the system of an arm; `None` where there are none.
    pub(super) fn read(&mut self, arm: usize) -> Result<Option<Reading>, CompareError> {
        let Some(system) = self.arms[arm].system else {
            return Ok(None);
        };
        Ok(Some(self.systems[system].subject.meter.read()?))
    }

    /// What the system of an arm used since an earlier reading of it.
    pub(super) fn used_since(
        &mut self,
        arm: usize,
        before: Option<&Reading>,
    ) -> Result<Option<Usage>, CompareError> {
        let now = self.read(arm)?;
        Ok(now.zip(before).map(|(now, before)| now.since(before)))
    }

    /// The first system that was started here.
    pub(super) fn first_started(&mut self) -> Option<&mut Subject> {
        let mut subjects = self.systems.iter_mut().map(|system| &mut system.subject);
        subjects.find(|subject| subject.stack.is_some())
    }

    /// The first system, which is the baseline's, if it is one of ours or was found.
    pub(super) fn first(&mut self) -> Option<&mut Subject> {
        self.systems.first_mut().map(|system| &mut system.subject)
    }

    /// Replicas of the API of an arm; `None` where they are not known.
    pub(super) fn replicas(&self, arm: &Arm) -> Option<u32> {
        self.systems[arm.system?].subject.replicas(&arm.pool)
    }

    /// What two runs must have in common. The facts of a system that serves one arm only have the
    /// arm's name before them.
    pub(super) fn facts(&self) -> BTreeMap<String, String> {
        let mut facts = BTreeMap::new();
        for (index, system) in self.systems.iter().enumerate() {
            let Some(stack) = &system.subject.stack else {
                continue;
            };
            for (name, value) in environment::facts_of_stack(stack) {
                facts.insert(named(&self.arms, index, name), value);
            }
        }
        facts
    }

    /// Resident memory of every process that can be asked, in bytes; named as the facts are.
    pub(super) fn memory(&mut self) -> Result<BTreeMap<String, u64>, CompareError> {
        let mut memory = BTreeMap::new();
        for (index, system) in self.systems.iter_mut().enumerate() {
            for (name, bytes) in system.subject.meter.read()?.memory() {
                memory.insert(named(&self.arms, index, name), bytes);
            }
        }
        Ok(memory)
    }

    /// What `arm` sends: the first `working_set` logins in turn.
    pub(super) fn request(&self, arm: usize, working_set: usize, load: load::Load) -> load::Arm {
        let arm = &self.arms[arm];
        load::Arm {
            name: arm.spec.name.clone(),
            url: arm.url.clone(),
            variants: arm.variants.iter().take(working_set).cloned().collect(),
            load,
        }
    }

    /// What `arm` sends in one window under the given conditions, which lasts `time` with its
    /// warm-up. Without a mixture, and of a server that is only driven, it is [`Systems::request`].
    pub(super) fn mixed(
        &self,
        arm: usize,
        mix: Option<&Mix>,
        load: load::Load,
        conditions: &Conditions,
        (time, seed): (Duration, u64),
    ) -> Result<load::Arm, CompareError> {
        let mut request = self.request(arm, conditions.working_set as usize, load);
        let arm = &self.arms[arm];
        if let (Some(mix), Some(system), Some(strategy)) = (mix, arm.system, arm.spec.strategy) {
            let system = &self.systems[system];
            request.variants = mix.variants(&MixContext {
                gateway: &system.subject.gateway,
                pool: &arm.pool,
                users: &system.users,
                credential: strategy.credential(),
                logins: &request.variants,
                rate: conditions.rate_per_second,
                time,
                seed,
            })?;
        }
        Ok(request)
    }

    /// Ends what was started here.
    pub(super) fn end(self) {
        for system in self.systems {
            system.subject.end();
        }
    }
}

/// What is of a system, by its index: with the name of its arm where it serves one only.
fn named(arms: &[Arm], system: usize, name: String) -> String {
    let mut served = arms.iter().filter(|arm| arm.system == Some(system));
    match served.find(|arm| arm.spec.is_apart()) {
        Some(arm) => format!("{} {name}", arm.spec.name),
        None => name,
    }
}

/// In a system that runs, the arm that is the baseline once more is served by the baseline's pool.
fn pool(options: &CompareOptions, spec: &ArmSpec) -> String {
    match spec.strategy {
        Some(strategy) if options.gateway.is_some() || spec.is_apart() => {
            strategy.name().to_owned()
        }
        _ => spec.name.clone(),
    }
}

fn reach(
    options: &CompareOptions,
    spec: &ArmSpec,
    all: &[ArmSpec],
) -> Result<Subject, CompareError> {
    let mut stack = StackOptions {
        strategies: Vec::new(),
        ..options.stack.clone()
    };
    if options.hashes_cheaply() {
        stack = login::cheap_hashing(stack);
    }
    if spec.is_apart() {
        stack.strategies = spec
            .strategy
            .iter()
            .map(|one| one.name().to_owned())
            .collect();
        if spec.bin_dir.is_some() {
            stack.bin_dir.clone_from(&spec.bin_dir);
        }
        stack.environment.extend(spec.variables());
        return Ok(Subject::reach(&stack, None, None)?);
    }
    let together = all
        .iter()
        .filter(|one| one.url.is_none() && !one.is_apart());
    stack.further_pools = together
        .filter_map(|one| Some((one.name.clone(), one.strategy?)))
        .collect();
    Ok(Subject::reach(
        &stack,
        options.gateway.as_ref(),
        options.gateway_admin.as_ref(),
    )?)
}
