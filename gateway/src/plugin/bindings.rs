//! The contract's types and interfaces as Rust, made from `plugin-sdk/wit`.
/// The version of `sluice:plugin` that this gateway implements.
pub const VERSION: &str = "0.1.0";

wasmtime::component::bindgen!({
    path: "../plugin-sdk/wit/v0.1",
    // No plugin has every kind; the world is only a way to have all of them made at once.
    inline: "
        package sluice:gateway;

        world every-kind {
            include sluice:plugin/filter-plugin@0.1.0;
            include sluice:plugin/transform-plugin@0.1.0;
        }
    ",
    world: "sluice:gateway/every-kind",
    with: { "sluice:plugin/incoming.event": crate::plugin::View },
    imports: { default: trappable },
    exports: { default: async },
});

pub(super) use self::sluice::plugin::{host, incoming, types};
pub(super) use exports::sluice::plugin::{filter, lifecycle, transform};

#[cfg(test)]
mod tests {
    use super::VERSION;

    #[test]
    fn version_is_that_of_the_contract() {
        let wit = include_str!("../../../plugin-sdk/wit/v0.1/sluice.wit");
        assert!(wit.contains(&format!("\npackage sluice:plugin@{VERSION};\n")));
    }
}
