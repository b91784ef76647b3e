use std::{fs, path::PathBuf};

use sluice_tests::{gateway::Setup, webhook::SIGNING_SECRET};

/// Their plugins take a toolchain of their own; see `languages`.
const IN_OTHER_LANGUAGES: [&str; 2] = ["javascript", "python"];

/// `sluice check` does all that `run` does short of listening: the plugins are loaded and configured too.
#[test]
fn every_example_loads() {
    let mut checked = 0;
    for dir in examples() {
        let config = dir.join("sluice.toml");
        if !config.exists() || IN_OTHER_LANGUAGES.iter().any(|language| dir.ends_with(language)) {
            continue;
        }
        let setup = Setup::new()
            .env("SHOPIFY_SECRET", "hush")
            .env("STRIPE_SECRET", "whsec_new")
            .env("STRIPE_SECRET_OLD", "whsec_old")
            .env("BILLING_SIGNING_SECRET", SIGNING_SECRET);
        let output = setup.run(&["check", "--config", config.to_str().unwrap()]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}:\n{said}", config.display());
        assert!(dir.join("README.md").exists(), "{} has no README", dir.display());
        checked += 1;
    }
    assert!(checked >= 4, "only {checked} examples");
}

fn examples() -> Vec<PathBuf> {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../examples");
    fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect()
}
