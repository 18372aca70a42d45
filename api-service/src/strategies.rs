//! The strategies: ways to tell from a request who is calling.
//!
//! A strategy is a file below this one and a line in [`ALL`]. Its file holds its arguments, its
//! settings and their check, its verifier, and what it says of itself. What several strategies use
//! is below them: [`tokens`], [`session_store`], [`http_client`], [`sources`].

mod dpop;
mod http_client;
mod introspection;
mod jwt;
mod jwt_revocable;
mod phantom;
mod profile;
mod session;
mod session_cached;
mod session_store;
mod sources;
mod tokens;

use std::{any::Any, collections::BTreeMap, fmt::Debug, rc::Rc, sync::Arc};

use clap::{ArgMatches, Command, FromArgMatches};
use shared::{clock::Clock, config::Faults};

pub(crate) use self::sources::Process;
use self::sources::Thread;
pub use self::{
    dpop::Dpop,
    http_client::{Authorities, ClientError},
    introspection::{AnswerProfile, Introspection, Required},
    jwt::Jwt,
    jwt_revocable::JwtRevocable,
    phantom::Phantom,
    session::Session,
    session_cached::SessionCached,
    tokens::{Discovery, IssuerSettings, JwksSettings, KeySource, TokenSettings},
};
use crate::auth::{About, Gate, Gates, Verdicts, Verifier};

/// All strategies, in the order in which an operator reads of them.
static ALL: [Entry; 7] = [
    Entry::of::<Jwt>(),
    Entry::of::<JwtRevocable>(),
    Entry::of::<Session>(),
    Entry::of::<SessionCached>(),
    Entry::of::<Introspection>(),
    Entry::of::<Phantom>(),
    Entry::of::<Dpop>(),
];

/// What the file of a strategy implements for its settings.
pub(crate) trait Strategy: Debug + PartialEq + Send + Sync + 'static + Sized {
    /// What it says of itself.
    const ABOUT: &'static About;

    /// Its variables. Strategies may have some in common.
    type Arguments: clap::Args;

    /// Checks the variables, noting every fault.
    fn check(arguments: &Self::Arguments, faults: &mut Faults) -> Option<Self>;

    /// Starts, once for the process, what it needs in the background, such as fetching keys.
    ///
    /// # Errors
    ///
    /// Others would have to be asked, and no client for it can be made.
    fn start(&self, process: &mut Process<'_>) -> Result<Open, ClientError>;
}

/// Opens a strategy on the calling worker thread, inside its runtime: connections made there are
/// driven by the thread that uses them.
pub(crate) type Open = Arc<dyn Fn(&mut Thread) -> Rc<dyn Verifier> + Send + Sync>;

/// How callers are authenticated: a strategy with what it needs and nothing else.
///
/// Strategies that are equal, or share settings that are equal, share what is made of them: the key
/// set, the connections.
#[derive(Clone, Debug)]
pub struct StrategyConfig(Arc<dyn Configured>);

impl StrategyConfig {
    /// The strategy's name, as `API_STRATEGY` spells it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.0.about().name
    }
}

impl<S: Strategy> From<S> for StrategyConfig {
    fn from(strategy: S) -> Self {
        Self(Arc::new(strategy))
    }
}

impl PartialEq for StrategyConfig {
    fn eq(&self, other: &Self) -> bool {
        self.0.equals(&*other.0)
    }
}

/// [`Strategy`] without its type.
trait Configured: Any + Debug + Send + Sync {
    fn about(&self) -> &'static About;
    fn equals(&self, other: &dyn Any) -> bool;
    fn start(&self, process: &mut Process<'_>) -> Result<Open, ClientError>;
}

impl<S: Strategy> Configured for S {
    fn about(&self) -> &'static About {
        S::ABOUT
    }

    fn equals(&self, other: &dyn Any) -> bool {
        other.downcast_ref() == Some(self)
    }

    fn start(&self, process: &mut Process<'_>) -> Result<Open, ClientError> {
        Strategy::start(self, process)
    }
}

/// A strategy that may be chosen.
struct Entry {
    about: &'static About,
    augment: fn(Command) -> Command,
    check: fn(&ArgMatches, &mut Faults) -> Option<StrategyConfig>,
}

impl Entry {
    const fn of<S: Strategy>() -> Self {
        Self {
            about: S::ABOUT,
            augment: <S::Arguments as clap::Args>::augment_args,
            check: |matches, faults| {
                let arguments = S::Arguments::from_arg_matches(matches);
                let arguments = faults.check(S::ABOUT.name, arguments)?;
                S::check(&arguments, faults).map(StrategyConfig::from)
            },
        }
    }
}

