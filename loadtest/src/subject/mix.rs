//! Stated mixtures of requests: what a service is asked for besides `GET /me`.
//!
//! Writes, logins and their ends are where strategies differ most and where caches lose. All of a
//! mixture goes over the same connections and has one schedule; the kinds follow each other in a
//! seeded random order, the same for every arm. What can be used once only, such as a session that
//! is logged out, is made before the window.

use std::{collections::BTreeMap, fmt, str::FromStr, time::Duration};

use reqwest::{StatusCode, header};
use serde_json::json;
use url::Url;

use super::{
    client::client,
    login::{LoggedIn, LoginError, Users, in_parallel, refreshing},
    strategy::Credential,
};
use crate::{load::Variant, stats::random::Random};

/// What a mixture can consist of, by its name.
const KINDS: [(&str, Kind); 6] = [
    ("me", Kind::Me),
    ("cart", Kind::Cart),
    ("put-cart", Kind::PutCart),
    ("login", Kind::Login),
    ("refresh", Kind::Refresh),
    ("logout", Kind::Logout),
];
/// As of an application that people use, in percent.
const APP: [(Kind, f64); 6] = [
    (Kind::Me, 80.0),
    (Kind::Cart, 10.0),
    (Kind::PutCart, 5.0),
    (Kind::Login, 2.0),
    (Kind::Refresh, 2.0),
    (Kind::Logout, 1.0),
];
/// Where the API gives a client what it is to carry, and reads it again.
const STATE: &str = "statewise-state";
const JSON: &str = "application/json";
/// Changes of one cart in a window. When one fails, those after it name a version that never came to
/// be: a client would look, but what the generator sends is fixed.
const CHANGES_OF_ONE: usize = 8;
const PATIENCE: Duration = Duration::from_secs(20);

/// One kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    /// `GET /me`: who is calling?
    Me,
    /// `GET /cart`: data of the login.
    Cart,
    /// `PUT /cart`: changes them.
    PutCart,
    /// `POST /login`.
    Login,
    /// A new access token for a refresh token. A session is renewed by being used, so for one it is
    /// `GET /me`.
    Refresh,
    /// `POST /logout`.
    Logout,
}

/// A mixture of requests.
#[derive(Clone, Debug, PartialEq)]
pub struct Mix {
    name: String,
    /// Shares add up to 1.
    shares: Vec<(Kind, f64)>,
}

/// Whose requests, and how many.
pub struct MixContext<'a> {
    /// Base URL of the public port.
    pub gateway: &'a Url,
    /// Pool that serves the arm, the first segment of its paths.
    pub pool: &'a str,
    /// Who logs in.
    pub users: &'a Users,
    /// What a login gives.
    pub credential: Credential,
    /// The working set: requests with the credential of one login each.
    pub logins: &'a [Variant],
    /// Requests a second.
    pub rate: f64,
    /// For how long, the warm-up included.
    pub time: Duration,
    /// Of the order. The same seed, the same order, whatever the strategy.
    pub seed: u64,
}

/// The data of one login before the window.
struct CartOf {
    login: Variant,
    version: u64,
    /// Whether the client carries them: then the version is that of what it presents.
    carried: bool,
}

impl FromStr for Mix {
    type Err = String;

    /// `me`, `app`, or shares as in `me=80,cart=10,put-cart=10`, which need not add up to anything.
    fn from_str(text: &str) -> Result<Self, String> {
        let shares = match text {
            "me" => vec![(Kind::Me, 1.0)],
            "app" => APP.to_vec(),
            _ => {
                let shares = text.split(',').map(share);
                shares.collect::<Result<Vec<_>, _>>()?
            }
        };
        let mut by_kind = BTreeMap::new();
        for (kind, share) in &shares {
            if by_kind.insert(*kind, *share).is_some() {
                return Err(format!("{text}: each kind can have one share"));
            }
        }
        let whole: f64 = by_kind.values().sum();
        if whole <= 0.0 {
            return Err(format!("{text}: one share at least must be above 0"));
        }
        Ok(Self {
            name: text.to_owned(),
            shares: shares
                .into_iter()
                .map(|(kind, share)| (kind, share / whole))
                .collect(),
        })
    }
}

fn share(part: &str) -> Result<(Kind, f64), String> {
    let known = || {
        let names = KINDS.map(|(name, _)| name).join(", ");
        format!("{part:?}: KIND=SHARE is needed, or me or app alone; kinds are {names}")
    };
    let (name, share) = part.split_once('=').ok_or_else(known)?;
    let (_, kind) = KINDS
        .into_iter()
        .find(|(kind, _)| *kind == name.trim())
        .ok_or_else(known)?;
    match share.trim().parse() {
        Ok(share) if (0.0..=1e6).contains(&share) => Ok((kind, share)),
        _ => Err(format!("{part:?}: a share is a number from 0")),
    }
}

/// As it was given.
impl fmt::Display for Mix {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.name)
    }
}

impl Default for Mix {
    fn default() -> Self {
        Self {
            name: "me".to_owned(),
            shares: vec![(Kind::Me, 1.0)],
        }
    }
}

