//! The contract's text: what was released stays as it was, and what comes after it is compatible.

use std::{fs, path::PathBuf};

use sha2::{Digest, Sha256};
use wit_parser::{PackageId, Resolve, WorldId};

/// Every version that was released: where the newest of its track is, and the SHA-256 of the text as it was released,
/// which `tests/fixtures/contracts/sluice-VERSION.wit` has.
const RELEASED: [(&str, &str, &str); 1] =
    [("0.1.0", "v0.1", "1fcc5b9aeaa2d96056e28f4fa3d8804edd4fa6915aaa6be7f02cf88d139cfd8b")];

#[test]
fn what_was_released_is_frozen() {
    for (version, track, digest) in RELEASED {
        let (released, newest) = (released(version), newest(track));
        assert_eq!(hex::encode(Sha256::digest(&released)), digest, "sluice-{version}.wit");
        assert!(released.contains(&package(version)), "sluice-{version}.wit is of another version");
        let is_changed = newest != released;
        assert!(
            !(is_changed && newest.contains(&package(version))),
            "{track} has changed since {version} was released: give it a version of its own"
        );
    }
}

#[test]
fn every_release_is_listed() {
    let files = fs::read_dir(fixtures()).unwrap().map(|entry| entry.unwrap().file_name());
    let texts = files.filter(|name| name.to_str().is_some_and(|name| name.ends_with(".wit")));
    assert_eq!(texts.count(), RELEASED.len());
}

#[test]
fn newest_of_a_track_is_compatible_with_all_that_were_released() {
    for (version, track, _) in RELEASED {
        if let Err(why) = compatible(&released(version), &newest(track)) {
            panic!("{track} is not compatible with {version}: {why:#}");
        }
    }
}

/// By the very check above: what it lets through, and what not.
#[test]
fn additions_are_compatible_and_changes_are_not() {
    let v1 = newest("v1");
    let with = |before: &str, after: &str| {
        assert!(v1.contains(before), "{before}");
        v1.replacen(before, after, 1)
    };
    let method =
        with("        id: func() -> string;", "        id: func() -> string;\n        size: func() -> u64;");
    let interface = with(
        "world verify-plugin {",
        "interface more { now: func() -> u64; }\nworld verify-plugin {\n    import more;",
    );
    for added in [&v1, &method, &interface] {
        compatible(&v1, added).unwrap();
    }
    for changed in [
        with("        attempt: func() -> u32;", ""),
        with("        attempt: func() -> u32;", "        attempt: func() -> u64;"),
        with(
            "        body: list<u8>,\n        /// Which",
            "        body: list<u8>,\n        urgent: bool,\n        /// Which",
        ),
        with("        keep,\n", "        keep,\n        later,\n"),
        with("        config(string),\n", ""),
        with("    import kv;\n", ""),
    ] {
        assert!(compatible(&v1, &changed).is_err(), "{changed}");
    }
}

/// Whether a plugin of the `released` contract fits a gateway of the `newest`, world by world.
fn compatible(released: &str, newest: &str) -> anyhow::Result<()> {
    let mut resolve = Resolve::default();
    let old = resolve.push_source("released.wit", &renamed(released, "0.0.1"))?;
    let new = resolve.push_source("newest.wit", &renamed(newest, "0.0.2"))?;
    for (name, world) in worlds(&resolve, old) {
        let (_, successor) = worlds(&resolve, new)
            .find(|(other, _)| *other == name)
            .ok_or_else(|| anyhow::anyhow!("world `{name}` is gone"))?;
        wit_component::semver_check(resolve.clone(), world, successor)
            .map_err(|why| why.context(format!("world `{name}`")))?;
    }
    Ok(())
}

fn worlds(resolve: &Resolve, package: PackageId) -> impl Iterator<Item = (&str, WorldId)> {
    resolve.packages[package].worlds.iter().map(|(name, world)| (name.as_str(), *world))
}

/// Two packages of one name and version cannot be looked at together.
fn renamed(wit: &str, version: &str) -> String {
    let (before, rest) = wit.split_once("package sluice:plugin@").unwrap();
    let (_, after) = rest.split_once(';').unwrap();
    format!("{before}package sluice:plugin@{version};{after}")
}

fn package(version: &str) -> String {
    format!("\npackage sluice:plugin@{version};\n")
}

fn released(version: &str) -> String {
    fs::read_to_string(fixtures().join(format!("sluice-{version}.wit"))).unwrap()
}

fn newest(track: &str) -> String {
    fs::read_to_string(root().join(format!("plugin-sdk/wit/{track}/sluice.wit"))).unwrap()
}

fn fixtures() -> PathBuf {
    root().join("tests/fixtures/contracts")
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}
