//! Events of a running gateway, and what its routes make of them: asked for over its admin listener.

use std::sync::Arc;

use anyhow::anyhow;
use http::{HeaderName, HeaderValue, Method};

use super::unusable;
use crate::{
    admin::api::{Content, EventList, Lineup, RouteList, Whole},
    cli::connection::{Connection, ConnectionArgs, ConnectionError},
    event::{Event, EventId, Headers},
    verify::Proof,
};

/// A running gateway.
pub(super) struct Source {
    connection: Connection,
}

/// Which events are asked for.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) route: String,
    /// As [`EventState`](crate::journal::EventState) is written.
    pub(super) state: Option<String>,
    /// RFC 3339, or how long ago.
    pub(super) since: Option<String>,
}

impl Source {
    /// # Errors
    /// If the address or the token cannot be used. Nothing is sent yet.
    pub(super) fn new(args: &ConnectionArgs) -> anyhow::Result<Self> {
        Ok(Self { connection: Connection::new(args)? })
    }

    /// The ids of at most `limit` events, up to 1000, the newest first; with `before` those behind that one.
    ///
    /// # Errors
    /// If the gateway cannot be asked, or refuses the question.
    pub(super) async fn page(
        &self,
        wanted: &Wanted,
        before: Option<EventId>,
        limit: usize,
    ) -> anyhow::Result<Vec<EventId>> {
        let query = [
            ("route", Some(wanted.route.clone())),
            ("state", wanted.state.clone()),
            ("since", wanted.since.clone()),
            ("before", before.map(|id| id.to_string())),
            ("limit", Some(limit.to_string())),
        ];
        let answer = self.connection.get(&["events"], &query).await.map_err(refused)?;
        let EventList { events } = self.connection.parse(&answer)?;
        Ok(events.into_iter().map(|event| event.0.id).collect())
    }

    /// One event, as plugins see it; `None` if the gateway does not keep it any more.
    ///
    /// # Errors
    /// If the gateway cannot be asked.
    pub(super) async fn event(&self, id: EventId) -> anyhow::Result<Option<Arc<Event>>> {
        let answer = match self.connection.get(&["events", &id.to_string(), "whole"], &[]).await {
            Err(error) if error.is("event_not_found") => return Ok(None),
            answer => answer?,
        };
        let whole: Whole = self.connection.parse(&answer)?;
        let event = event(whole).ok_or_else(|| anyhow!("event `{id}` came in a form that is none"))?;
        Ok(Some(Arc::new(event)))
    }

    /// What a route makes of its events.
    ///
    /// # Errors
    /// If the gateway cannot be asked, or has no such route.
    pub(super) async fn lineup(&self, route: &str) -> anyhow::Result<Lineup> {
        self.lineup_if_any(route).await?.ok_or_else(|| {
            unusable(format!("the gateway has no route `{route}`; `[[routes]]` in its config names them"))
        })
    }

    /// As [`lineup`](Self::lineup); `None` if the gateway has no such route.
    pub(super) async fn lineup_if_any(&self, route: &str) -> anyhow::Result<Option<Lineup>> {
        match self.connection.get(&["routes", route, "pipeline"], &[]).await {
            Err(error) if error.is("route_not_found") => Ok(None),
            answer => Ok(Some(self.connection.parse(&answer?)?)),
        }
    }

    /// How the senders of a route prove themselves, in the words of [`RouteStatus`](crate::admin::api::RouteStatus).
    ///
    /// # Errors
    /// If the gateway cannot be asked.
    pub(super) async fn verify(&self, route: &str) -> anyhow::Result<Option<String>> {
        let answer = self.connection.get(&["routes"], &[]).await?;
        let RouteList { routes } = self.connection.parse(&answer)?;
        Ok(routes.into_iter().find(|known| known.name == route).map(|known| known.verify))
    }
}

/// A question that is refused was asked with what cannot be used.
fn refused(error: ConnectionError) -> anyhow::Error {
    if error.is("bad_query") { unusable(error.to_string()) } else { error.into() }
}

fn event(whole: Whole) -> Option<Event> {
    let mut headers = Headers::default();
    for (name, value) in whole.headers {
        headers.append(name.parse::<HeaderName>().ok()?, header_value(value)?);
    }
    Some(Event {
        id: whole.id,
        route: whole.route.into(),
        received_at: whole.received_at,
        method: Method::from_bytes(whole.method.as_bytes()).ok()?,
        path: whole.path,
        query: whole.query,
        params: whole.params,
        headers,
        body: whole.body.bytes()?.into(),
        event_type: whole.event_type,
        delivery_id: whole.delivery_id,
        passed: None,
        proof: Proof::of_a_case(),
    })
}

fn header_value(content: Content) -> Option<HeaderValue> {
    HeaderValue::from_bytes(&content.bytes()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        admin::testing::{Bench, EVENT},
        cli::connection::to,
    };

    fn source(bench: &Bench) -> Source {
        Source::new(&to(&bench.url())).unwrap()
    }

    #[tokio::test]
    async fn an_event_comes_whole_and_byte_for_byte() {
        let bench = Bench::open().await;
        *bench.journal.body.lock().unwrap() = vec![b'\xff'; 100_000].into();
        let event = source(&bench).event(EVENT.parse().unwrap()).await.unwrap().unwrap();
        assert_eq!(event.body.len(), 100_000);
        assert_eq!(event.headers.get("x-odd").unwrap().as_bytes(), b"caf\xe9");
        assert_eq!((&*event.route, event.path.as_str()), ("github", "/github/acme"));
        assert_eq!((event.query.as_deref(), event.event_type.as_deref()), (Some("x=1"), Some("issues")));
        assert_eq!(event.params, [("org".to_owned(), "acme".to_owned())]);
    }

    #[tokio::test]
    async fn what_is_not_there_is_told_from_what_failed() {
        let bench = Bench::open().await;
        let unknown = "01930c2e-7b1a-7c3d-9a52-000000000000".parse().unwrap();
        assert!(source(&bench).event(unknown).await.unwrap().is_none());
        assert!(source(&bench).lineup_if_any("none").await.unwrap().is_none());
        *bench.journal.broken.lock().unwrap() = true;
        assert!(source(&bench).event(unknown).await.unwrap_err().to_string().contains("could not answer"));
    }

    #[tokio::test]
    async fn a_page_is_asked_for_with_all_that_is_wanted() {
        let bench = Bench::open().await;
        let wanted = Wanted { route: "a".into(), state: Some("dead".into()), since: Some("1h".into()) };
        let before = EVENT.parse().unwrap();
        let page = source(&bench).page(&wanted, Some(before), 7).await.unwrap();
        assert_eq!(page, [before]);
        let asked = bench.journal.events_asked.lock().unwrap().pop().unwrap();
        assert_eq!((asked.route.as_deref(), asked.before, asked.limit), (Some("a"), Some(before), 7));
        let never = Wanted { since: Some("noon".into()), ..wanted };
        let refused = source(&bench).page(&never, None, 7).await.unwrap_err();
        assert!(refused.is::<super::super::Unusable>() && refused.to_string().contains("`noon`"));
    }
}
