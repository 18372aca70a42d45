//! What is compared: strategies of one system, builds or settings of it, a server of the user's own.

use std::{collections::BTreeMap, path::PathBuf, str::FromStr};

use url::Url;

use crate::{
    instrument::environment,
    load::take_credentials,
    results::ArmInfo,
    subject::{
        found,
        stack::Role,
        strategy::{KNOWN_STRATEGIES, Strategy},
    },
};

/// Variables that make processes one system, with the strategy that the arm says.
const MAKE_THE_SYSTEM: [&str; 13] = [
    "API_AUDIENCE",
    "API_INTROSPECTION_URL",
    "API_ISSUER",
    "API_JWKS_URL",
    "API_LISTEN",
    "API_STRATEGY",
    "AUTH_AUDIENCE",
    "AUTH_ISSUER",
    "AUTH_LISTEN",
    "GATEWAY_ADMIN_LISTEN",
    "GATEWAY_LISTEN",
    "GATEWAY_POOLS",
    "GATEWAY_ROUTES",
];
/// Ending of the name of the arm that is the baseline once more.
const AGAIN: &str = "-again";

/// One arm, as `--arm NAME=strategy[,bin-dir=…][,env=K=V][,url=…][,header=…]` names it.
#[derive(Clone, Debug, PartialEq)]
pub struct ArmSpec {
    /// Its name in all tables.
    pub name: String,
    /// How its users log in and what its replicas do; absent for a server that is not ours.
    pub strategy: Option<Strategy>,
    /// Where its programs are, when they are not those of everybody.
    pub bin_dir: Option<PathBuf>,
    /// Variables of its services.
    pub environment: Vec<(String, String)>,
    /// What is requested, when it is not a system that is started.
    pub url: Option<Url>,
    /// Further header fields of each request.
    pub headers: Vec<(String, String)>,
}

impl ArmSpec {
    /// The arm of a strategy, named like it.
    #[must_use]
    pub fn of(strategy: Strategy) -> Self {
        Self {
            name: strategy.name().to_owned(),
            strategy: Some(strategy),
            bin_dir: None,
            environment: Vec::new(),
            url: None,
            headers: Vec::new(),
        }
    }

    /// The same once more, to see what is not a difference.
    #[must_use]
    pub fn again(&self) -> Self {
        Self {
            name: format!("{}{AGAIN}", self.name),
            ..self.clone()
        }
    }

    /// Whether it needs a system of its own: its auth service and its gateway differ as well.
    #[must_use]
    pub fn is_apart(&self) -> bool {
        self.bin_dir.is_some() || !self.environment.is_empty()
    }

    /// Its variables with the kind of process that each is for; one without our prefix is for all.
    #[must_use]
    pub fn variables(&self) -> Vec<(Role, String, String)> {
        let mut variables = Vec::new();
        for (name, value) in &self.environment {
            let roles: &[Role] = match name.split('_').next() {
                Some("AUTH") => &[Role::Auth],
                Some("API") => &[Role::Api],
                Some("GATEWAY") => &[Role::Gateway],
                _ => &[Role::Auth, Role::Api, Role::Gateway],
            };
            for role in roles {
                variables.push((*role, name.clone(), value.clone()));
            }
        }
        variables
    }

    /// As it is written to the results. Values of variables that name a secret stay here.
    #[must_use]
    pub fn info(&self) -> ArmInfo {
        let variables = self.environment.iter();
        let variables =
            variables.map(|(name, value)| (name.clone(), environment::shown(name, value)));
        ArmInfo {
            name: self.name.clone(),
            strategy: self.strategy.map(|strategy| strategy.name().to_owned()),
            credential: self
                .strategy
                .map(|strategy| strategy.credential().name().to_owned()),
            path: match &self.url {
                Some(url) => url.path().to_owned(),
                None => found::path(&self.name),
            },
            variables: variables.collect::<BTreeMap<_, _>>(),
            own_build: self.bin_dir.is_some(),
            replicas: None,
        }
    }
}