impl Mix {
    /// Whether it needs logins in great number: then the system is to be started with
    /// [`super::login::cheap_hashing`].
    #[must_use]
    pub fn logs_in(&self) -> bool {
        let logging = |kind| matches!(kind, Kind::Login | Kind::Refresh | Kind::Logout);
        let mut shares = self.shares.iter();
        shares.any(|(kind, share)| logging(*kind) && *share > 0.0)
    }

    /// What is sent, in order, in one window. Each call makes new credentials for what can be used
    /// once only, so what it gives is for one window only.
    ///
    /// # Errors
    ///
    /// The auth service or the API cannot be reached or refuses.
    pub fn variants(&self, of: &MixContext<'_>) -> Result<Vec<Variant>, LoginError> {
        if self.shares.iter().all(|(kind, _)| *kind == Kind::Me) {
            return Ok(of.logins.to_vec());
        }
        let order = self.order(of);
        let count = |wanted: Kind| order.iter().filter(|kind| **kind == wanted).count();
        let mut requests = BTreeMap::from([
            (Kind::Me, in_turn(of.logins.to_vec(), count(Kind::Me))),
            (Kind::Login, in_turn(of.logging_in(), count(Kind::Login))),
            (Kind::Logout, of.logging_out(count(Kind::Logout))?),
            (Kind::Refresh, of.refreshing(count(Kind::Refresh))?),
        ]);
        let (reads, writes) = (count(Kind::Cart), count(Kind::PutCart));
        let enough = writes.div_ceil(CHANGES_OF_ONE);
        let carts = of.carts(of.logins.len().min(reads + writes).max(enough))?;
        let reading = carts.iter().map(|cart| cart.login.clone()).collect();
        requests.insert(Kind::Cart, in_turn(reading, reads));
        requests.insert(Kind::PutCart, writing(&carts, writes));
        let mut taken: BTreeMap<Kind, std::vec::IntoIter<Variant>> = requests
            .into_iter()
            .map(|(kind, variants)| (kind, variants.into_iter()))
            .collect();
        let next = |kind: &Kind| taken.get_mut(kind)?.next();
        Ok(order.iter().filter_map(next).collect())
    }

    /// A kind for each request: as many as are due, and some more, since arrivals are random and
    /// nothing may be sent twice.
    fn order(&self, of: &MixContext<'_>) -> Vec<Kind> {
        const DEVIATIONS: f64 = 6.0;
        let due = of.rate * of.time.as_secs_f64();
        let count = (due + DEVIATIONS * due.sqrt()) as usize + 16;
        let mut random = Random::new(of.seed);
        let draw = |_| {
            let mut left = random.unit();
            let drawn = self.shares.iter().find(|(_, share)| {
                left -= share;
                left < 0.0
            });
            // Shares that were rounded may leave a last bit over.
            drawn.map_or(self.shares[0].0, |(kind, _)| *kind)
        };
        (0..count).map(draw).collect()
    }
}

impl MixContext<'_> {
    fn path(&self, of: &str) -> String {
        format!("{}{of}", self.gateway.path().trim_end_matches('/'))
    }

    fn post(&self, to: &str) -> Variant {
        Variant::default().method("POST").path(&self.path(to))
    }

    fn logging_in(&self) -> Vec<Variant> {
        let body = |user| self.users.login_body(user, self.credential);
        (0..self.users.count())
            .map(|user| self.post("/auth/login").body(JSON, body(user)))
            .collect()
    }

    fn logging_out(&self, count: usize) -> Result<Vec<Variant>, LoginError> {
        let logins = self.users.log_in_times(count, self.credential)?;
        let request = |login: LoggedIn| {
            let credential = format!("Bearer {}", login.credential);
            self.post("/auth/logout")
                .header("Authorization", &credential)
        };
        Ok(logins.into_iter().map(request).collect())
    }

    fn refreshing(&self, count: usize) -> Result<Vec<Variant>, LoginError> {
        if self.credential == Credential::Session {
            return Ok(in_turn(self.logins.to_vec(), count));
        }
        let logins = self.users.log_in_times(count, self.credential)?;
        let request = |token: String| {
            let (form, body) = refreshing(&token);
            self.post("/auth/oauth/token").body(form, body)
        };
        let tokens = logins.into_iter().filter_map(|login| login.refresh_token);
        Ok(tokens.map(request).collect())
    }

    /// A cart for each of the first logins, and of new ones where these are too few.
    fn carts(&self, count: usize) -> Result<Vec<CartOf>, LoginError> {
        let known = self.logins.iter().take(count).cloned();
        let missing = count.saturating_sub(self.logins.len());
        let new = self.users.log_in_times(missing, self.credential)?;
        let new = new
            .into_iter()
            .map(|login| Variant::bearer(&login.credential));
        let logins: Vec<Variant> = known.chain(new).collect();
        let url = format!(
            "{}/{}/cart",
            self.gateway.as_str().trim_end_matches('/'),
            self.pool
        );
        let unreachable = |source| LoginError::Unreachable {
            what: "filling a cart",
            url: url.clone(),
            source,
        };
        let client = client(PATIENCE).map_err(unreachable)?;
        let path = self.path(&format!("/{}/cart", self.pool));
        in_parallel(count, |number| {
            let login = &logins[number];
            let send = |request: reqwest::blocking::RequestBuilder| {
                let headers = login.headers().iter();
                let request = headers.fold(request, |request, (name, value)| {
                    request.header(name, value)
                });
                let response = request.send().map_err(unreachable)?;
                let version = response.headers().get(header::ETAG);
                let version =
                    version.and_then(|tag| tag.to_str().ok()?.trim_matches('"').parse().ok());
                match (response.status(), version) {
                    (StatusCode::OK, Some(version)) => Ok((version, response)),
                    (status, _) => Err(LoginError::Refused {
                        what: "filling a cart",
                        url: url.clone(),
                        status,
                    }),
                }
            };
            let (empty, _): (u64, _) = send(client.get(&url))?;
            let change = client
                .put(&url)
                .header(header::IF_MATCH, format!("\"{empty}\""))
                .header(header::CONTENT_TYPE, JSON)
                .body(cart(0));
            let (version, response) = send(change)?;
            let state = response.headers().get(STATE);
            let state = state.and_then(|state| state.to_str().ok());
            let login = login.clone().path(&path);
            Ok(CartOf {
                carried: state.is_some(),
                login: state.map_or(login.clone(), |state| login.header(STATE, state)),
                version,
            })
        })
    }
}

