//! Somebody else who says whether a request is genuine: the boundary to plugins, of which this module knows nothing.

use async_trait::async_trait;

use super::{Refused, Reply, Unverified};
use crate::clock::Timestamp;

/// Says whether requests of one route are genuine.
#[async_trait]
pub trait Judge: Send + Sync {
    /// Hears a request out at `now`; without it every secret counts.
    async fn hear(&self, request: Unverified, now: Option<Timestamp>) -> Hearing;
}

/// What came of a hearing.
pub struct Hearing {
    /// What is said of the request, or why it is refused.
    pub said: Result<Said, Refused>,
    /// What was logged meanwhile.
    pub log: Vec<String>,
}

/// What is said of a request that is not refused.
pub enum Said {
    Genuine(Accepted),
    /// It is not an event but a question.
    Question(Reply),
}

/// A request that is genuine.
pub struct Accepted {
    pub request: Unverified,
    /// The secret that was last found to match, counted from 0 in the config's order.
    pub matched: Option<usize>,
    pub delivery_id: Option<String>,
    pub event_type: Option<String>,
}
