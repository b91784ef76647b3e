use std::collections::BTreeSet;

use super::{page::anchor, *};

#[test]
fn the_page_is_that_of_the_contract() {
    check().unwrap();
}

#[test]
fn links_lead_to_headings() {
    let page = page().unwrap();
    let headings: BTreeSet<_> = page
        .lines()
        .filter_map(|line| line.strip_prefix('#'))
        .map(|text| anchor(&text.replace("# ", "")))
        .collect();
    let links: Vec<_> = page.split("](#").skip(1).filter_map(|rest| rest.split(')').next()).collect();
    assert!(links.len() > 50, "{links:?}");
    for link in links {
        assert!(
            headings.iter().any(|heading| heading.trim_start_matches(['#', '-']) == link),
            "{link}: {headings:?}"
        );
    }
}

#[test]
fn types_are_written_as_the_contract_writes_them() {
    let page = page_of(
        "package a:b@1.0.0;
        /// Things.
        interface things {
            resource thing {
                /// Its parts.
                parts: func(of: string) -> result<list<tuple<string, option<part>>>, string>;
            }
            record part { size: u32 }
            use-it: func(t: borrow<thing>);
        }
        world plugin { import things; }",
    )
    .unwrap();
    for line in [
        "# The contract, `a:b@1.0.0`",
        "| `plugin` |  | [`things`](#things) |",
        "- `parts: func(of: string) -> result<list<tuple<string, option<part>>>, string>` ([`things/part`](#thingspart))\\",
        "  Its parts.",
        "| `size: u32` | |",
        "- `use-it: func(t: borrow<thing>)` ([`things/thing`](#thingsthing))",
    ] {
        assert!(page.lines().any(|there| there == line), "{line}\n{page}");
    }
}
