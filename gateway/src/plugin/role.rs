//! What a plugin is used for.

use super::{PluginError, contract::Kind};
use crate::config;

/// What a plugin is loaded for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A step of a pipeline.
    Step,
    /// A candidate beside a step's plugin, of which nothing is delivered. It must leave no trace with others: it counts
    /// nothing, sends nothing, and writes nothing into the plugin's store.
    Shadow,
    /// A step that runs before the journal.
    EdgeStep,
    /// A route's proof of origin.
    Verify,
    /// A route's batches.
    Batch,
    /// Whatever it can do.
    Any,
}

impl Role {
    pub(super) fn check(self, plugin: &config::Plugin, kind: Kind) -> Result<(), PluginError> {
        let fits = match self {
            Self::Step | Self::Shadow => matches!(kind, Kind::Filter | Kind::Transform),
            Self::EdgeStep => kind == Kind::Filter,
            Self::Verify => kind == Kind::Verify,
            Self::Batch => kind == Kind::Batch,
            Self::Any => true,
        };
        if fits { Ok(()) } else { Err(PluginError::Role { plugin: plugin.name.clone(), kind, role: self }) }
    }

    /// What takes which kinds.
    pub(super) fn takes(self) -> &'static str {
        match self {
            Self::Step | Self::Shadow => "a pipeline takes filters and transforms",
            Self::EdgeStep => "a step with `at = \"edge\"` is a filter",
            Self::Verify => "`verify` takes plugins that export `verify`",
            Self::Batch => "`batch` takes plugins that export `batch`",
            Self::Any => "every kind is taken",
        }
    }
}
