//! Takes in webhooks: the half of the story in which a caller is waiting.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, Version, header, request::Parts};
use http_body_util::Full;
use hyper::body::Body;
use tracing::{Instrument, debug, error, info_span, warn};

pub use answers::RouteAnswers;
pub use doorstep::Doorstep;
pub use handshake::HandshakeLimiter;
pub use metrics::RouteMetrics;
pub use prover::Prover;
pub use rate::RouteLimiter;
pub use rejection::{Accepted, Rejection};
pub use rotation::Rotation;

use crate::{
    clock::{Clock, Timestamp},
    config,
    event::{Event, EventId},
    generation::{Current, LiveRoute},
    journal::{Appended, Journal},
    pipeline::AtEdge,
    route::{NoRoute, RouteMatch},
    telemetry::{Metrics, RefusalLabels, seconds},
    verify::{Judged, Unverified},
};
use encoding::Encoding;
use handshake::is_event_after_all;
use rejection::{Audience, with_id};

mod answers;
mod body;
mod doorstep;
mod encoding;
mod handshake;
mod metrics;
mod prover;
mod rate;
mod rejection;
mod rotation;

/// Answers requests: everything from the routes to the journal, as it stands in the current generation.
pub struct Ingest {
    current: Current,
    journal: Arc<dyn Journal>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    room: body::Room,
}

/// The `{name}` segments of a route's path.
type Params = Vec<(String, String)>;

/// How a request went that was not refused.
enum Answered {
    Event(Accepted),
    /// A filter at the edge does not want the event.
    Dropped,
    /// Not an event, but a question that the route answers by itself.
    Handshake(Response<Full<Bytes>>),
}

/// Where a request goes.
struct Found {
    route: Arc<LiveRoute>,
    params: Params,
    body_timeout: Duration,
    /// Where only handshakes come with the request's method: those that events come with.
    only_handshakes: Option<HeaderValue>,
}

/// A request on its way in.
struct Arrival {
    /// Names the request, and the event if it becomes one.
    id: EventId,
    at: Timestamp,
    since: Instant,
}

impl Ingest {
    pub fn new(
        current: Current,
        journal: Arc<dyn Journal>,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self { current, journal, clock, metrics, room: body::Room::new() }
    }

    /// Answers one request. It is never left without an answer, and everything there is to say about it is
    /// logged and counted here.
    pub async fn answer<B>(&self, request: Request<B>) -> Response<Full<Bytes>>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: std::error::Error + Send + Sync + 'static,
    {
        let arrival = Arrival { id: EventId::generate(), at: self.clock.now(), since: Instant::now() };
        let (parts, mut body) = request.into_parts();
        let http1 = parts.version < Version::HTTP_2;
        let waits = parts.headers.contains_key(header::EXPECT);
        let is_head = parts.method == Method::HEAD;
        let mut route = None;
        let outcome = self.ingest(&arrival, parts, &mut body, &mut route).await;
        let route = route.as_deref();
        let mut answer = match outcome {
            Ok(Answered::Event(accepted)) => self.accepted(&arrival, &accepted, route),
            Ok(Answered::Dropped) => self.dropped(&arrival, route),
            Ok(Answered::Handshake(answer)) => with_id(answer, arrival.id),
            Err(rejection) => {
                let mut answer = self.refused(&arrival, &rejection, route);
                // Over HTTP/1 the next request begins where this body ends.
                if http1 && !body::drain(&mut body, !waits && rejection.leaves_a_body_worth_reading()).await {
                    answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
                }
                answer
            }
        };
        if is_head {
            *answer.body_mut() = Full::default();
        }
        answer
    }

