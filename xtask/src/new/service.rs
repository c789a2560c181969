//! What a service takes.

use anyhow::Result;

use crate::new::names::Name;
use crate::new::plan::{Plan, add_to_braces};
use crate::project::Project;

/// Everything for a service that exports an interface of its own, and a client that asks it.
pub fn plan<'a>(project: &'a Project, name: &Name) -> Result<Plan<'a>> {
    let mut plan = Plan::new(project, name);
    let sdk: &[(&str, &[&str])] = &[("dependencies", &["sdk"])];
    let program = "tier = \"S\"\nguest = true";
    plan.make_package("services/system/@name@", "The service @name@", program, sdk)?;
    plan.make(
        "services/system/@name@/src/main.rs",
        include_str!("templates/service/main.rs.in"),
    )?;
    plan.make(
        "services/system/@name@/src/service.rs",
        include_str!("templates/service/service.rs.in"),
    )?;
    interface(
        &mut plan,
        name,
        include_str!("templates/service/schema.capnp.in"),
    )?;
    let templates = Smoke {
        client: include_str!("templates/service/client.rs.in"),
        manifest: include_str!("templates/service/manifest.capnp.in"),
        case: include_str!("templates/service/case.rs.in"),
        snapshot: include_str!("templates/service/snapshot.snap.in"),
    };
    smoke(&mut plan, name, &templates)?;
    plan.insert(
        "docs/ARCHITECTURE.md",
        |line| line.starts_with("| `services/system/") && !line.contains("`services/smoke/"),
        "| `services/system/@name@` | what it serves as `@Type@` | does what its grants do not say |",
    )?;
    Ok(plan)
}

/// A schema file, and the places that list interfaces.
pub fn interface(plan: &mut Plan<'_>, name: &Name, schema: &str) -> Result<()> {
    plan.make_schema("schema/@file@.capnp", schema, &name.id("schema"))?;
    let module = name.snake();
    plan.change("crates/user/sdk/src/lib.rs", |text| {
        add_to_braces(text, "pub use schema::{", &module)
    })?;
    plan.insert(
        "docs/SUMMARY.md",
        |line| line.starts_with("- [Interfaces: "),
        "- [Interfaces: @name@](reference/@file@.md)",
    )
}

/// The templates of a smoke.
pub struct Smoke {
    /// The program that asks.
    pub client: &'static str,
    /// The system.
    pub manifest: &'static str,
    /// The case.
    pub case: &'static str,
    /// What the case says, as it was read when the template was written.
    pub snapshot: &'static str,
}

/// The program that asks, and the smoke around it.
pub fn smoke(plan: &mut Plan<'_>, name: &Name, templates: &Smoke) -> Result<()> {
    plan.make_package(
        "services/smoke/@name@-client",
        "What the smoke @name@ asks",
        "tier = \"S\"\nguest = true",
        &[("dependencies", &["sdk"])],
    )?;
    plan.make("services/smoke/@name@-client/src/main.rs", templates.client)?;
    plan.make_schema(
        "manifests/smoke/@name@.capnp",
        templates.manifest,
        &name.id("manifest"),
    )?;
    plan.make("xtask/src/smoke/cases/@file@.rs", templates.case)?;
    plan.make("snapshots/@name@.snap", templates.snapshot)?;
    plan.insert(
        "xtask/src/smoke/cases/mod.rs",
        |line| line.starts_with("mod ") && line.ends_with(';'),
        "mod @file@;",
    )
}
