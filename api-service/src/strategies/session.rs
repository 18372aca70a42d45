//! `session`: an opaque id, looked up in Redis on every request.

use std::{rc::Rc, sync::Arc};

use shared::{
    config::Faults,
    server::Missing,
    session::{SessionStore, StoreSettings},
    telemetry::trace::TraceHandle,
};

use super::{
    ClientError, Open, Strategy,
    session_store::{StoreArguments, judge, missing},
    sources::Process,
};
use crate::auth::{About, BEARER, Kind, Outcome, Pending, Request, Verifier};

/// The strategy `session`, with the store of the sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session(pub StoreSettings);

impl Strategy for Session {
    const ABOUT: &'static About = &About {
        name: "session",
        summary: "opaque ids, looked up in Redis on every request",
        kind: Kind::Id,
        challenge: BEARER,
        needs: None,
    };

    type Arguments = StoreArguments;

    fn check(arguments: &StoreArguments, faults: &mut Faults) -> Option<Self> {
        arguments.check(faults).map(Self)
    }

    fn start(&self, _: &mut Process<'_>) -> Result<Open, ClientError> {
        let settings = self.0.clone();
        Ok(Arc::new(move |thread| {
            Rc::new(Lookup {
                store: thread.of(&settings, || SessionStore::open_to_check(settings.clone())),
            })
        }))
    }
}

/// Looks ids up over this thread's connection.
struct Lookup {
    store: SessionStore,
}

impl Verifier for Lookup {
    fn verify<'a>(
        &'a self,
        request: Request<'a>,
        now: u64,
        trace: Option<&'a TraceHandle>,
    ) -> Pending<'a, Outcome> {
        Box::pin(async move {
            let session = self.store.read(&request.session()?, now, trace).await;
            judge(session).map(Rc::new)
        })
    }

    fn sessions(&self) -> Option<&SessionStore> {
        Some(&self.store)
    }

    fn missing(&self) -> Pending<'_, Vec<Missing>> {
        Box::pin(missing(&self.store))
    }
}
