//! A plugin that goes wrong on purpose: the gateway's tests look at what its operators get to read.

use sluice_plugin::{Decision, Error, Event, Filter};

struct Panics;

impl Filter for Panics {
    type Config = ();

    fn configure((): ()) -> Result<Self, Error> {
        Ok(Self)
    }

    fn filter(&self, event: &Event) -> Result<Decision, Error> {
        panic!("no case for\n{}", event.method());
    }
}

sluice_plugin::filter!(Panics);
