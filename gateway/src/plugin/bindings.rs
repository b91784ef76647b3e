//! The contract's types and interfaces as Rust, made from `plugin-sdk/wit`: the newest version here, which the
//! gateway speaks throughout, and older ones in modules of their own, which are translated where they meet it.

pub(super) mod v0_1;

/// The version of `sluice:plugin` that this gateway implements; [`Contract`](super::Contract) lists all.
pub const VERSION: &str = "1.0.0";

wasmtime::component::bindgen!({
    path: "../plugin-sdk/wit/v1",
    // No plugin has every kind; the world is only a way to have all of them made at once.
    inline: "
        package sluice:gateway;

        world every-kind {
            include sluice:plugin/verify-plugin@1.0.0;
            include sluice:plugin/filter-plugin@1.0.0;
            include sluice:plugin/transform-plugin@1.0.0;
            include sluice:plugin/batch-plugin@1.0.0;
        }
    ",
    world: "sluice:gateway/every-kind",
    with: {
        "sluice:plugin/incoming.event": crate::plugin::View,
        "sluice:plugin/requests.request": crate::plugin::Claimed,
        "sluice:plugin/batching.window": crate::plugin::Window,
    },
    imports: {
        "sluice:plugin/kv.get": async | trappable,
        "sluice:plugin/kv.set": async | trappable,
        "sluice:plugin/kv.delete": async | trappable,
        "sluice:plugin/kv.add": async | trappable,
        "sluice:plugin/http.send": async | trappable,
        default: trappable,
    },
    exports: { default: async },
});

pub(super) use self::sluice::plugin::{batching, host, http, incoming, kv, requests, secrets, types};
pub(super) use exports::sluice::plugin::{batch, filter, lifecycle, transform, verify};

#[cfg(test)]
mod tests {
    use super::VERSION;

    #[test]
    fn version_is_that_of_the_contract() {
        let wit = include_str!("../../../plugin-sdk/wit/v1/sluice.wit");
        assert!(wit.contains(&format!("\npackage sluice:plugin@{VERSION};\n")));
    }
}
