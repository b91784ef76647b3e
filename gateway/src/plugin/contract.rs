//! Checks a plugin against the contract before anything of it is compiled or run.

use std::borrow::Cow;

use wasmparser::{Parser, Payload};
use wasmtime::Engine;
use wit_component::ComponentEncoder;

use super::{
    PluginError,
    bindings::{VERSION, v0_1},
    log::tidy,
    wasi,
};

/// What a plugin does, told from what it exports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// Proves who sent a request.
    Verify,
    /// Keeps an event or drops it.
    Filter,
    /// Makes messages of an event.
    Transform,
    /// Folds messages into fewer.
    Batch,
}

impl Kind {
    pub(super) const ALL: [Self; 4] = [Self::Verify, Self::Filter, Self::Transform, Self::Batch];

    /// What a config's author calls it.
    pub fn name(self) -> &'static str {
        self.interface()
    }

    /// The interface that a plugin of this kind exports.
    pub(super) fn interface(self) -> &'static str {
        match self {
            Self::Verify => "verify",
            Self::Filter => "filter",
            Self::Transform => "transform",
            Self::Batch => "batch",
        }
    }
}

/// A version of the contract that this gateway speaks: any that is compatible with the one named here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Contract {
    V0_1,
    V1,
}

impl Contract {
    /// The oldest first.
    pub const ALL: [Self; 2] = [Self::V0_1, Self::V1];

    pub fn version(self) -> &'static str {
        match self {
            Self::V0_1 => v0_1::VERSION,
            Self::V1 => VERSION,
        }
    }

    /// The interfaces that a plugin may import.
    fn imports(self) -> &'static [&'static str] {
        match self {
            Self::V0_1 => &["incoming", "host", "types"],
            Self::V1 => &["incoming", "requests", "batching", "types", "host", "secrets", "kv", "http"],
        }
    }

    fn kinds(self) -> &'static [Kind] {
        match self {
            Self::V0_1 => &[Kind::Filter, Kind::Transform],
            Self::V1 => &Kind::ALL,
        }
    }

    fn of(version: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| track(known.version()) == track(version))
    }
}

/// What a plugin is, told from what it imports and exports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Checked {
    pub(super) contract: Contract,
    pub(super) kind: Kind,
}

const PACKAGE: &str = "sluice:plugin/";

/// Makes a component of the file's bytes: as they are, or of a core module that carries its WIT.
///
/// # Errors
/// Refuses what is no WebAssembly, what is compiled already, and core modules without a contract.
pub(super) fn componentize<'a>(plugin: &str, bytes: &'a [u8]) -> Result<Cow<'a, [u8]>, PluginError> {
    if Engine::detect_precompiled(bytes).is_some() {
        return Err(PluginError::Precompiled { plugin: plugin.into() });
    }
    if Parser::is_component(bytes) {
        return Ok(bytes.into());
    }
    encode(plugin, bytes).map(Cow::Owned)
}

fn encode(plugin: &str, module: &[u8]) -> Result<Vec<u8>, PluginError> {
    wasmparser::validate(module)
        .map_err(|source| PluginError::Malformed { plugin: plugin.into(), source })?;
    let failed = |source| PluginError::Componentize { plugin: plugin.into(), source };
    let (_, contract) = wit_component::metadata::decode(module).map_err(failed)?;
    if contract.resolve.worlds[contract.world].exports.is_empty() {
        return Err(PluginError::NoContract { plugin: plugin.into() });
    }
    refuse_foreign(plugin, core_imports(plugin, module)?)?;
    ComponentEncoder::default()
        .validate(true)
        .module(module)
        .and_then(|mut encoder| encoder.encode())
        .map_err(failed)
}

