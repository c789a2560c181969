//! Whether the drivers that a manifest lists are those that the kernel would have: asked before anything is built.
//!
//! A difference stops every boot. Here it takes seconds to find, by the kernel's own table and rule, built for the host.
//! Invariant: never decides by anything but that rule.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::build::{hint, say_if_host_builds};
use crate::manifests::compile_manifest;
use crate::project::{Project, is_ci};

/// Compares the table with the lists of `manifests`. Those that are there to be refused say so in the guest.
pub fn check(project: &Project, manifests: &[&str]) -> Result<()> {
    let mut lists = BTreeSet::new();
    for name in manifests.iter().filter(|name| !name.starts_with("bad/")) {
        if let Ok(manifest) = manifest::read(&compile_manifest(project, name)?) {
            lists.insert((manifest.drivers, *name));
        }
    }
    let mut last = None;
    for (list, name) in &lists {
        if last != Some(list) {
            compare(project, list, name)?;
        }
        last = Some(list);
    }
    Ok(())
}

fn compare(project: &Project, listed: &[String], manifest: &str) -> Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .current_dir(&project.root)
        .args(["run", "--quiet", "--package", "driver-table"]);
    if is_ci() {
        command.arg("--locked");
    }
    say_if_host_builds(project);
    let output = command
        .arg("--")
        .args(listed)
        .stdin(Stdio::null())
        .output()
        .context("cannot start cargo")?;
    // Cargo's own failures have other codes: then nothing was compared.
    if !matches!(output.status.code(), Some(0 | 1)) {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!(
            "{}\nthe kernel's drivers do not build on this machine, where their tests run{}",
            said.trim(),
            hint(&said)
        );
    }
    if !output.status.success() {
        bail!(
            "manifest {manifest}: {}\n(the kernel's drivers stand in crates/kernel/driver-table, the list that most manifests \
             use in manifests/common/drivers.capnp)",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(())
}
