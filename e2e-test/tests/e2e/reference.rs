//! The reference is what the programs say of themselves.

use std::{fs, process::Command};

use crate::harness::program;

#[test]
fn the_reference_of_commands_and_flags_is_not_stale() {
    let directory = tempfile::tempdir().unwrap();
    let committed = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/reference");
    for name in ["server", "daemon", "hamctl", "artifact"] {
        let written = Command::new(program(name)).arg("manual").arg(directory.path()).status().unwrap();
        assert!(written.success(), "{name} manual");
        let page = format!("{name}.md");
        let read =
            |directory: &std::path::Path| fs::read_to_string(directory.join(&page)).unwrap_or_default();
        assert!(
            read(directory.path()) == read(committed.as_ref()),
            "docs/reference/{page} is stale: run 'make docs'"
        );
    }
}
