//! Plugins of every contract that was ever released, and of every role.

use std::fs;

use serde_json::json;

use super::{
    fixtures::{Rig, Wat, event},
    *,
};

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/contracts");
const ISSUE: &str =
    r#"{"action":"opened","issue":{"title":"t","html_url":"u"},"repository":{"full_name":"r"}}"#;

fn load(rig: &Rig, file: &str, config: &serde_json::Value) -> Arc<Plugin> {
    let bytes = fs::read(format!("{FIXTURES}/{file}")).unwrap();
    rig.host.load(&rig.plugin("guest", &bytes), config, Role::Step).unwrap()
}

async fn answer(plugin: &Plugin, body: &'static str) -> Answer {
    plugin.call(&View::of(event(body), 1)).await.answer.unwrap()
}

#[tokio::test]
async fn filter_of_the_first_contract_works() {
    let rig = Rig::new();
    let config = json!({ "where": { "body": "/action", "in": ["opened"] } });
    let filter = load(&rig, "filter-0.1.0.wasm", &config);
    assert_eq!(answer(&filter, ISSUE).await, Answer::Keep);
    let reason = r#"body /action is "closed", not one of "opened""#;
    assert_eq!(answer(&filter, r#"{"action":"closed"}"#).await, Answer::Drop(reason.to_owned()));
}

#[tokio::test]
async fn transform_of_the_first_contract_works_and_is_found_in_the_cache() {
    let mut rig = Rig::new();
    for _ in 0..2 {
        let ticket = load(&rig, "ticket-0.1.0.wasm", &json!(null));
        let Answer::Messages(made) = answer(&ticket, ISSUE).await else { panic!("no messages") };
        assert_eq!(made[0].message.body, r#"{"repo":"r","title":"t","url":"u"}"#);
        assert_eq!(
            answer(
                &ticket,
                r#"{"action":"x","issue":{"title":"","html_url":""},"repository":{"full_name":""}}"#
            )
            .await,
            Answer::Messages(Vec::new())
        );
        rig = rig.restart();
    }
}

#[tokio::test]
async fn config_of_the_first_contract_is_refused_with_its_reason() {
    let rig = Rig::new();
    let bytes = fs::read(format!("{FIXTURES}/filter-0.1.0.wasm")).unwrap();
    let refused = rig.host.load(&rig.plugin("guest", &bytes), &json!({ "bodi": 1 }), Role::Step);
    let refused = refused.err().unwrap().to_string();
    assert!(refused.starts_with("plugin `guest` refuses its config: "), "{refused}");
}

#[test]
fn every_role_takes_its_kinds_and_no_other() {
    let rig = Rig::new();
    for (role, kinds) in [
        (Role::Step, &[Kind::Filter, Kind::Transform][..]),
        (Role::EdgeStep, &[Kind::Filter]),
        (Role::Verify, &[Kind::Verify]),
        (Role::Batch, &[Kind::Batch]),
        (Role::Any, &Kind::ALL),
    ] {
        for kind in Kind::ALL {
            let plugin = rig.plugin(kind.name(), &Wat { kind, ..Wat::default() }.module());
            match rig.host.load(&plugin, &json!(null), role) {
                Ok(_) => assert!(kinds.contains(&kind), "{role:?} took {kind:?}"),
                Err(error) => {
                    assert!(!kinds.contains(&kind), "{error}");
                    let says = format!("plugin `{0}` exports `{0}`, but ", kind.name());
                    assert!(error.to_string().starts_with(&says), "{error}");
                }
            }
        }
    }
}

#[test]
fn a_plugin_of_two_versions_is_refused() {
    let mixed = r#"(component
        (import "sluice:plugin/host@0.1.0" (instance))
        (import "sluice:plugin/host@1.0.0" (instance)))"#;
    let refused = Rig::new().load(&wat::parse_str(mixed).unwrap()).err().unwrap().to_string();
    assert!(refused.starts_with("plugin `guest` mixes versions of sluice:plugin; "), "{refused}");
}
