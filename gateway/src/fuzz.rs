//! The root of a smaller crate for `fuzz/`: the proof of origin with all that it needs, and neither Wasmtime nor the
//! journal, so that an instrumented build takes a minute instead of ten. Not part of the gateway.

#![allow(dead_code, reason = "what is left out uses some of it")]

pub mod clock;

pub mod config;

pub mod egress;

pub mod event;

pub mod route;

pub mod verify;
