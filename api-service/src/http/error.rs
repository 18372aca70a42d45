//! The one mapping from a refusal to an answer: the verdict contract.

use shared::problem::Problem;

use super::state_cookie;
use crate::{
    auth::{BEARER, Refusal},
    cart::{CartError, SEALED_LIMIT_BYTES},
};

/// The answer to a request that is refused, with the challenge of its strategy.
pub(super) fn refused(refusal: Refusal, challenge: &str) -> Problem {
    let challenge = |parameters: &str| format!("{challenge}{parameters}");
    let problem = match refusal {
        // RFC 6750 §3.1: a request without a credential gets no error code.
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
        Refusal::CrossSite => Problem::new(
            403,
            "cross-site",
            "A cookie changes nothing on behalf of another site",
        ),
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

impl From<CartError> for Problem {
    fn from(error: CartError) -> Self {
        let problem = match error {
            // The credential was good when it was checked, and is not any more.
            CartError::Ended => return refused(Refusal::Invalid("session_ended"), BEARER),
            CartError::Faulty(faults) => {
                Self::new(400, "invalid-input", "The body is not what this path takes")
                    .detail(faults.join("; "))
            }
            CartError::NoLogin => Self::new(403, "no-login", "The credential belongs to no login")
                .detail("A cart belongs to the login of a user; this credential names none."),
            CartError::NoKeys => Self::unavailable(
                "state-keys-missing",
                "This replica cannot seal what the client is to carry",
            )
            .detail("API_STATE_KEYS is not set."),
            CartError::Ambiguous => {
                Self::new(400, "ambiguous-state", "More than one state is carried")
                    .detail("The cookie and the header must be equal, or one of them absent.")
            }
            CartError::InvalidState { forget } => {
                let problem = Self::new(
                    400,
                    "invalid-state",
                    "The state that the request carries is not one of this login",
                )
                .detail("Leave it out to begin with an empty cart.");
                if forget {
                    problem.header("set-cookie", state_cookie::expired().to_string())
                } else {
                    problem
                }
            }
            CartError::TooLong(bytes) => Self::new(
                413,
                "state-too-large",
                "The cart is too large to be carried by the client",
            )
            .detail(format!(
                "Sealed it would have {bytes} bytes, and a cookie can carry {SEALED_LIMIT_BYTES}."
            )),
            CartError::Changed(version) => Self::new(
                412,
                "cart-changed",
                "The cart is at another version than the change was made from",
            )
            .detail("Read it again, and make the change from what is there now.")
            .header("etag", format!("\"{version}\"")),
            CartError::Undecidable(reason) => {
                tracing::debug!(%reason, "a cart cannot be read or written");
                Self::unavailable(
                    "session-store-unavailable",
                    "The cart cannot be read or written now",
                )
            }
            CartError::Failed => Self::internal(),
        };
        problem.header("cache-control", "no-store")
    }
}
