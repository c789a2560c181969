//! `cargo xtask new-service` and `new-driver`: everything that a service or a driver takes, in every place.
//!
//! What they make builds, boots and has a smoke that passes; the author changes it from there. Invariant: never writes
//! anything unless all of it can be written: no name that is taken, no list whose place is not found.

mod driver;
mod names;
mod plan;
mod service;
pub mod trial;

use anyhow::Result;
use clap::Args;

use crate::codegen::{self, Mode};
use crate::project::Project;
use names::Name;
use plan::Plan;

/// What `cargo xtask new-service` takes.
#[derive(Args, Debug)]
pub struct ServiceArgs {
    /// Its name: lower-case letters, digits and single dashes
    name: String,
}

/// What `cargo xtask new-driver` takes.
#[derive(Args, Debug)]
pub struct DriverArgs {
    /// Its name: lower-case letters, digits and single dashes
    name: String,
    /// For a virtio device: what all of those have in common is there already
    #[arg(long)]
    virtio: bool,
}

/// Makes a service with an interface of its own, a client and a smoke. `ready` makes sure of what that takes, before anything is
/// written.
pub fn service(
    project: &Project,
    args: &ServiceArgs,
    ready: impl FnOnce() -> Result<()>,
) -> Result<()> {
    let name = Name::new(project, &args.name, &["-client"])?;
    let plan = service::plan(project, &name)?;
    ready()?;
    finish(project, &name, plan)
}

/// Makes a broker, its provider with an interface of its own, a client and a smoke; `ready` as for [`service()`].
pub fn driver(
    project: &Project,
    args: &DriverArgs,
    ready: impl FnOnce() -> Result<()>,
) -> Result<()> {
    let name = Name::new(project, &args.name, &["-client", "-provider"])?;
    let kind = if args.virtio {
        driver::Kind::Virtio
    } else {
        driver::Kind::Registers
    };
    let plan = driver::plan(project, &name, kind)?;
    ready()?;
    finish(project, &name, plan)
}

/// Writes everything, and what follows from the new interface.
fn finish(project: &Project, name: &Name, plan: Plan<'_>) -> Result<()> {
    let written = plan.write()?;
    codegen::run(&project.root, Mode::Write)?;
    for path in &written {
        println!("{path}");
    }
    let kebab = name.kebab();
    println!("\nIt builds, boots and is asked by a smoke:");
    println!("  cargo xtask smoke {kebab}");
    println!("  cargo test {}", plan::tests(&written));
    println!(
        "Then: say in CHANGELOG.md what it is, put its row into docs/rows.toml, and read what the guide says about\n\
         sabotages (docs/guide/evidence.md). The interface's numbers are in schema/numbers.txt now; they stay."
    );
    Ok(())
}