    /// Takes in one webhook, or answers a handshake. When this returns an event, it is on disk and is ours to deliver.
    ///
    /// `found` is set as soon as the route is known, for whoever tells what became of the request.
    async fn ingest<B>(
        &self,
        arrival: &Arrival,
        parts: Parts,
        body: &mut B,
        found: &mut Option<Arc<LiveRoute>>,
    ) -> Result<Answered, Rejection>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: std::error::Error + Send + Sync + 'static,
    {
        let Found { route, params, body_timeout, only_handshakes } = self.find_route(&parts)?;
        let route = found.insert(route);
        let limits = body::Limits { bytes: route.config.max_body, time: body_timeout };
        let encoding = Encoding::of(&parts.headers)?;
        // Some providers ask with a POST that has neither a body nor a word about it.
        body::check_announced(&parts, body, limits, !route.handshakes.take(&parts.method))?;
        let (sent, _held) = body::read(body, limits, &self.room).await?;

        let request = unverified(arrival, route, params, parts, sent);
        if let Some(rule) = route.handshakes.find(&request)
            && !is_event_after_all(route, rule, &request, arrival.at).await
        {
            return self.shake_hands(route, rule, request, arrival.at).await;
        }
        if let Some(allow) = only_handshakes {
            return Err(Rejection::MethodNotAllowed { method: request.method, allow });
        }
        let genuine = match route.verifier.verify(request, arrival.at).await.map_err(Rejection::Refused)? {
            Judged::Genuine(genuine) => genuine,
            Judged::Question(reply) => return self.answer_question(route, reply),
        };
        if let Some(secret) = genuine.matched() {
            route.rotation.matched(secret, arrival.at);
        }
        // Only now: what forgers send must not use up the sender's rate.
        if let Some(limiter) = &route.limiter {
            limiter.check().map_err(|wait| Rejection::RateLimited { wait })?;
        }
        let plain = encoding.undo(genuine.body(), limits.bytes).await?;
        let Some(event) = past_the_edge(route, Arc::new(genuine.into_event(plain))).await else {
            return Ok(Answered::Dropped);
        };
        let appended = self.journal.append(event, route.config.dedupe).await.map_err(Rejection::Journal)?;
        Ok(Answered::Event(match appended {
            Appended::New => Accepted::New(arrival.id),
            Appended::Duplicate(first) => Accepted::Duplicate(first),
        }))
    }

    /// Finds the route in the generation that is current now. The request stays in it from here on.
    fn find_route(&self, parts: &Parts) -> Result<Found, Rejection> {
        let generation = self.current.load();
        let server = &generation.config.server;
        let size = header_size(parts);
        if size > server.max_headers {
            return Err(Rejection::HeadersTooLarge { size, limit: server.max_headers });
        }
        let RouteMatch { name, params, only_handshakes, .. } = generation
            .router
            .find(&parts.method, host(parts), parts.uri.path())
            .map_err(|no_route| match no_route {
                NoRoute::NotFound => Rejection::NotFound { path: parts.uri.path().to_owned() },
                NoRoute::MethodNotAllowed { allow } => {
                    Rejection::MethodNotAllowed { method: parts.method.clone(), allow }
                }
            })?;
        let route =
            generation.routes.get(name).expect("a generation has a live route for each of its routes");
        Ok(Found { route: route.clone(), params, body_timeout: server.body_timeout, only_handshakes })
    }

    fn accepted(
        &self,
        arrival: &Arrival,
        accepted: &Accepted,
        route: Option<&LiveRoute>,
    ) -> Response<Full<Bytes>> {
        let Some(route) = route else { return accepted.answer(arrival.id) };
        route.metrics.count(accepted, seconds(arrival.since.elapsed()));
        debug!(event = %accepted.id(), route = %route.config.name, duplicate = accepted.is_duplicate(), "event accepted");
        route.answers.accepted(accepted, arrival.id)
    }

    /// The sender has done its part, so it is told what it is told of every event.
    fn dropped(&self, arrival: &Arrival, route: Option<&LiveRoute>) -> Response<Full<Bytes>> {
        let accepted = Accepted::New(arrival.id);
        let Some(route) = route else { return accepted.answer(arrival.id) };
        route.metrics.count_dropped();
        route.answers.accepted(&accepted, arrival.id)
    }