/// What a core module imports that no WIT interface can provide. Interface names have a `:`; wit-component's own
/// intrinsics are in brackets or begin with `$`.
fn core_imports(plugin: &str, module: &[u8]) -> Result<Vec<String>, PluginError> {
    let malformed = |source| PluginError::Malformed { plugin: plugin.into(), source };
    let mut foreign = Vec::new();
    for payload in Parser::new(0).parse_all(module) {
        let Payload::ImportSection(imports) = payload.map_err(malformed)? else { continue };
        for import in imports.into_imports() {
            let import = import.map_err(malformed)?;
            if !import.module.contains([':', '[', '$', '|']) {
                foreign.push(format!("{}.{}", import.module, import.name));
            }
        }
    }
    Ok(foreign)
}

/// Checks the versions and names of all that a component imports and exports, and tells its contract and kind.
///
/// # Errors
/// Names everything that is outside the contract, or the versions that do not fit.
pub(super) fn check(plugin: &str, component: &[u8]) -> Result<Checked, PluginError> {
    let surface =
        Surface::of(component).map_err(|source| PluginError::Malformed { plugin: plugin.into(), source })?;
    let contract = the_contract(plugin, surface.imports.iter().chain(&surface.exports))?;
    refuse_foreign(plugin, foreign(&surface.imports).map(str::to_owned).collect())?;
    Ok(Checked { contract, kind: kind(plugin, contract, surface.exports)? })
}

/// Whether a component imports any of the empty WASI.
pub(super) fn needs_wasi(component: &[u8]) -> bool {
    Surface::lenient(component).imports.iter().any(|name| wasi::has(name))
}

/// The names at a component's own level.
#[derive(Debug, Default)]
pub(super) struct Surface {
    pub(super) imports: Vec<String>,
    pub(super) exports: Vec<String>,
}

impl Surface {
    /// What can be told of any file: of a component, of the one that a module would become, or of the module as it
    /// is. Nothing of what is neither.
    pub(super) fn lenient(bytes: &[u8]) -> Self {
        if Parser::is_core_wasm(bytes) {
            return encode("", bytes).ok().and_then(|component| Self::of(&component).ok()).unwrap_or_else(
                || {
                    let mut surface = Self::default();
                    // What is before the mistake is told.
                    let _ = surface.read_module(bytes);
                    surface
                },
            );
        }
        let mut surface = Self::default();
        let _ = surface.read(bytes);
        surface
    }

    fn of(component: &[u8]) -> Result<Self, wasmparser::BinaryReaderError> {
        let mut surface = Self::default();
        surface.read(component)?;
        Ok(surface)
    }

