//! Plugins: loads a WebAssembly component, checks it against the contract, configures it once, calls it.
