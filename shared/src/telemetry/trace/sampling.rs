//! The choice of requests that are traced, by the names that the OpenTelemetry specification gives.

use opentelemetry_sdk::trace::Sampler;

/// Which requests are traced (`OTEL_TRACES_SAMPLER`).
#[derive(Clone, Debug, PartialEq)]
pub struct Sampling {
    /// A caller's decision is followed.
    pub parent_based: bool,
    /// Share of traces begun here that are kept, 0 to 1.
    pub ratio: f64,
}

impl Sampling {
    /// Reads the standard names.
    ///
    /// # Errors
    ///
    /// The name is not a standard sampler's, or the ratio is not between 0 and 1.
    pub fn parse(name: &str, argument: &str) -> Result<Self, String> {
        let (parent_based, root) = match name.strip_prefix("parentbased_") {
            Some(root) => (true, root),
            None => (false, name),
        };
        let ratio = match root {
            "always_on" => 1.0,
            "always_off" => 0.0,
            "traceidratio" => match argument.trim().parse::<f64>() {
                Ok(ratio) if (0.0..=1.0).contains(&ratio) => ratio,
                _ => {
                    return Err(format!(
                        "its argument OTEL_TRACES_SAMPLER_ARG is {argument:?}, not a number from 0 to 1"
                    ));
                }
            },
            _ => {
                return Err(format!(
                    "{name:?} is none of always_on, always_off, traceidratio and these with parentbased_"
                ));
            }
        };
        Ok(Self {
            parent_based,
            ratio,
        })
    }

    pub(super) fn sampler(&self) -> Sampler {
        let root = if self.ratio >= 1.0 {
            Sampler::AlwaysOn
        } else if self.ratio <= 0.0 {
            Sampler::AlwaysOff
        } else {
            Sampler::TraceIdRatioBased(self.ratio)
        };
        if self.parent_based {
            Sampler::ParentBased(Box::new(root))
        } else {
            root
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sampler_names_are_the_standard_ones() {
        assert_eq!(
            Sampling::parse("parentbased_traceidratio", "0.25"),
            Ok(Sampling {
                parent_based: true,
                ratio: 0.25
            })
        );
        assert!(Sampling::parse("traceidratio", "1.5").is_err());
        assert!(Sampling::parse("sometimes", "").is_err());
    }
}
