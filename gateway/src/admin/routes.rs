//! Routes: how their senders prove themselves, and which secrets are in use.

use std::sync::Arc;

use axum::{Json, extract::State, http::Uri};

use super::{
    Admin,
    api::{RouteList, RouteStatus, SecretStatus},
    query,
    refusal::Refusal,
};
use crate::{clock::Timestamp, config, ingest::Rotation};

pub(super) async fn list(State(admin): State<Arc<Admin>>, uri: Uri) -> Result<Json<RouteList>, Refusal> {
    query::none(&uri)?;
    let (generation, now) = (admin.current.load_full(), admin.clock.now());
    let routes = generation.config.routes.iter().map(|route| {
        let live = generation.routes.get(&route.name);
        status(route, live.map(|live| &live.rotation), now)
    });
    Ok(Json(RouteList { routes: routes.collect() }))
}

fn status(route: &config::Route, rotation: Option<&Rotation>, now: Timestamp) -> RouteStatus {
    let verify = match &route.verify {
        config::Verify::None => "none",
        config::Verify::Proof(settings) => settings.preset.as_deref().unwrap_or("inline"),
        config::Verify::Plugin(_) => "plugin",
    };
    let secrets = rotation.into_iter().flat_map(|rotation| {
        rotation.secrets().map(move |known| SecretStatus {
            origin: known.label().to_owned(),
            valid_from: known.secret().valid_from(),
            valid_until: known.secret().valid_until(),
            active: known.secret().is_active(now),
            last_matched: known.last(),
            matched: known.count(),
            others_since: rotation.others_since(known),
        })
    });
    RouteStatus { name: route.name.to_string(), verify: verify.to_owned(), secrets: secrets.collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::Secret, ingest::tests::route, telemetry::Metrics, verify::tests::by_preset};

    #[test]
    fn every_secret_is_shown_with_its_use_and_without_its_bytes() {
        let mut route = route("in", "/in");
        route.verify = by_preset("github", &["hunter2", "hunter3"]);
        let config::Verify::Proof(settings) = &mut route.verify else { panic!("a proof is asked for") };
        let from = Timestamp::from_millis(1_772_366_400_000);
        settings.secrets[1] = Secret::new(*b"hunter3", "env NEW").valid_between(Some(from), None);
        let rotation = Rotation::new(&route.name, &route.verify, &Metrics::new(), None);
        rotation.matched(0, Timestamp::from_millis(1_700_000_000_000));
        let shown = serde_json::to_value(status(&route, Some(&rotation), from)).unwrap();
        let expected = serde_json::json!({
            "name": "in",
            "verify": "inline",
            "secrets": [
                {
                    "origin": "test", "active": true, "last_matched": "2023-11-14T22:13:20.000Z", "matched": 1,
                    "others_since": 0
                },
                {
                    "origin": "env NEW", "valid_from": "2026-03-01T12:00:00.000Z", "active": true, "matched": 0,
                    "others_since": 1
                },
            ],
        });
        assert_eq!(shown, expected);
    }

    #[test]
    fn an_open_route_has_no_secrets() {
        let mut route = route("in", "/in");
        route.verify = config::Verify::None;
        let status = status(&route, None, Timestamp::default());
        assert_eq!((status.verify.as_str(), status.secrets.len()), ("none", 0));
    }
}
