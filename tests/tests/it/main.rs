//! Black-box tests of the real binary, one module per theme.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

/// What every test starts from.
mod common;

/// Every answer that a sender can get.
mod answers;

/// What a route answers by itself.
mod handshakes;

/// `kill -9` under load: nothing acknowledged is lost.
mod crash;

/// Destinations that are down, slow, flapping or dead.
mod downstream;

/// Messages that are delivered together.
mod batches;

/// Configs and plugins swapped under load.
mod reload;

/// Hostile plugins.
mod plugins;

/// Plugins that prove who sent a request.
mod verifiers;

/// Filters before the journal.
mod edge;

/// What plugins are granted: `kv` and `http`.
mod grants;

/// New versions of plugins, tried out beside those in force.
mod canaries;

/// The journal's directory: in use, damaged, reopened.
mod journal;

/// The admin listener.
mod admin;

/// SIGTERM.
mod drain;

/// The command line.
mod cli;

/// The tools of those who write plugins.
mod authors;

/// Plugins in other languages than Rust.
mod languages;

/// GitHub's own payloads through the standard plugins.
mod payloads;

/// Signed by other people's packages, and checked by them.
mod round_trips;

/// Past events through candidates, and as cases.
mod replays;

/// The standard plugins that need no code, through the real host.
mod standard;

/// The cases beside the standard plugins.
mod cases;

/// Every vector that needs no clock of its own, sent to the real binary.
mod vectors;

/// Every set-up in `examples/`.
mod examples;

/// What the documents say of configs.
mod documents;

/// The text of the contract with plugins.
mod contract;

/// The load generator and the floor program that the benchmark compares with.
mod floor;
