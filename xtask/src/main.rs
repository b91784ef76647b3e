//! The project's commands. Each works from a fresh clone; what it needs, it sets up first.

use anyhow::{Result, bail};

mod bench;
mod command;
mod contract;
mod demo;
mod fuzz;
mod plugins;
mod providers;
mod setup;
mod test;

const USAGE: &str = "usage: cargo xtask setup | plugins [--check] | providers [--check] | contract [--check] | test | demo | bench [--quick] | fuzz [--seconds N]";

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["setup"] => setup::run(),
        ["plugins"] => plugins::build(),
        ["plugins", "--check"] => plugins::check(),
        ["providers"] => providers::write(),
        ["providers", "--check"] => providers::check(),
        ["contract"] => contract::write(),
        ["contract", "--check"] => contract::check(),
        ["test"] => test::run(),
        ["demo"] => demo::run(),
        ["bench", ref args @ ..] => bench::run(args),
        ["fuzz", ref args @ ..] => fuzz::run(args),
        _ => bail!("{USAGE}"),
    }
}
