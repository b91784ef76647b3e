//! Sluice receives webhooks, proves who sent them, writes them down, lets sandboxed WebAssembly plugins filter
//! and transform them, and delivers the result until it has arrived.
//!
//! The modules below are in the order an event meets them. Two short functions tell the story:
//! `ingest` (a caller is waiting) and `dispatch` (nobody is). The journal is the wall between them.

// rustfmt sorts adjacent `mod` lines; the blank lines keep them in the order of the flow.

pub mod cli;

pub mod config;

pub mod gateway;

pub mod generation;

pub mod reload;

// A caller is waiting.

pub mod listener;

pub mod ingest;

pub mod route;

pub mod verify;

pub mod event;

pub mod journal;

// Nobody is waiting.

pub mod dispatch;

pub mod pipeline;

pub mod plugin;

pub mod lane;

pub mod deliver;

// Beside the flow.

pub mod admin;

pub mod egress;

pub mod telemetry;

pub mod clock;
