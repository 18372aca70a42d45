//! Who is speaking, as each exported span says it.

use opentelemetry::KeyValue;
use opentelemetry_sdk::{
    Resource,
    resource::{EnvResourceDetector, ResourceDetector, TelemetryResourceDetector},
};

use crate::telemetry::Identity;

/// What the environment says wins over what is built in, and `OTEL_SERVICE_NAME`
/// over `service.name` of `OTEL_RESOURCE_ATTRIBUTES` (OpenTelemetry, environment variables).
pub(super) fn of(identity: &Identity, service_name: Option<String>) -> Resource {
    // Later ones win, and what is empty is unset.
    let given = EnvResourceDetector::new().detect();
    let given = given.iter().filter(|(_, value)| !value.as_str().is_empty());
    let mut resource = Resource::builder_empty()
        .with_attributes([
            KeyValue::new("service.name", identity.service),
            KeyValue::new("service.version", identity.version),
            KeyValue::new("service.instance.id", identity.instance.clone()),
        ])
        .with_detector(Box::new(TelemetryResourceDetector))
        .with_attributes(given.map(|(key, value)| KeyValue::new(key.clone(), value.clone())));
    if let Some(name) = service_name {
        resource = resource.with_service_name(name);
    }
    resource.build()
}