impl FromStr for ArmSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const FORM: &str =
            "NAME=strategy[,bin-dir=DIR][,env=K=V][,url=URL][,header=Name: value] is needed";
        let (name, rest) = text.split_once('=').ok_or(FORM)?;
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if name.is_empty() || !name.bytes().all(fits) {
            return Err(format!("{name:?} is no name: letters, digits, - and _ are"));
        }
        if name == "auth" {
            return Err("auth is the name of the auth service; the arm needs another".to_owned());
        }
        let mut arm = Self {
            name: name.to_owned(),
            strategy: None,
            bin_dir: None,
            environment: Vec::new(),
            url: None,
            headers: Vec::new(),
        };
        for part in rest.split(',').filter(|part| !part.is_empty()) {
            match part.split_once('=') {
                None => {
                    let known = || {
                        format!(
                            "{part:?} is not a strategy; known are {}",
                            KNOWN_STRATEGIES.join(", ")
                        )
                    };
                    arm.strategy = Some(Strategy::named(part).ok_or_else(known)?);
                }
                Some(("bin-dir", folder)) => arm.bin_dir = Some(PathBuf::from(folder)),
                Some(("env", variable)) => {
                    let (name, value) =
                        variable.split_once('=').ok_or("env=NAME=VALUE is needed")?;
                    if MAKE_THE_SYSTEM.contains(&name) {
                        return Err(format!(
                            "env={name} is not possible: the load test sets it to connect the \
                             parts of the system; a strategy is named by NAME=strategy"
                        ));
                    }
                    arm.environment.push((name.to_owned(), value.to_owned()));
                }
                Some(("url", url)) => {
                    // Not repeated: it may hold a password.
                    let mut url = Url::parse(url).map_err(|error| format!("url: {error}"))?;
                    arm.headers.extend(take_credentials(&mut url));
                    arm.url = Some(url);
                }
                Some(("header", field)) => {
                    let (name, value) = field
                        .split_once(':')
                        .ok_or("header=Name: value is needed")?;
                    arm.headers
                        .push((name.trim().to_owned(), value.trim().to_owned()));
                }
                Some((other, _)) => {
                    return Err(format!(
                        "{other:?} is not known: bin-dir, env, url and header are"
                    ));
                }
            }
        }
        match (&arm.url, arm.strategy) {
            (None, None) => Err(format!("{name}: a strategy or a url is needed; {FORM}")),
            (Some(_), _) if arm.is_apart() => Err(format!(
                "{name}: a server at a url is not started here, so bin-dir and env cannot be set"
            )),
            _ => Ok(arm),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<ArmSpec, String> {
        text.parse()
    }

    #[test]
    fn builds_settings_and_servers_of_others_can_be_named() {
        let arm = parse("slow=jwt,bin-dir=/b,env=API_WORKERS=2,env=AUTH_ALGORITHM=EdDSA").unwrap();
        assert_eq!(arm.name, "slow");
        assert!(arm.is_apart());
        assert_eq!(
            arm.variables(),
            [
                (Role::Api, "API_WORKERS".to_owned(), "2".to_owned()),
                (Role::Auth, "AUTH_ALGORITHM".to_owned(), "EdDSA".to_owned()),
            ]
        );
        let arm = parse("mine=url=http://localhost:1/x?a=b,header=Accept: text/html").unwrap();
        assert_eq!(arm.url.unwrap().as_str(), "http://localhost:1/x?a=b");
        assert_eq!(arm.headers, [("Accept".to_owned(), "text/html".to_owned())]);
        assert!(arm.strategy.is_none());
        let arm = parse("mine=url=http://ada:secret@localhost:1/").unwrap();
        assert_eq!(arm.url.unwrap().as_str(), "http://localhost:1/");
        assert_eq!(arm.headers[0].0, "Authorization");
    }

    #[test]
    fn a_variable_without_our_prefix_is_for_every_process() {
        let arm = parse("a=jwt,env=RUST_LOG=debug").unwrap();
        assert_eq!(arm.variables().len(), 3);
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_what_would_be() {
        for (text, hint) in [
            ("jwt", "NAME=strategy"),
            ("a=cookies", "known are jwt"),
            ("a b=jwt", "no name"),
            ("auth=jwt", "needs another"),
            ("a=", "a strategy or a url"),
            ("a=jwt,colour=red", "bin-dir, env, url and header"),
            ("a=url=http://h/,env=A=b", "cannot be set"),
            ("a=url=nonsense", "relative URL"),
            ("a=jwt,env=A", "env=NAME=VALUE"),
            (
                "a=jwt,env=API_STRATEGY=session",
                "API_STRATEGY is not possible",
            ),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(hint), "{text}: {error}");
        }
    }

    #[test]
    fn the_value_of_a_secret_is_not_told() {
        let arm = parse("a=jwt,env=AUTH_ADMIN_PASSWORD=x,env=AUTH_WORKERS=2").unwrap();
        let variables = arm.info().variables;
        assert!(!variables["AUTH_ADMIN_PASSWORD"].contains('x'));
        assert_eq!(variables["AUTH_WORKERS"], "2");
    }
}
