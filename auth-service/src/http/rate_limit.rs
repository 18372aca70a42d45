//! The fields that say what is left of a client's budget: `RateLimit-Policy` and `RateLimit` of
//! draft-ietf-httpapi-ratelimit-headers, lists of structured fields (RFC 9651 §3.1).

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};

use crate::limits::{LoginLimits, Remaining};

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// Adds both fields. The policies are the same for everybody; what is left is said only of the
/// budget that decided, so that nobody learns whether somebody else is at an account.
pub(super) fn add(headers: &mut HeaderMap, limits: &LoginLimits, remaining: Remaining) {
    let policies = limits.policies().map(|(name, budget)| {
        let (quota, window) = (budget.quota, budget.window.as_secs());
        format!("\"{name}\";q={quota};w={window}")
    });
    let Remaining {
        name,
        failures,
        next_in,
    } = remaining;
    let mut limit = format!("\"{name}\";r={failures}");
    if next_in > 0 {
        limit.push_str(&format!(";t={next_in}"));
    }
    for (field, value) in [(POLICY, policies.join(", ")), (LIMIT, limit)] {
        // Names and numbers of ours always fit into a header.
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(field, value);
        }
    }
}
