//! Looks into a plugin's file without running any of it.

use serde::Serialize;
use wasmparser::{Parser, Payload};
use wasmtime::Engine;

use super::{
    contract::{self, Kind, Surface},
    wasi,
};

/// What a plugin's file is, as far as it can be read: of one that is broken in the middle, what is before that.
#[derive(Debug, Default, Serialize)]
pub struct Inspection {
    pub form: Form,
    /// The kinds that it exports; a plugin has exactly one.
    pub kinds: Vec<&'static str>,
    /// The versions of `sluice:plugin` that it names.
    pub contracts: Vec<String>,
    /// Interfaces where it is a component or can be made one, else the imports of the core module.
    pub imports: Vec<String>,
    /// Those among the imports that are WASI's, and there: without files, network, arguments and environment.
    pub wasi_imports: Vec<String>,
    /// Those among the imports that this gateway does not have.
    pub foreign_imports: Vec<String>,
    pub exports: Vec<String>,
    /// Its functions, in bytes; data and names are not among them.
    pub code: u64,
    /// Linear memory of a fresh instance, in bytes.
    pub memory: u64,
}

/// What kind of file it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    Component,
    /// A core module, which the gateway makes a component of if it carries its contract.
    Module,
    /// Machine code; the gateway takes none.
    Precompiled,
    #[default]
    Unknown,
}

impl Inspection {
    /// Reads the bytes of a file.
    pub fn of(bytes: &[u8]) -> Self {
        let form = Form::of(bytes);
        let surface = Surface::lenient(bytes);
        let kinds = Kind::ALL.into_iter().map(Kind::interface);
        let (code, memory) = sizes(bytes);
        Self {
            form,
            kinds: kinds.filter(|kind| exports(&surface, kind)).collect(),
            contracts: contract::versions(surface.imports.iter().chain(&surface.exports)),
            foreign_imports: contract::foreign(&surface.imports).map(str::to_owned).collect(),
            wasi_imports: surface.imports.iter().filter(|name| wasi::has(name)).cloned().collect(),
            imports: surface.imports,
            exports: surface.exports,
            code,
            memory,
        }
    }
}

impl Inspection {
    /// What it imports that a config has to grant. Whether it calls it nobody can tell: some languages import all of
    /// the contract.
    pub fn grants(&self) -> Vec<&'static str> {
        let imports = |name| self.imports.iter().any(|import| contract::interface(import) == Some(name));
        ["kv", "http"].into_iter().filter(|name| imports(name)).collect()
    }
}

fn exports(surface: &Surface, kind: &str) -> bool {
    surface.exports.iter().any(|name| contract::interface(name) == Some(kind))
}

impl Form {
    fn of(bytes: &[u8]) -> Self {
        if Engine::detect_precompiled(bytes).is_some() {
            Self::Precompiled
        } else if Parser::is_component(bytes) {
            Self::Component
        } else if Parser::is_core_wasm(bytes) {
            Self::Module
        } else {
            Self::Unknown
        }
    }
}

/// The size of all functions in a file, in bytes.
pub(super) fn code(bytes: &[u8]) -> u64 {
    sizes(bytes).0
}

/// Code and memory of all modules in a file.
fn sizes(bytes: &[u8]) -> (u64, u64) {
    let (mut code, mut memory) = (0, 0_u64);
    for payload in Parser::new(0).parse_all(bytes).map_while(Result::ok) {
        match payload {
            Payload::CodeSectionStart { size, .. } => code += u64::from(size),
            Payload::MemorySection(memories) => {
                for declared in memories.into_iter().map_while(Result::ok) {
                    let page = 1_u64.checked_shl(declared.page_size_log2.unwrap_or(16)).unwrap_or(u64::MAX);
                    memory = memory.saturating_add(declared.initial.saturating_mul(page));
                }
            }
            _ => {}
        }
    }
    (code, memory)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::fixtures::{self, Wat};

    #[test]
    fn a_plugin_is_what_it_exports() {
        let inspection = Inspection::of(&fixtures::filter("(call $ok)"));
        assert_eq!((inspection.form, &inspection.kinds[..]), (Form::Module, &["filter"][..]));
        assert_eq!(inspection.contracts, [super::super::bindings::VERSION]);
        assert_eq!(inspection.memory, 3 << 16);
        assert!(inspection.code > 0 && inspection.foreign_imports.is_empty(), "{inspection:?}");
        assert!(
            inspection.imports.iter().any(|name| name.starts_with("sluice:plugin/host@")),
            "{inspection:?}"
        );
    }

    #[test]
    fn what_would_be_refused_is_told_all_the_same() {
        let other = Wat { version: "9.0.0", ..Wat::default() }.module();
        assert_eq!(Inspection::of(&other).contracts, ["9.0.0"]);
        let files = Wat { fields: "", ..Wat::default() };
        let files = Wat { fields: r#"(import "env" "open" (func))"#, ..files }.module();
        assert_eq!(Inspection::of(&files).foreign_imports, ["env.open"]);
        assert_eq!(Inspection::of(b"no wasm").form, Form::Unknown);
        assert_eq!(Inspection::of(b"").form, Form::Unknown);
    }

    #[test]
    fn a_file_that_is_cut_off_is_read_up_to_there() {
        let whole = fixtures::filter("(call $ok)");
        for cut in 0..whole.len() {
            Inspection::of(&whole[..cut]);
        }
        assert_eq!(Inspection::of(&whole[..whole.len() / 2]).form, Form::Module);
    }
}
