//! What wit-bindgen makes of the contract in `wit/`.
//!
//! A plugin exports the lifecycle and its kind. They are generated apart because each brings an export macro,
//! and a macro's name comes from its interface: two worlds with the same lifecycle could not be in one crate.

#![allow(missing_docs, reason = "generated; the public face is the crate's own types")]

pub(crate) mod imports {
    wit_bindgen::generate!({
        path: "wit/v0.1",
        inline: "
            package sluice:sdk-imports;
            world imports {
                import sluice:plugin/incoming@0.1.0;
                import sluice:plugin/types@0.1.0;
                import sluice:plugin/host@0.1.0;
            }
        ",
        world: "sluice:sdk-imports/imports",
        generate_all,
        generate_unused_types: true,
    });
}

pub mod lifecycle {
    wit_bindgen::generate!({
        path: "wit/v0.1",
        inline: "
            package sluice:sdk-lifecycle;
            world lifecycle { export sluice:plugin/lifecycle@0.1.0; }
        ",
        world: "sluice:sdk-lifecycle/lifecycle",
        with: {
            "sluice:plugin/incoming@0.1.0": crate::bindings::imports::sluice::plugin::incoming,
            "sluice:plugin/types@0.1.0": crate::bindings::imports::sluice::plugin::types,
            "sluice:plugin/lifecycle@0.1.0": generate,
        },
        pub_export_macro: true,
        export_macro_name: "export_lifecycle",
    });
}

pub mod filter {
    wit_bindgen::generate!({
        path: "wit/v0.1",
        inline: "
            package sluice:sdk-filter;
            world filter { export sluice:plugin/filter@0.1.0; }
        ",
        world: "sluice:sdk-filter/filter",
        with: {
            "sluice:plugin/incoming@0.1.0": crate::bindings::imports::sluice::plugin::incoming,
            "sluice:plugin/types@0.1.0": crate::bindings::imports::sluice::plugin::types,
            "sluice:plugin/filter@0.1.0": generate,
        },
        pub_export_macro: true,
        export_macro_name: "export_filter",
    });
}

pub mod transform {
    wit_bindgen::generate!({
        path: "wit/v0.1",
        inline: "
            package sluice:sdk-transform;
            world transform { export sluice:plugin/transform@0.1.0; }
        ",
        world: "sluice:sdk-transform/transform",
        with: {
            "sluice:plugin/incoming@0.1.0": crate::bindings::imports::sluice::plugin::incoming,
            "sluice:plugin/types@0.1.0": crate::bindings::imports::sluice::plugin::types,
            "sluice:plugin/transform@0.1.0": generate,
        },
        pub_export_macro: true,
        export_macro_name: "export_transform",
    });
}
