//! The tables of firmware that list units, read.

use alloc::vec::Vec;

use acpi_tables::{Dmar, Ivrs, TableError, Viot};
use iommu_format::{FirmwareTables, Record};
use pci_format::BusNumbers;

use crate::acpi::{Machine, state_refused};

/// A table as its reader found it, where there is one.
fn parsed<'a, T>(
    copied: &'a Option<Result<Vec<u8>, TableError>>,
    parse: impl FnOnce(&'a [u8]) -> Result<T, TableError>,
) -> Option<Result<T, TableError>> {
    Some(match copied.as_ref()? {
        Ok(bytes) => parse(bytes).inspect_err(state_refused),
        Err(error) => Err(*error),
    })
}

/// What the firmware's tables say of units.
pub(super) fn read(machine: &Machine, bridges: &[BusNumbers]) -> Record {
    let dmar = parsed(&machine.dmar, Dmar::parse);
    let ivrs = parsed(&machine.ivrs, Ivrs::parse);
    let viot = parsed(&machine.viot, Viot::parse);
    Record::new(FirmwareTables { dmar, ivrs, viot }, bridges)
}
