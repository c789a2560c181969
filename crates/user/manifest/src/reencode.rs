//! Finds data that this version's schema does not account for.
//!
//! A message from a newer schema may carry fields, or union members' leftovers, that a reader of this version skips without
//! a sign. Authority must not be decided by a file that is only half understood. So every known field is written into a fresh
//! message, and the two must be equal in canonical form: what differs is what was skipped. A field that is added to the
//! schema and forgotten here makes every manifest that uses it refused, never misread.

use capnp::message::Builder;
use schema::manifest_capnp::{export, grant, limits, manifest, service};

use crate::{
    Error,
    decode::{encoding, reader},
};

/// Checks that the message in `segment` holds known data only.
///
/// # Errors
/// [`Error::UnknownData`], or [`Error::Malformed`] where a pointer is bad.
pub(crate) fn check_known(segment: &[u8]) -> Result<(), Error> {
    let mut fresh = Builder::new_default();
    {
        let segments = [segment];
        let given = reader(&segments);
        let root = given.get_root::<manifest::Reader<'_>>().map_err(encoding)?;
        copy_manifest(root, fresh.init_root()).map_err(encoding)?;
    }
    // A reader of its own: each one has a fresh traversal limit.
    let segments = [segment];
    let given = reader(&segments).canonicalize().map_err(encoding)?;
    let known = fresh.into_reader().canonicalize().map_err(encoding)?;
    if given == known {
        Ok(())
    } else {
        Err(Error::UnknownData)
    }
}

fn copy_manifest(from: manifest::Reader<'_>, mut to: manifest::Builder<'_>) -> capnp::Result<()> {
    to.set_version(from.get_version());
    if from.has_name() {
        to.set_name(from.get_name()?);
    }
    if from.has_services() {
        let list = from.get_services()?;
        let mut copy = to.reborrow().init_services(list.len());
        for (idx, entry) in (0..).zip(list.iter()) {
            copy_service(entry, copy.reborrow().get(idx))?;
        }
    }
    if from.has_exit_with() {
        to.set_exit_with(from.get_exit_with()?);
    }
    to.set_dma(from.get_dma()?);
    if from.has_drivers() {
        to.set_drivers(from.get_drivers()?)?;
    }
    if from.has_trusted_groups() {
        to.set_trusted_groups(from.get_trusted_groups()?)?;
    }
    Ok(())
}

fn copy_service(from: service::Reader<'_>, mut to: service::Builder<'_>) -> capnp::Result<()> {
    if from.has_name() {
        to.set_name(from.get_name()?);
    }
    if from.has_binary() {
        to.set_binary(from.get_binary()?);
    }
    if from.has_arguments() {
        to.set_arguments(from.get_arguments()?)?;
    }
    if from.has_grants() {
        let list = from.get_grants()?;
        let mut copy = to.reborrow().init_grants(list.len());
        for (idx, entry) in (0..).zip(list.iter()) {
            copy_grant(entry, copy.reborrow().get(idx))?;
        }
    }
    if from.has_exports() {
        let list = from.get_exports()?;
        let mut copy = to.reborrow().init_exports(list.len());
        for (idx, entry) in (0..).zip(list.iter()) {
            copy_export(entry, copy.reborrow().get(idx))?;
        }
    }
    to.set_restart(from.get_restart()?);
    to.set_priority(from.get_priority());
    if from.has_limits() {
        copy_limits(from.get_limits()?, to.reborrow().init_limits());
    }
    to.set_max_restarts(from.get_max_restarts());
    to.set_critical(from.get_critical());
    to.set_fpu(from.get_fpu());
    to.set_distrusting(from.get_distrusting());
    to.set_stack_pages(from.get_stack_pages());
    to.set_area_pages(from.get_area_pages());
    Ok(())
}

fn copy_limits(from: limits::Reader<'_>, mut to: limits::Builder<'_>) {
    to.set_memory_pages(from.get_memory_pages());
    to.set_handles(from.get_handles());
    to.set_threads(from.get_threads());
    to.set_endpoints(from.get_endpoints());
    to.set_facets(from.get_facets());
    to.set_cpu_per_mille(from.get_cpu_per_mille());
}

fn copy_export(from: export::Reader<'_>, mut to: export::Builder<'_>) -> capnp::Result<()> {
    if from.has_name() {
        to.set_name(from.get_name()?);
    }
    if from.has_interface() {
        to.set_interface(from.get_interface()?);
    }
    Ok(())
}

fn copy_grant(from: grant::Reader<'_>, mut to: grant::Builder<'_>) -> capnp::Result<()> {
    if from.has_name() {
        to.set_name(from.get_name()?);
    }
    match from.which()? {
        grant::Which::Kernel(source) => to.set_kernel(source?),
        grant::Which::Export(source) => {
            let source = source?;
            let mut copy = to.init_export();
            if source.has_service() {
                copy.set_service(source.get_service()?);
            }
            if source.has_export() {
                copy.set_export(source.get_export()?);
            }
        }
        grant::Which::Device(source) => {
            let source = source?;
            let mut copy = to.init_device();
            if source.has_driver() {
                copy.set_driver(source.get_driver()?);
            }
            copy.set_nth(source.get_nth());
            copy.set_optional(source.get_optional());
        }
        grant::Which::Endpoint(()) => to.set_endpoint(()),
    }
    Ok(())
}
