//! The project's commands. Each works from a fresh clone; what it needs, it sets up first.

use anyhow::{Result, bail};

mod command;
mod plugins;
mod setup;

const USAGE: &str = "usage: cargo xtask setup | plugins [--check]";

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["setup"] => setup::run(),
        ["plugins"] => plugins::build(),
        ["plugins", "--check"] => plugins::check(),
        _ => bail!("{USAGE}"),
    }
}
