//! `sluice schema`: the JSON Schema of the config file, for editors.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use crate::config::Config;

/// Prints the JSON Schema of the config file.
#[derive(Debug, clap::Args)]
pub struct SchemaArgs {}

/// Prints the schema to stdout. Exits with 0, or with 1 if stdout cannot be written to.
pub fn schema(_args: &SchemaArgs) -> ExitCode {
    let text = format!("{:#}\n", Config::json_schema());
    match io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