    fn read(&mut self, component: &[u8]) -> Result<(), wasmparser::BinaryReaderError> {
        let mut depth = 0;
        for payload in Parser::new(0).parse_all(component) {
            match payload? {
                Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
                Payload::End(_) => depth -= 1,
                Payload::ComponentImportSection(imports) if depth == 0 => {
                    for import in imports {
                        self.imports.push(import?.name.name.to_owned());
                    }
                }
                Payload::ComponentExportSection(exports) if depth == 0 => {
                    for export in exports {
                        self.exports.push(export?.name.name.to_owned());
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Interfaces once each, other imports as `module.name`.
    fn read_module(&mut self, module: &[u8]) -> Result<(), wasmparser::BinaryReaderError> {
        for payload in Parser::new(0).parse_all(module) {
            match payload? {
                Payload::ImportSection(imports) => {
                    for import in imports.into_imports() {
                        let import = import?;
                        let name = match import.module.contains(':') {
                            true => import.module.to_owned(),
                            false => format!("{}.{}", import.module, import.name),
                        };
                        if !self.imports.contains(&name) {
                            self.imports.push(name);
                        }
                    }
                }
                Payload::ExportSection(exports) => {
                    for export in exports {
                        self.exports.push(export?.name.to_owned());
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Those of a component's imports that are not in the contract.
pub(super) fn foreign(imports: &[String]) -> impl Iterator<Item = &str> {
    imports.iter().map(String::as_str).filter(|name| !is_offered(name) && !wasi::has(name))
}

/// Whether an import is one of the contract that it names.
fn is_offered(import: &str) -> bool {
    let Some((interface, version)) = import.strip_prefix(PACKAGE).and_then(|name| name.split_once('@'))
    else {
        return false;
    };
    Contract::of(version).is_some_and(|contract| contract.imports().contains(&interface))
}

/// The versions of the contract that these names are of, each once.
pub(super) fn versions<'a>(names: impl IntoIterator<Item = &'a String>) -> Vec<String> {
    let mut versions: Vec<_> = names
        .into_iter()
        .filter_map(|name| name.strip_prefix(PACKAGE)?.split_once('@'))
        .map(|(_, version)| version.split('#').next().unwrap_or(version).to_owned())
        .collect();
    versions.sort();
    versions.dedup();
    versions
}

/// `filter` of `sluice:plugin/filter@0.1.0`.
pub(super) fn interface(name: &str) -> Option<&str> {
    let name = name.strip_prefix(PACKAGE)?;
    Some(name.split_once('@').map_or(name, |(interface, _)| interface))
}

/// The one version that all these names are of, as far as they are of the contract; the newest where none is.
fn the_contract<'a>(
    plugin: &str,
    names: impl IntoIterator<Item = &'a String>,
) -> Result<Contract, PluginError> {
    let mut found = None;
    for version in versions(names) {
        let unknown = || PluginError::Version { plugin: plugin.into(), theirs: tidy(version.clone()) };
        let contract = Contract::of(&version).ok_or_else(unknown)?;
        if found.replace(contract).is_some_and(|other| other != contract) {
            return Err(PluginError::MixedVersions { plugin: plugin.into() });
        }
    }
    Ok(found.unwrap_or(Contract::V1))
}

/// The part of a version that must be equal for two to be compatible: `1` of 1.4.2, `0.1` of 0.1.7, all of a
/// pre-release.
fn track(version: &str) -> &str {
    if version.contains(['-', '+']) {
        return version;
    }
    let parts = if version.starts_with("0.") { 2 } else { 1 };
    version.match_indices('.').nth(parts - 1).map_or(version, |(end, _)| &version[..end])
}

fn refuse_foreign(plugin: &str, imports: Vec<String>) -> Result<(), PluginError> {
    if imports.is_empty() {
        return Ok(());
    }
    let plugin = plugin.into();
    if imports.iter().any(|name| name.starts_with("wasi")) {
        return Err(PluginError::Wasi { plugin, imports });
    }
    Err(PluginError::Imports { plugin, imports })
}

fn kind(plugin: &str, contract: Contract, exports: Vec<String>) -> Result<Kind, PluginError> {
    let has = |wanted: &str| exports.iter().any(|name| interface(name) == Some(wanted));
    let mut kinds = contract.kinds().iter().filter(|kind| has(kind.interface()));
    match (kinds.next(), kinds.next(), has("lifecycle")) {
        (Some(kind), None, true) => Ok(*kind),
        (Some(first), Some(second), _) => {
            Err(PluginError::ManyKinds { plugin: plugin.into(), kinds: [*first, *second] })
        }
        (Some(_), None, false) => Err(PluginError::NoLifecycle { plugin: plugin.into() }),
        (None, ..) => Err(PluginError::NoKind { plugin: plugin.into(), exports }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compatible_versions_share_a_track() {
        assert_eq!(track("0.1.0"), "0.1");
        assert_eq!(track("0.1.9"), "0.1");
        assert_eq!(track("1.4.2"), "1");
        assert_eq!(track("0.2.0-rc.1"), "0.2.0-rc.1");
    }

    #[test]
    fn interface_is_named_without_package_and_version() {
        assert_eq!(interface("sluice:plugin/filter@0.1.0"), Some("filter"));
        assert_eq!(interface("wasi:io/poll@0.2.0"), None);
    }
}
