//! What wit-bindgen makes of the contract in `wit/`.
//!
//! A plugin exports the lifecycle and its kind. They are generated apart because each brings an export macro,
//! and a macro's name comes from its interface: two worlds with the same lifecycle could not be in one crate.

#![allow(missing_docs, reason = "generated; the public face is the crate's own types")]

pub(crate) mod imports {
    wit_bindgen::generate!({
        path: "wit/v1",
        inline: "
            package sluice:sdk-imports;
            world imports {
                import sluice:plugin/incoming@1.0.0;
                import sluice:plugin/requests@1.0.0;
                import sluice:plugin/batching@1.0.0;
                import sluice:plugin/types@1.0.0;
                import sluice:plugin/host@1.0.0;
                import sluice:plugin/secrets@1.0.0;
                import sluice:plugin/kv@1.0.0;
                import sluice:plugin/http@1.0.0;
            }
        ",
        world: "sluice:sdk-imports/imports",
        generate_all,
        generate_unused_types: true,
    });
}

pub mod lifecycle {
    wit_bindgen::generate!({
        path: "wit/v1",
        inline: "
            package sluice:sdk-lifecycle;
            world lifecycle { export sluice:plugin/lifecycle@1.0.0; }
        ",
        world: "sluice:sdk-lifecycle/lifecycle",
        with: {
            "sluice:plugin/incoming@1.0.0": crate::bindings::imports::sluice::plugin::incoming,
            "sluice:plugin/types@1.0.0": crate::bindings::imports::sluice::plugin::types,
            "sluice:plugin/lifecycle@1.0.0": generate,
        },
        pub_export_macro: true,
        export_macro_name: "export_lifecycle",
    });
}

pub mod verify {
    wit_bindgen::generate!({
        path: "wit/v1",
        inline: "
            package sluice:sdk-verify;
            world verify { export sluice:plugin/verify@1.0.0; }
        ",
        world: "sluice:sdk-verify/verify",
        with: {
            "sluice:plugin/incoming@1.0.0": crate::bindings::imports::sluice::plugin::incoming,
            "sluice:plugin/requests@1.0.0": crate::bindings::imports::sluice::plugin::requests,
            "sluice:plugin/types@1.0.0": crate::bindings::imports::sluice::plugin::types,
            "sluice:plugin/verify@1.0.0": generate,
        },
        pub_export_macro: true,
        export_macro_name: "export_verify",
    });
}

pub mod filter {
    wit_bindgen::generate!({
        path: "wit/v1",
        inline: "
            package sluice:sdk-filter;
            world filter { export sluice:plugin/filter@1.0.0; }
        ",
        world: "sluice:sdk-filter/filter",
        with: {
            "sluice:plugin/incoming@1.0.0": crate::bindings::imports::sluice::plugin::incoming,
            "sluice:plugin/types@1.0.0": crate::bindings::imports::sluice::plugin::types,
            "sluice:plugin/filter@1.0.0": generate,
        },
        pub_export_macro: true,
        export_macro_name: "export_filter",
    });
}

pub mod transform {
    wit_bindgen::generate!({
        path: "wit/v1",
        inline: "
            package sluice:sdk-transform;
            world transform { export sluice:plugin/transform@1.0.0; }
        ",
        world: "sluice:sdk-transform/transform",
        with: {
            "sluice:plugin/incoming@1.0.0": crate::bindings::imports::sluice::plugin::incoming,
            "sluice:plugin/types@1.0.0": crate::bindings::imports::sluice::plugin::types,
            "sluice:plugin/transform@1.0.0": generate,
        },
        pub_export_macro: true,
        export_macro_name: "export_transform",
    });
}

pub mod batch {
    wit_bindgen::generate!({
        path: "wit/v1",
        inline: "
            package sluice:sdk-batch;
            world batch { export sluice:plugin/batch@1.0.0; }
        ",
        world: "sluice:sdk-batch/batch",
        with: {
            "sluice:plugin/incoming@1.0.0": crate::bindings::imports::sluice::plugin::incoming,
            "sluice:plugin/batching@1.0.0": crate::bindings::imports::sluice::plugin::batching,
            "sluice:plugin/types@1.0.0": crate::bindings::imports::sluice::plugin::types,
            "sluice:plugin/batch@1.0.0": generate,
        },
        pub_export_macro: true,
        export_macro_name: "export_batch",
    });
}
