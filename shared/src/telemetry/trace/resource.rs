//! Who is speaking, as each exported span says it: OpenTelemetry semantic conventions, resources.

use opentelemetry::KeyValue;
use opentelemetry_sdk::{Resource, resource::TelemetryResourceDetector};

use crate::telemetry::{
    Identity, ResourceAttributes,
    identity::{host_id, host_name},
};

/// What the services of a system have in common.
const NAMESPACE: &str = "statewise";

/// The identity, the machine, and what the environment says, which wins.
pub(super) fn of(identity: &Identity, given: &ResourceAttributes) -> Resource {
    let text = |name: &'static str, value: Option<String>| Some(KeyValue::new(name, value?));
    let of_the_host = [text("host.name", host_name()), text("host.id", host_id())];
    let given = given.iter();
    Resource::builder_empty()
        .with_detector(Box::new(TelemetryResourceDetector))
        .with_attributes([
            KeyValue::new("service.namespace", NAMESPACE),
            KeyValue::new("service.version", identity.version),
            KeyValue::new("service.instance.id", identity.instance.clone()),
        ])
        .with_attributes(of_the_host.into_iter().flatten())
        // Later ones win.
        .with_attributes(given.map(|(name, value)| KeyValue::new(name.clone(), value.clone())))
        .with_service_name(identity.service.to_string())
        .build()
}
