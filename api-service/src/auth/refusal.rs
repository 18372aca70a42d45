//! Why a request does not get its answer, without saying what the answer is instead.

use shared::credential::Ambiguous;

/// Why a request does not get its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// No credential was presented.
    Missing,
    /// Several credentials were presented, and which one is meant cannot be decided.
    Ambiguous,
    /// A browser sent the cookie on behalf of another site, to change something.
    CrossSite,
    /// The credential is wrong, expired or revoked. The caller does not learn which; the reason, a
    /// short stable name, goes to the metrics, the span and a line at debug.
    Invalid(&'static str),
    /// The caller's credential is good and does not allow this; the role that is missing.
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
            Self::CrossSite => "cross_site",
            Self::Invalid(_) => "invalid",
            Self::NotAllowed(_) => "not_allowed",
            Self::Undecidable(_) => "undecidable",
        }
    }
}

impl From<Ambiguous> for Refusal {
    fn from(_: Ambiguous) -> Self {
        Self::Ambiguous
    }
}
