//! What may be sent again, and how much of it.
//!
//! RFC 9110 §9.2.2: a proxy must not send a request again by itself unless its method is
//! idempotent, or it knows that the first copy was not acted on.

use crate::upstream::counters::Cause;

/// The most attempts that one request makes, the first included, and without those at members that
/// take no connection and were not known for it.
pub(crate) const MAX_ATTEMPTS: usize = 3;
/// The largest body that is kept to be sent again, in bytes.
pub(crate) const REPLAY_LIMIT_BYTES: u64 = 64 * 1024;

/// Share of requests that may be sent again.
const SHARE: f64 = 0.2;
/// Retries a second that are always allowed, so that a quiet gateway can retry at all.
const FLOOR_PER_SECOND: f64 = 10.0;
/// How long unused permission is kept, in seconds.
const WINDOW_SECONDS: f64 = 10.0;

/// Whether a request may be sent again after this. `repeatable` says that acting on it twice does no
/// more than acting on it once, `whole` that its body is at hand.
pub(crate) fn permits(cause: Cause, repeatable: bool, whole: bool) -> bool {
    match cause {
        Cause::Connect | Cause::Unsent => true,
        Cause::Lost => whole && repeatable,
    }
}

/// How many retries the traffic so far has paid for: a bucket that each request fills by
/// a fifth of a retry and each second by [`FLOOR_PER_SECOND`], and that holds what a window of
/// [`WINDOW_SECONDS`] can bring. One for each thread and pool, so that one pool's outage does not
/// use up another's.
#[derive(Debug)]
pub(crate) struct Budget {
    /// Retries allowed now.
    level: f64,
    /// Retries earned by requests since time last passed.
    earned: f64,
    /// Retries earned per second, smoothed over the window; bounds the level.
    rate: f64,
}

impl Budget {
    /// A full reserve, as of a quiet gateway.
    pub(crate) fn new() -> Self {
        Self {
            level: FLOOR_PER_SECOND * WINDOW_SECONDS,
            earned: 0.0,
            rate: 0.0,
        }
    }

    /// A request has begun.
    pub(crate) fn request(&mut self) {
        self.level += SHARE;
        self.earned += SHARE;
    }

    /// `seconds` have passed.
    pub(crate) fn pass(&mut self, seconds: f64) {
        let weight = (seconds / WINDOW_SECONDS).min(1.0);
        self.rate += (self.earned / seconds - self.rate) * weight;
        self.earned = 0.0;
        let most = (FLOOR_PER_SECOND + self.rate) * WINDOW_SECONDS;
        self.level = (self.level + FLOOR_PER_SECOND * seconds).min(most);
    }

    /// Takes one retry, when there is one.
    pub(crate) fn take(&mut self) -> bool {
        if self.level < 1.0 {
            return false;
        }
        self.level -= 1.0;
        true
    }
}

#[cfg(test)]
mod tests {
    use http::Method;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn after_sending_only_an_idempotent_request_with_its_body_at_hand_goes_again() {
        for (method, whole, again) in [
            (Method::GET, true, true),
            (Method::PUT, true, true),
            (Method::DELETE, true, true),
            (Method::PUT, false, false),
            (Method::POST, true, false),
            (Method::PATCH, true, false),
        ] {
            assert_eq!(
                permits(Cause::Lost, method.is_idempotent(), whole),
                again,
                "{method}"
            );
            assert!(permits(Cause::Connect, method.is_idempotent(), whole));
            assert!(permits(Cause::Unsent, method.is_idempotent(), whole));
        }
    }

    #[test]
    fn a_quiet_gateway_has_a_reserve_and_earns_it_back() {
        let mut budget = Budget::new();
        let taken = std::iter::from_fn(|| budget.take().then_some(())).count();
        assert_eq!(taken, 100);
        budget.pass(1.0);
        assert!(budget.take());
    }

    proptest! {
        #[test]
        fn over_any_traffic_retries_stay_within_a_fifth_and_the_floor(
            seconds in prop::collection::vec(0_u32..2_000, 1..40),
        ) {
            let mut budget = Budget::new();
            let (mut requests, mut retries) = (0.0, 0.0);
            for count in &seconds {
                for _ in 0..*count {
                    budget.request();
                    requests += 1.0;
                    if budget.take() {
                        retries += 1.0;
                    }
                }
                budget.pass(1.0);
            }
            let elapsed = seconds.len() as f64;
            let bound = SHARE * requests + FLOOR_PER_SECOND * (WINDOW_SECONDS + elapsed) + 1.0;
            prop_assert!(retries <= bound, "{retries} retries, {bound} allowed");
        }
    }
}
