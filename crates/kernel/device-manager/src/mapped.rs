//! The registers that the kernel maps of a function when it is first claimed, and keeps.

use driver_core::Registers;
use pci::MsixTable;
use pci_format::{Msix, MsixRegion};
use ring_abi::Refusal;

use crate::Platform;
use crate::hardware::Hardware;

/// The most of a BAR that the kernel maps for a broker: registers lie at its start, what follows is a device's memory.
const MAX_MAPPED_BYTES: u64 = 16 << 20;

/// The memory BARs, and the MSI-X table, which is nobody's but the kernel's.
pub(crate) struct Mapped {
    bars: [Option<Registers>; 6],
    table: Option<MsixTable>,
}

impl Mapped {
    pub(crate) const fn new() -> Self {
        Self {
            bars: [const { None }; 6],
            table: None,
        }
    }

    /// Maps what is not mapped yet.
    ///
    /// # Errors
    /// `NoMemory`; `DeviceError` for a table outside its BAR.
    pub(crate) fn map<P: Platform>(
        &mut self,
        platform: &P,
        hardware: &Hardware,
    ) -> Result<(), Refusal> {
        for bar in hardware.bars.iter() {
            let Some(entry) = self.bars.get_mut(usize::from(bar.index)) else {
                continue;
            };
            if entry.is_some() || !bar.is_memory() || !bar.is_assigned() {
                continue;
            }
            let bytes = bar.size_bytes.min(MAX_MAPPED_BYTES);
            let registers = platform.registers(bar.address, bytes);
            *entry = Some(registers.ok_or(Refusal::NoMemory)?);
        }
        if let (None, Some(msix)) = (&self.table, &hardware.msix) {
            self.table = Some(map_table(platform, hardware, msix)?);
        }
        Ok(())
    }

    /// The registers of a memory BAR.
    ///
    /// # Errors
    /// `OutOfRange` where there is none.
    pub(crate) fn bar(&self, bar: u8) -> Result<&Registers, Refusal> {
        self.bars
            .get(usize::from(bar))
            .and_then(Option::as_ref)
            .ok_or(Refusal::OutOfRange)
    }

    pub(crate) const fn table(&self) -> Option<&MsixTable> {
        self.table.as_ref()
    }
}

fn map_table<P: Platform>(
    platform: &P,
    hardware: &Hardware,
    msix: &Msix,
) -> Result<MsixTable, Refusal> {
    let MsixRegion {
        bar,
        offset,
        length_bytes,
    } = msix.table;
    let bar = hardware.bars.get(bar).ok_or(Refusal::DeviceError)?;
    let physical = bar
        .subregion(offset, length_bytes)
        .map_err(|_| Refusal::DeviceError)?;
    platform
        .registers(physical, length_bytes)
        .and_then(|registers| MsixTable::new(registers, msix))
        .ok_or(Refusal::NoMemory)
}