    fn refused(
        &self,
        arrival: &Arrival,
        rejection: &Rejection,
        route: Option<&LiveRoute>,
    ) -> Response<Full<Bytes>> {
        let own_status = route.and_then(|route| route.answers.refused);
        let route = route.map_or_else(|| Arc::from(""), |route| route.config.name.clone());
        let (request, code, detail) = (arrival.id, rejection.code(), rejection.detail());
        match rejection.audience() {
            Audience::Operator => error!(%request, %route, code, detail, "event not accepted"),
            Audience::Sender => warn!(%request, %route, code, detail, "event refused"),
            Audience::Nobody => debug!(%request, %route, code, detail, "request refused"),
        }
        self.metrics.refused.get_or_create(&RefusalLabels { route, reason: code }).inc();
        rejection.answer(arrival.id, own_status)
    }

    /// Refuses what never became a request; the answer is for the listener to write out.
    pub(crate) fn refuse(&self, rejection: &Rejection) -> Response<Full<Bytes>> {
        let arrival = Arrival { id: EventId::generate(), at: self.clock.now(), since: Instant::now() };
        self.refused(&arrival, rejection, None)
    }

    /// The server's settings as they stand in the current generation.
    pub(crate) fn server(&self) -> config::Server {
        self.current.load().config.server.clone()
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.metrics
    }
}

/// Asks the route's filters at the edge. `None`: the event is dropped, and leaves no trace. One that they cannot say
/// anything about is for the pipeline behind the journal.
async fn past_the_edge(route: &LiveRoute, mut event: Arc<Event>) -> Option<Arc<Event>> {
    if !route.pipeline.has_edge() {
        return Some(event);
    }
    let Some(_turn) = route.doorstep.turn().await else {
        debug!(event = %event.id, route = %event.route, "too many wait for the filters at the edge");
        return Some(event);
    };
    let span = info_span!("edge", event = %event.id, route = %event.route);
    match route.pipeline.at_edge(&event).instrument(span.clone()).await {
        AtEdge::Kept(passed) => Arc::make_mut(&mut event).passed = Some(passed),
        AtEdge::Undecided => {}
        AtEdge::Dropped { reason } => {
            span.in_scope(|| debug!(reason, "event dropped at the edge"));
            return None;
        }
    }
    Some(event)
}

/// All header fields together, in bytes, as HTTP/1 would send them.
fn header_size(parts: &Parts) -> usize {
    const SEPARATORS: usize = ": \r\n".len();
    parts.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + SEPARATORS).sum()
}

/// Where the request was sent: `:authority` over HTTP/2, else the `host` header. Several of them are none: a proxy
/// in front may have looked at another one than we would.
fn host(parts: &Parts) -> Option<&str> {
    let header = || {
        let mut hosts = parts.headers.get_all(header::HOST).iter();
        let host = hosts.next()?;
        hosts.next().is_none().then_some(host)?.to_str().ok()
    };
    parts.uri.authority().map(|authority| authority.as_str()).or_else(header)
}

fn unverified(
    arrival: &Arrival,
    route: &LiveRoute,
    params: Params,
    mut parts: Parts,
    body: Bytes,
) -> Unverified {
    // Where there is both, the route was found by the authority: what is proven must be the same host.
    if let Some(authority) = parts.uri.authority()
        && let Ok(host) = HeaderValue::from_str(authority.as_str())
    {
        parts.headers.insert(header::HOST, host);
    }
    Unverified {
        id: arrival.id,
        route: route.config.name.clone(),
        received_at: arrival.at,
        method: parts.method,
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().map(str::to_owned),
        params,
        headers: parts.headers,
        body,
    }
}

#[cfg(test)]
pub(crate) mod tests;