/// The variables of all strategies; each is looked at only when a strategy needs it.
pub(crate) struct Arguments(ArgMatches);

impl FromArgMatches for Arguments {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Ok(Self(matches.clone()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.0 = matches.clone();
        Ok(())
    }
}

impl clap::Args for Arguments {
    fn augment_args(command: Command) -> Command {
        ALL.iter().fold(command, |command, entry| {
            let own = (entry.augment)(Command::new(entry.about.name));
            let is_new = |argument: &&clap::Arg| {
                let id = argument.get_id();
                command.get_arguments().all(|other| other.get_id() != id)
            };
            // Their order is that of the whole command, not that of the strategy's own.
            let new = own.get_arguments().filter(is_new).cloned();
            let new: Vec<_> = new.map(|one| one.display_order(None::<usize>)).collect();
            command.args(new)
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl Arguments {
    /// The strategy that `variable` names, noting every fault of the name and of its variables.
    pub(crate) fn check(
        &self,
        variable: &str,
        name: &str,
        faults: &mut Faults,
    ) -> Option<StrategyConfig> {
        let Some(entry) = ALL.iter().find(|entry| entry.about.name == name) else {
            faults.add(variable, format!("{name:?} is not {}", names()));
            self.check_all(faults);
            return None;
        };
        self.check_entry(entry, faults)
    }

    /// Checks the variables of all strategies that need none: which one is meant cannot be said,
    /// and a fault in the name of a strategy must not hide the others.
    pub(crate) fn check_all(&self, faults: &mut Faults) {
        for entry in ALL.iter().filter(|entry| entry.about.needs.is_none()) {
            self.check_entry(entry, faults);
        }
    }

    /// A fault of what two strategies have in common is noted once.
    fn check_entry(&self, entry: &Entry, faults: &mut Faults) -> Option<StrategyConfig> {
        let mut own = Faults::default();
        let strategy = (entry.check)(&self.0, &mut own);
        faults.merge(own);
        strategy
    }
}

/// The names of all strategies, as the end of a sentence about what is wanted.
pub(crate) fn names() -> String {
    let names: Vec<_> = ALL.iter().map(|entry| entry.about.name).collect();
    format!("one of {}", names.join(", "))
}

/// What an operator can choose from, a line for each.
pub(crate) fn help() -> String {
    let lines = ALL.iter().map(|entry| {
        let About {
            name,
            summary,
            needs,
            ..
        } = entry.about;
        let needs = needs.map(|needs| format!("; needs {needs}"));
        format!("{name}: {summary}{}", needs.unwrap_or_default())
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The strategies of a process, started.
#[derive(Clone)]
pub(crate) struct Strategies {
    /// Each once; the first is that of routes without a strategy of their own.
    started: Vec<(StrategyConfig, Open)>,
    /// Indices of the strategies that routes have of their own.
    routes: BTreeMap<&'static str, usize>,
}

impl Strategies {
    /// Starts what the strategies need in the background. What is configured alike is started once.
    pub(crate) fn start(
        elsewhere: StrategyConfig,
        routes: BTreeMap<&'static str, StrategyConfig>,
        mut process: Process<'_>,
    ) -> Result<Self, ClientError> {
        let mut strategies = Self {
            started: Vec::new(),
            routes: BTreeMap::new(),
        };
        strategies.index_of(elsewhere, &mut process)?;
        for (route, config) in routes {
            let index = strategies.index_of(config, &mut process)?;
            strategies.routes.insert(route, index);
        }
        Ok(strategies)
    }

    fn index_of(
        &mut self,
        config: StrategyConfig,
        process: &mut Process<'_>,
    ) -> Result<usize, ClientError> {
        let equal = self.started.iter().position(|(other, _)| *other == config);
        if let Some(index) = equal {
            return Ok(index);
        }
        let open = config.0.start(process)?;
        self.started.push((config, open));
        Ok(self.started.len() - 1)
    }

    /// Opens every strategy on the calling worker thread.
    pub(crate) fn open(&self, clock: &Clock, verdicts: &Verdicts) -> Gates {
        let mut thread = Thread::default();
        let gates = self.started.iter().map(|(config, open)| Gate {
            about: config.0.about(),
            verifier: open(&mut thread),
            clock: clock.clone(),
            verdicts: verdicts.clone(),
        });
        Gates::new(gates.collect(), self.routes.clone())
    }
}
