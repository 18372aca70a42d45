//! The one mapping from a refusal to an answer: the verdict contract.

use shared::problem::Problem;

/// Why a request does not get its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// No credential was presented.
    Missing,
    /// Several credentials were presented, and which one is meant cannot be known.
    Ambiguous,
    /// The credential is wrong, expired or revoked. The caller is not told which; the reason, a
    /// short stable name, goes to the span only.
    Invalid(&'static str),
    /// The caller is known and may not do this; the role that is missing.
    NotAllowed(&'static str),
    /// Something that the verdict needs did not answer; the detail goes to the log only.
    Undecidable(String),
}

impl Refusal {
    /// `outcome` of the verdict in metrics and spans.
    pub(crate) fn outcome(&self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Ambiguous => "ambiguous",
            Self::Invalid(_) => "invalid",
            Self::NotAllowed(_) => "not_allowed",
            Self::Undecidable(_) => "undecidable",
        }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let challenge = |parameters: &str| format!("Bearer realm=\"statewise\"{parameters}");
        let problem = match refusal {
            // RFC 6750 §3.1: a request without a credential is told no error code.
            Refusal::Missing => Problem::new(401, "unauthenticated", "A credential is required")
                .header("www-authenticate", challenge("")),
            Refusal::Invalid(_) => {
                Problem::new(401, "invalid-credential", "The credential is not valid")
                    .header("www-authenticate", challenge(", error=\"invalid_token\""))
            }
            Refusal::Ambiguous => Problem::new(
                400,
                "ambiguous-credential",
                "More than one credential is presented",
            )
            .header("www-authenticate", challenge(", error=\"invalid_request\"")),
            Refusal::NotAllowed(role) => {
                Problem::new(403, "insufficient-scope", "The caller may not do this")
                    .detail(format!("The role {role} is required."))
                    .header(
                        "www-authenticate",
                        challenge(", error=\"insufficient_scope\""),
                    )
            }
            Refusal::Undecidable(_) => Problem::unavailable(
                "verdict-unavailable",
                "The credential cannot be checked at the moment",
            ),
        };
        // Nothing about a credential may be kept, so `Vary` has nothing to tell apart. No answer here
        // takes the cookie away: what is wrong now may be right when the store is back.
        problem.header("cache-control", "no-store")
    }
}
