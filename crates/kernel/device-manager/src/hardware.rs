//! What the boot scan learns of a function.

use dma_ledger::FunctionShape;
use driver_core::{DriverEntry, Probed};
use pci::Found;
use pci_format::{
    AdvancedFeatures, Bar, BarSet, CapabilityList, Command, ConfigAccess, ConfigError,
    ConfigFilter, ExtendedList, FunctionInfo, FunctionReset, Msi, Msix, Pcie, PowerState,
    VIRTIO_VENDOR, VirtioRegions, best_match, cap_id, read_advanced, read_capabilities,
    read_extended, read_msi, read_msix, read_pcie, read_power, read_virtio, size_bars,
    update_command,
};

/// What the boot scan learnt of a function. Never changes.
#[derive(Debug)]
pub(crate) struct Hardware {
    pub(crate) info: FunctionInfo,
    pub(crate) bars: BarSet,
    pub(crate) msix: Option<Msix>,
    pub(crate) msi: Option<Msi>,
    pub(crate) pcie: Option<Pcie>,
    pub(crate) virtio: Option<VirtioRegions>,
    pub(crate) advanced: Option<AdvancedFeatures>,
    pub(crate) filter: Option<ConfigFilter>,
    pub(crate) capabilities: Option<CapabilityList>,
    pub(crate) extended: Option<ExtendedList>,
    pub(crate) driver: Option<&'static DriverEntry>,
    /// What its configuration space broke.
    pub(crate) fault: Option<ConfigError>,
    /// Its configuration space is well formed, it let itself be turned off, and its address means nothing else.
    pub(crate) sound: bool,
}

impl Hardware {
    /// What the ledger is told.
    pub(crate) fn shape(&self) -> FunctionShape {
        FunctionShape {
            address: self.info.bdf.as_u32(),
            bar_bytes: self.bytes_of(|_| true),
            sources: self.sources(),
        }
    }

    /// How the function can be reset alone.
    pub(crate) fn function_reset(&self) -> Option<FunctionReset> {
        FunctionReset::of(self.pcie, self.advanced)
    }

    /// Whether transactions are pending; `None` where the function has no structure that tells.
    pub(crate) fn transactions_pending(&self, cfg: &dyn ConfigAccess) -> Option<bool> {
        let bdf = self.info.bdf;
        match self.pcie {
            Some(pcie) => Some(pcie.transactions_pending(cfg, bdf)),
            None => Some(self.function_reset()?.transactions_pending(cfg, bdf)),
        }
    }

    /// What a driver's probe is told.
    pub(crate) fn probed(&self) -> Probed {
        Probed {
            vendor: self.info.id.vendor,
            device: self.info.id.device,
            bar_bytes: self.bytes_of(Bar::is_memory),
            port_bytes: self.bytes_of(|bar| !bar.is_memory()),
            msix_vectors: self.msix.map_or(0, |msix| msix.vectors),
            virtio: self.virtio,
        }
    }

    /// Interrupt sources: the messages, then the pin.
    fn sources(&self) -> u16 {
        self.messages() + u16::from(self.pin().is_some())
    }

    /// The pin, 1 to 4 for A to D.
    pub(crate) fn pin(&self) -> Option<u8> {
        Some(self.info.interrupt_pin).filter(|pin| (1..=4).contains(pin))
    }

    /// Sources that signal by message: MSI-X vectors (at most 2048), or the one MSI.
    pub(crate) fn messages(&self) -> u16 {
        match (self.msix, self.msi) {
            (Some(msix), _) => msix.vectors,
            (None, Some(_)) => 1,
            (None, None) => 0,
        }
    }

    /// Bytes of the BARs of a kind.
    fn bytes_of(&self, kind: impl Fn(&Bar) -> bool) -> [u64; 6] {
        let mut bytes = [0; 6];
        for bar in self.bars.iter().filter(|bar| kind(bar)) {
            if let Some(entry) = bytes.get_mut(usize::from(bar.index)) {
                *entry = if bar.is_assigned() { bar.size_bytes } else { 0 };
            }
        }
        bytes
    }
}

/// Reads everything that a function says about itself. Only a function that some driver takes is written to: its BARs
/// are sized and it is woken. It was turned off before, so nothing is under way.
pub(crate) fn examine(
    cfg: &mut dyn ConfigAccess,
    found: &Found,
    drivers: &[&'static DriverEntry],
) -> Hardware {
    let info = found.info;
    // No two drivers tie for a function: the driver table was checked for that.
    let driver = drivers
        .iter()
        .filter_map(|entry| Some((best_match(entry.matches, &info)?, *entry)))
        .max_by_key(|(specificity, _)| *specificity)
        .map(|(_, entry)| entry)
        .filter(|_| info.is_endpoint());
    let mut hardware = Hardware {
        info,
        bars: BarSet::default(),
        msix: None,
        msi: None,
        pcie: None,
        virtio: None,
        advanced: None,
        filter: None,
        capabilities: None,
        extended: None,
        driver,
        fault: None,
        sound: !found.stuck && found.ambiguous.is_none(),
    };
    if info.is_endpoint()
        && let Err(fault) = read_all(cfg, &mut hardware)
    {
        hardware.fault = Some(fault);
        hardware.sound = false;
    }
    hardware
}

fn read_all(cfg: &mut dyn ConfigAccess, hardware: &mut Hardware) -> Result<(), ConfigError> {
    let info = hardware.info;
    let bdf = info.bdf;
    let capabilities: CapabilityList = read_capabilities(cfg, bdf, info.header)?;
    hardware.bars = size_bars(cfg, bdf, info.header)?;
    hardware.capabilities = Some(capabilities);
    let find = |id| capabilities.find(id);
    if let Some(found) = find(cap_id::MSIX) {
        hardware.msix = Some(read_msix(cfg, bdf, found, &hardware.bars)?);
    }
    if let Some(found) = find(cap_id::MSI) {
        hardware.msi = Some(read_msi(cfg, bdf, found)?);
    }
    if let Some(found) = find(cap_id::PCIE) {
        hardware.pcie = Some(read_pcie(cfg, bdf, found)?);
    }
    if info.id.vendor == VIRTIO_VENDOR {
        let (bars, msix) = (&hardware.bars, hardware.msix.as_ref());
        hardware.virtio = read_virtio(cfg, bdf, &capabilities, bars, msix);
    }
    if let Some(found) = find(cap_id::ADVANCED_FEATURES) {
        hardware.advanced = Some(read_advanced(cfg, bdf, found)?);
    }
    let extended = read_extended(cfg, bdf)?;
    hardware.filter = Some(ConfigFilter::new(cfg, &info, &capabilities, &extended));
    hardware.extended = Some(extended);
    if hardware.driver.is_some() {
        if let Some(found) = find(cap_id::POWER) {
            let power = read_power(cfg, bdf, found)?;
            if power.state(cfg, bdf) != PowerState::D0 {
                // It takes 10 ms; claims come long after the boot scan.
                power.wake(cfg, bdf);
            }
        }
        // Ports answer only while a claim needs them.
        update_command(cfg, bdf, Command::MEMORY_SPACE, Command::IO_SPACE);
    }
    Ok(())
}
