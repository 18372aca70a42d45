//! `dpop`: an access token that is bound to a key of the client, RFC 9449, verified in the process.
//!
//! A token alone is worth nothing: with each request comes a proof, signed with the key whose
//! thumbprint the token holds (`cnf.jkt`), for this method, this URL and this token, not long ago,
//! and only once. Experimental: the load test does not measure it.
//!
//! A proof is accepted once by each replica, so within [`Dpop::window`] whoever saw a request could
//! repeat it at another. Nothing follows revocations here.

use std::{
    collections::{HashSet, VecDeque},
    rc::Rc,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{
    Algorithm, DecodingKey, crypto,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, ThumbprintHash},
};
use serde::{Deserialize, de::IgnoredAny};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use shared::{
    config::{Faults, Given, url},
    server::Missing,
    telemetry::trace::TraceHandle,
    token::TOKEN_LIMIT_BYTES,
};

use super::{
    ClientError, Open, Strategy,
    sources::Process,
    tokens::{TokenArguments, TokenSettings, TokenVerifier, Tokens},
};
use crate::auth::{About, Kind, Outcome, Pending, Refusal, Request, Verifier};

/// The variables.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    tokens: TokenArguments,

    /// dpop: the URL under which clients reach this service, to which its paths are appended, such
    /// as http://127.0.0.1:8080/dpop; required.
    #[arg(
        long,
        env = "API_DPOP_URL",
        default_value = "",
        hide_default_value = true
    )]
    dpop_url: Given<Option<String>>,

    /// dpop: how far the time of a proof may be from ours.
    #[arg(long, env = "API_DPOP_WINDOW", default_value = "30s")]
    dpop_window: Given<Duration>,

    /// dpop: the most proofs that are remembered; while there are as many, new ones answer 503.
    #[arg(long, env = "API_DPOP_PROOFS", default_value = "100000")]
    dpop_proofs: Given<usize>,
}

/// The strategy `dpop`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dpop {
    /// What verifying access tokens needs.
    pub tokens: TokenSettings,
    /// Where clients reach this service; the path of a request is appended.
    pub url: url::Url,
    /// How far the time of a proof may be from ours.
    pub window: Duration,
    /// The most proofs that are remembered.
    pub proofs: usize,
}

impl Strategy for Dpop {
    const ABOUT: &'static About = &About {
        name: "dpop",
        summary: "access tokens bound to a key of the client, RFC 9449 (experimental)",
        kind: Kind::Token,
        challenge: "DPoP realm=\"statewise\", algs=\"ES256 EdDSA\"",
        needs: Some("API_DPOP_URL"),
    };

    type Arguments = Arguments;

    fn check(arguments: &Arguments, faults: &mut Faults) -> Option<Self> {
        let tokens = arguments.tokens.check(faults);
        let url = arguments.dpop_url.checked(faults, |text| match text {
            Some(text) => url(&text, &["http", "https"]),
            None => Err("is required by dpop".to_owned()),
        });
        let window = arguments.dpop_window.positive(faults);
        let proofs = arguments.dpop_proofs.value(faults);
        Some(Self {
            tokens: tokens?,
            url: url?,
            window: window?,
            proofs: proofs?,
        })
    }

    fn start(&self, process: &mut Process<'_>) -> Result<Open, ClientError> {
        let tokens = Tokens::start(&self.tokens, process)?;
        let rules = Arc::new(Rules {
            base: self.url.as_str().trim_end_matches('/').to_owned(),
            window: self.window.as_secs(),
            limit: self.proofs,
            used: Mutex::default(),
        });
        Ok(Arc::new(move |thread| {
            Rc::new(BoundTokens {
                tokens: tokens.open(thread),
                rules: Arc::clone(&rules),
            })
        }))
    }
}

/// Verifies the token and the proof of each request.
struct BoundTokens {
    tokens: Rc<TokenVerifier>,
    rules: Arc<Rules>,
}

impl Verifier for BoundTokens {
    fn verify<'a>(
        &'a self,
        request: Request<'a>,
        now: u64,
        trace: Option<&'a TraceHandle>,
    ) -> Pending<'a, Outcome> {
        Box::pin(async move {
            let token = presented(request)?;
            let proof = only(request.texts("dpop"))?.ok_or(Refusal::Invalid("proof_missing"))?;
            let principal = self.tokens.verify_token(token, now, trace).await?;
            let jkt = bound_to(token).ok_or(Refusal::Invalid("token_unbound"))?;
            let proof = Proof::read(proof).ok_or(Refusal::Invalid("proof_malformed"))?;
            if proof.thumbprint != jkt {
                return Err(Refusal::Invalid("proof_key"));
            }
            self.rules.check(&proof.claims, request, token, now)?;
            self.rules.spend(&proof, now)?;
            Ok(principal)
        })
    }

    fn missing(&self) -> Pending<'_, Vec<Missing>> {
        Box::pin(std::future::ready(self.tokens.missing_to_verify()))
    }
}

/// The token of the scheme `DPoP` (§7.1). A bearer is no credential here: it would be accepted
/// without a proof.
fn presented(request: Request<'_>) -> Result<&str, Refusal> {
    let value = only(request.texts("authorization"))?.ok_or(Refusal::Missing)?;
    match value.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("dpop") => Ok(token.trim()),
        _ => Err(Refusal::Missing),
    }
}