/// Each change names the version that the one before it made. Of what the client carries it presents
/// the same every time.
fn writing(carts: &[CartOf], count: usize) -> Vec<Variant> {
    let change = |number: usize| {
        let cart_of = &carts[number % carts.len()];
        let changes = if cart_of.carried {
            0
        } else {
            (number / carts.len()) as u64
        };
        cart_of
            .login
            .clone()
            .method("PUT")
            .header("If-Match", &format!("\"{}\"", cart_of.version + changes))
            .body(JSON, cart(number))
    };
    (0..count).map(change).collect()
}

/// Two lines, one of which changes.
fn cart(number: usize) -> String {
    let items = json!([
        { "sku": "tea-earl-grey", "quantity": 1 + number % 9 },
        { "sku": "cup-white", "quantity": 2 },
    ]);
    json!({ "items": items }).to_string()
}

fn in_turn(variants: Vec<Variant>, count: usize) -> Vec<Variant> {
    variants.iter().cycle().take(count).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mixture_is_one_of_two_names_or_shares() {
        let app: Mix = "app".parse().unwrap();
        assert_eq!(app.shares[0], (Kind::Me, 0.8));
        assert!(app.logs_in() && !Mix::default().logs_in());
        let own: Mix = "me=3,put-cart=1".parse().unwrap();
        assert_eq!(own.shares, [(Kind::Me, 0.75), (Kind::PutCart, 0.25)]);
        assert_eq!(own.to_string(), "me=3,put-cart=1");
        for (text, hint) in [
            ("", "KIND=SHARE"),
            ("everything", "kinds are me, cart"),
            ("me=80,buy=20", "kinds are me, cart"),
            ("me=-1", "a number from 0"),
            ("me=0", "above 0"),
            ("me=1,me=2", "one share"),
        ] {
            let error = text.parse::<Mix>().unwrap_err();
            assert!(error.contains(hint), "{text}: {error}");
        }
    }

    #[test]
    fn the_order_has_the_shares_and_follows_from_the_seed() {
        let app: Mix = "app".parse().unwrap();
        let gateway = Url::parse("http://127.0.0.1:1").unwrap();
        let users = Users::known(&gateway, "ada", "secret").unwrap();
        let of = |seed| MixContext {
            gateway: &gateway,
            pool: "jwt",
            users: &users,
            credential: Credential::Token,
            logins: &[],
            rate: 10_000.0,
            time: Duration::from_secs(1),
            seed,
        };
        let order = app.order(&of(7));
        assert!(order.len() > 10_600);
        assert_eq!(order, app.order(&of(7)));
        assert_ne!(order, app.order(&of(8)));
        for (kind, share) in APP {
            let count = order.iter().filter(|drawn| **drawn == kind).count() as f64;
            let expected = order.len() as f64 * share / 100.0;
            // Six standard deviations at most.
            assert!((count - expected).abs() < 6.0 * expected.sqrt(), "{kind:?}");
        }
    }

    #[test]
    fn changes_of_one_cart_follow_each_other_and_those_that_are_carried_do_not() {
        let cart = |carried| CartOf {
            login: Variant::bearer("a"),
            version: 4,
            carried,
        };
        let versions = |carts: &[CartOf], count| -> Vec<String> {
            let named = writing(carts, count);
            let value = |variant: &Variant| {
                let mut headers = variant.headers().iter();
                headers
                    .find(|(name, _)| name == "If-Match")
                    .unwrap()
                    .1
                    .clone()
            };
            named.iter().map(value).collect()
        };
        assert_eq!(
            versions(&[cart(false), cart(true)], 4),
            ["\"4\"", "\"4\"", "\"5\"", "\"4\""]
        );
    }
}
