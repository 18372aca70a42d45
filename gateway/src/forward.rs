//! A request to a pool, and the answer back: `attempt` chooses an upstream, sends, and sends again
//! where `retry` permits; `spans` records it; `body` is the answer's way to the client.

pub(crate) mod attempt;
pub(crate) mod body;
pub(crate) mod retry;
pub(crate) mod spans;
