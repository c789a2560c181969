//! The supervisor: starts, watches and restarts the services of a manifest.
//!
//! Owns the endpoint of every service, the facets of its exports, and the claims on its devices between two incarnations.
//! Invariant: it never gives a service what its manifest does not name, and never starts anything unless the whole manifest
//! passed every rule.
//!
//! Facts: `manifest.refused`, `init.started`, `service.started`, `service.failed`, `service.ended`, `service.given-up`,
//! `init.halting`.
#![no_std]
#![cfg_attr(not(test), no_main)]

mod supervisor;

use sdk::{
    Access, BootPackage, Env, Error, Refusal, SystemControl, Window, alloc,
    alloc::{
        string::{String, ToString},
        vec::Vec,
    },
    fact,
};

use manifest::Manifest;
use supervisor::{Supervisor, Tools};

sdk::entry!(main);

/// Exit code of a system whose manifest was refused.
const MANIFEST_REFUSED: u8 = 3;
/// Exit code of a system that could not be supervised.
const CANNOT_SUPERVISE: u8 = 4;

fn main(env: &Env) -> Result<(), Error> {
    let control: SystemControl = env.get("systemControl")?;
    let manifest = match read_manifest(&env.get("bootPackage")?) {
        Ok(manifest) => manifest,
        Err(reason) => {
            fact!("manifest.refused", reason = reason.as_str());
            tell(format_args!("the manifest is refused: {reason}"));
            return Ok(control.halt(MANIFEST_REFUSED)?);
        }
    };
    let tools = Tools {
        spawner: env.get("processSpawner")?,
        endpoints: env.get("endpointFactory")?,
        devices: env.get("deviceRegistry").ok(),
        timer: env.get("timer")?,
        control,
    };
    let (doing, refusal) = match Supervisor::new(env, tools, manifest) {
        Ok(supervisor) => ("halting", supervisor.run()),
        Err(error) => error,
    };
    fact!("init.failed", doing = doing, reason = refusal.name());
    let control: SystemControl = env.get("systemControl")?;
    Ok(control.halt(CANNOT_SUPERVISE)?)
}

/// Tells a person at the serial line, where facts may be switched off.
fn tell(text: core::fmt::Arguments<'_>) {
    sdk::print!("\r\ninit: {text}\r\n");
}

/// Reads the manifest from the boot package and checks it against the images there.
fn read_manifest(package: &BootPackage) -> Result<Manifest, String> {
    let refused = |what: &'static str| move |r: Refusal| alloc::format!("{what}: {r}");
    let images = package
        .images(|results| {
            let names = results.names()?;
            names
                .iter()
                .map(|name| name.map(ToString::to_string))
                .collect::<Result<Vec<String>, Refusal>>()
        })
        .and_then(|names| names)
        .map_err(refused("boot package"))?;
    let results = package.manifest().map_err(refused("boot package"))?;
    let bytes = usize::try_from(results.bytes).unwrap_or(usize::MAX);
    if bytes > manifest::MAX_BYTES {
        return Err(manifest::Error::TooLarge { bytes }.to_string());
    }
    let mut copy = alloc::vec![0; bytes];
    if bytes > 0 {
        Window::map(results.memory, bytes as u64, Access::Read)
            .and_then(|window| window.read(0, &mut copy))
            .map_err(refused("reading the manifest"))?;
    }
    manifest::check(&copy, &images).map_err(|error| error.to_string())
}