/// The one value of a header field that must not be there twice (§4.3, check 1).
fn only<'a>(mut values: impl Iterator<Item = &'a str>) -> Result<Option<&'a str>, Refusal> {
    let value = values.next();
    match values.next() {
        None => Ok(value),
        Some(_) => Err(Refusal::Ambiguous),
    }
}

/// The thumbprint of the key that a token is bound to (§6.1); its signature was checked before.
fn bound_to(token: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Claims {
        cnf: Confirmation,
    }
    #[derive(Deserialize)]
    struct Confirmation {
        jkt: String,
    }
    let claims: Claims = json(token.split('.').nth(1)?)?;
    Some(claims.cnf.jkt)
}

/// A proof whose signature is good.
struct Proof {
    claims: ProofClaims,
    /// Of its key, RFC 7638.
    thumbprint: String,
}

/// §4.2.
#[derive(Deserialize)]
struct ProofClaims {
    jti: String,
    htm: String,
    htu: String,
    ath: String,
    iat: u64,
}

impl Proof {
    /// Checks 2 to 7 of §4.3: form, claims, type, algorithm, public key, signature.
    fn read(text: &str) -> Option<Self> {
        #[derive(Deserialize)]
        struct Header {
            typ: String,
            alg: Algorithm,
            jwk: Map<String, Value>,
            crit: Option<IgnoredAny>,
        }
        if text.len() > TOKEN_LIMIT_BYTES {
            return None;
        }
        let (signed, signature) = text.rsplit_once('.')?;
        let (header, payload) = signed.split_once('.')?;
        let header: Header = json(header)?;
        if header.typ != "dpop+jwt" || header.crit.is_some() || header.jwk.contains_key("d") {
            return None;
        }
        let key: Jwk = serde_json::from_value(header.jwk.into()).ok()?;
        match (header.alg, &key.algorithm) {
            (Algorithm::ES256, AlgorithmParameters::EllipticCurve(of))
                if of.curve == EllipticCurve::P256 => {}
            (Algorithm::EdDSA, AlgorithmParameters::OctetKeyPair(of))
                if of.curve == EllipticCurve::Ed25519 => {}
            _ => return None,
        }
        let public = DecodingKey::from_jwk(&key).ok()?;
        crypto::verify(signature, signed.as_bytes(), &public, header.alg)
            .ok()
            .filter(|good| *good)?;
        Some(Self {
            claims: json(payload)?,
            thumbprint: key.thumbprint(ThumbprintHash::SHA256).ok()?,
        })
    }
}

fn json<T: for<'de> Deserialize<'de>>(part: &str) -> Option<T> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}

/// What proofs must say, and which were used.
struct Rules {
    base: String,
    /// In seconds.
    window: u64,
    limit: usize,
    used: Mutex<Used>,
}

/// Digests of the proofs that were accepted, until no check of the time lets them pass any more.
#[derive(Default)]
struct Used {
    digests: HashSet<[u8; 32]>,
    /// With the time from which on each may be forgotten, in the order of their arrival.
    order: VecDeque<(u64, [u8; 32])>,
}

impl Rules {
    /// Checks 8 to 12 of §4.3: method, URL without query and fragment, time, token.
    fn check(
        &self,
        claims: &ProofClaims,
        request: Request<'_>,
        token: &str,
        now: u64,
    ) -> Result<(), Refusal> {
        let wanted = url::Url::parse(&format!("{}{}", self.base, request.path())).ok();
        let named = url::Url::parse(&claims.htu).ok().map(|mut url| {
            url.set_query(None);
            url.set_fragment(None);
            url
        });
        if claims.htm != request.method() || named.is_none() || named != wanted {
            return Err(Refusal::Invalid("proof_request"));
        }
        if claims.iat.abs_diff(now) > self.window {
            return Err(Refusal::Invalid("proof_time"));
        }
        if claims.ath != URL_SAFE_NO_PAD.encode(Sha256::digest(token)) {
            return Err(Refusal::Invalid("proof_token"));
        }
        Ok(())
    }

    /// Accepts a proof once (§11.1). Only proofs that are good otherwise come here, so nobody
    /// without a token can fill the memory.
    fn spend(&self, proof: &Proof, now: u64) -> Result<(), Refusal> {
        let mut digest = Sha256::new();
        digest.update(&proof.thumbprint);
        digest.update(&proof.claims.jti);
        let digest: [u8; 32] = digest.finalize().into();
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some((_, old)) = used.order.pop_front_if(|(until, _)| *until < now) {
            used.digests.remove(&old);
        }
        if used.digests.contains(&digest) {
            return Err(Refusal::Invalid("proof_replayed"));
        }
        if used.digests.len() >= self.limit {
            let reason = "as many proofs are remembered as may be (API_DPOP_PROOFS)";
            return Err(Refusal::Undecidable(reason.to_owned()));
        }
        used.digests.insert(digest);
        // The proof may be from as far ahead as the window is wide.
        used.order.push_back((now + 2 * self.window, digest));
        Ok(())
    }
}
