//! The trace that a caller asks us to continue: W3C Trace Context §3 and §4.

use opentelemetry::{
    Context,
    propagation::{Extractor, TextMapPropagator},
    trace::{SpanContext, TraceContextExt},
};
use opentelemetry_sdk::propagation::TraceContextPropagator;

use super::{TRACEPARENT, TRACESTATE};

/// The caller's span; an invalid one when there is none that can be continued. `lines` gives the
/// values of all lines of a header.
pub(super) fn extract<'a, Lines>(lines: impl Fn(&'static str) -> Lines) -> SpanContext
where
    Lines: Iterator<Item = &'a [u8]>,
{
    struct Headers<'a>(&'a str, String);
    impl Extractor for Headers<'_> {
        fn get(&self, key: &str) -> Option<&str> {
            match key {
                TRACEPARENT => Some(self.0),
                TRACESTATE => Some(&self.1),
                _ => None,
            }
        }
        fn keys(&self) -> Vec<&str> {
            vec![TRACEPARENT, TRACESTATE]
        }
    }
    let mut parents = lines(TRACEPARENT);
    // Of two parents neither is known to be the caller's.
    let (Some(parent), None) = (parents.next(), parents.next()) else {
        return SpanContext::NONE;
    };
    let Ok(parent) = str::from_utf8(parent) else {
        return SpanContext::NONE;
    };
    // Several lines are one list (RFC 9110 §5.3). The trace goes on without a list that is no text.
    let states: Result<Vec<&str>, _> = lines(TRACESTATE).map(str::from_utf8).collect();
    let state = states.unwrap_or_default().join(",");
    TraceContextPropagator::new()
        .extract_with_context(&Context::new(), &Headers(parent, state))
        .span()
        .span_context()
        .clone()
}

/// Whether the propagators of `OTEL_PROPAGATORS` hand a trace on by these headers.
///
/// # Errors
///
/// One is not built in.
pub(in crate::telemetry) fn is_propagated(names: &str) -> Result<bool, String> {
    let mut is = false;
    for name in names.split(',').map(str::trim) {
        match name {
            "tracecontext" => is = true,
            "baggage" | "none" | "" => {}
            _ => {
                return Err(format!(
                    "{name:?} is not built in; use tracecontext, baggage or none"
                ));
            }
        }
    }
    Ok(is)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &[u8] = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn context(parents: &[&'static [u8]], states: &[&'static [u8]]) -> SpanContext {
        extract(|name| {
            let lines = if name == TRACEPARENT { parents } else { states };
            lines.iter().copied()
        })
    }

    #[test]
    fn an_invalid_traceparent_is_no_parent() {
        assert!(context(&[PARENT], &[]).is_valid());
        assert!(!context(&[b"00-zz-1-01"], &[]).is_valid());
        assert!(!context(&[b"\xff"], &[]).is_valid());
        assert!(!context(&[], &[b"a=1"]).is_valid());
    }

    #[test]
    fn a_trace_goes_on_by_trace_context_or_not_at_all() {
        assert_eq!(is_propagated("tracecontext,baggage"), Ok(true));
        assert_eq!(is_propagated("baggage"), Ok(false));
        assert_eq!(is_propagated("none"), Ok(false));
        for other in ["b3", "b3multi", "jaeger", "xray", "tracecontext,ottrace"] {
            assert!(is_propagated(other).unwrap_err().contains("not built in"));
        }
    }

    #[test]
    fn of_two_parents_none_is_continued() {
        assert!(!context(&[PARENT, PARENT], &[]).is_valid());
        assert!(!context(&[PARENT, b"nonsense"], &[]).is_valid());
        assert!(!context(&[PARENT, b"\xff"], &[]).is_valid());
    }

    #[test]
    fn several_lines_of_state_are_one_list() {
        let context = context(&[PARENT], &[b"a=1 , b=2", b"", b"c=3"]);
        assert!(context.is_valid());
        assert_eq!(context.trace_state().header(), "a=1,b=2,c=3");
    }

    #[test]
    fn a_state_that_is_no_list_costs_the_state_and_not_the_trace() {
        for states in [&[b"a=1" as &[u8], b"\xff=2"][..], &[b"no pair"]] {
            let context = context(&[PARENT], states);
            assert!(context.is_valid());
            assert_eq!(context.trace_state().header(), "");
        }
    }
}
