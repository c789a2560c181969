//! The manager: which functions there are, and the ways to them.

use alloc::boxed::Box;
use alloc::vec::Vec;

use dma_ledger::{Claim, FunctionId, FunctionState, Ledger, Limits};
use driver_core::DriverEntry;
use pci::Found;
use pci_format::{
    BarSet, Capability, ConfigAccess, ConfigError, ExtendedCapability, FunctionInfo, FunctionReset,
    Msix,
};
use ring_abi::Refusal;
use units::Bdf;

use crate::Platform;
use crate::hardware::{Hardware, examine};
use crate::machine::Machine;
use crate::turn::{At, Cell, Turn};

/// What one claim may hold, unless the caller of [`DeviceManager::new`] says otherwise.
pub const LIMITS: Limits = Limits {
    pool_bytes: 256 << 20,
    broker_bytes: 64 << 20,
    pools: 16,
    buffers: 4096,
    mappings: 8192,
    queues: 64,
    contiguous_pages: 1024,
};

/// The one owner of device authority.
pub struct DeviceManager<P: Platform> {
    pub(crate) machine: Machine<P>,
    ledger: Ledger<Cell<P>>,
    /// By the function's index.
    pub(crate) hardware: Vec<(FunctionId, Hardware)>,
    /// Every driver's name.
    drivers: Vec<&'static str>,
}

impl<P: Platform> core::fmt::Debug for DeviceManager<P> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("DeviceManager")
            .field("hardware", &self.hardware)
            .field("drivers", &self.drivers)
            .finish_non_exhaustive()
    }
}

/// What anybody may know of a function.
#[derive(Clone, Copy, Debug)]
pub struct FunctionView<'a> {
    /// Segment, bus, device, function as one number.
    pub address: u32,
    /// Vendor.
    pub vendor: u16,
    /// Device.
    pub device: u16,
    /// Class, subclass and interface as one number.
    pub class: u32,
    /// Name of the driver that registered for it, or nothing.
    pub driver: &'a str,
    /// Somebody holds it, or its teardown runs.
    pub claimed: bool,
    /// It is out of use for good.
    pub quarantined: bool,
    /// Its BARs. Their addresses are never disclosed.
    pub bars: &'a BarSet,
    /// MSI-X vectors.
    pub msix_vectors: u16,
    /// It has MSI.
    pub msi: bool,
    /// Identity, as the boot scan read it.
    pub info: &'a FunctionInfo,
    /// Its configuration space is well formed, and it let itself be turned off.
    pub sound: bool,
    /// Capabilities of the first 256 bytes.
    pub capabilities: &'a [Capability],
    /// Capabilities behind them.
    pub extended: &'a [ExtendedCapability],
    /// Its MSI-X structure.
    pub msix: Option<&'a Msix>,
    /// How it can be reset alone.
    pub reset: Option<FunctionReset>,
    /// What its configuration space broke.
    pub fault: Option<ConfigError>,
}

/// States that a function's configuration space is malformed; no driver gets it.
fn write_refused(
    sink: &mut dyn core::fmt::Write,
    bdf: Bdf,
    fault: ConfigError,
) -> core::fmt::Result {
    evidence::write_fact(sink, "pci.refused")
        .stable("function", format_args!("{bdf}"))
        .stable("rule", fault.rule.name())
        .stable("offset", u32::from(fault.offset))
        .end()
}

impl<P: Platform> DeviceManager<P> {
    /// Examines the functions that the boot scan found and turned off, and registers each in the ledger, unclaimed.
    #[expect(clippy::disallowed_methods, reason = "boot: functions are listed once")]
    pub fn new(
        platform: P,
        mut config: Box<dyn ConfigAccess + Send>,
        found: &[Found],
        drivers: &[&'static DriverEntry],
        limits: Limits,
    ) -> Self {
        let mut ledger = Ledger::new();
        let mut hardware = Vec::new();
        for one in found {
            let seen = examine(&mut *config, one, drivers);
            if let Some(fault) = seen.fault {
                platform.fact(&|sink| write_refused(sink, one.info.bdf, fault));
            }
            if let Ok(id) = ledger.register::<P::Frames>(seen.shape(), limits) {
                // The ledger numbers functions from 0 as they come, and so does this list.
                hardware.push((id, seen));
            }
        }
        Self {
            machine: Machine::new(platform, config),
            ledger,
            hardware,
            drivers: drivers.iter().map(|entry| entry.name).collect(),
        }
    }

    /// Visits the functions from number `from` on while `visit` says so. Returns where to go on, 0 after the last.
    pub fn list(&self, from: u32, visit: &mut dyn FnMut(&FunctionView<'_>) -> bool) -> u32 {
        let rest = self.hardware.iter().skip(from as usize);
        for (next, (id, hardware)) in (from..).zip(rest) {
            let Ok(at) = self.at(*id) else { return 0 };
            let state = at.turn().function.record.state();
            let claimed = matches!(
                state,
                FunctionState::Claimed(_) | FunctionState::Revoking(_)
            );
            let lost = matches!(state, FunctionState::Quarantined | FunctionState::Dead);
            let class = hardware.info.class;
            let view = FunctionView {
                address: hardware.info.bdf.as_u32(),
                vendor: hardware.info.id.vendor,
                device: hardware.info.id.device,
                class: u32::from_be_bytes([0, class.base, class.sub, class.interface]),
                driver: hardware.driver.map_or("", |driver| driver.name),
                claimed,
                quarantined: lost || (hardware.driver.is_some() && !hardware.sound),
                bars: &hardware.bars,
                msix_vectors: hardware.msix.map_or(0, |msix| msix.vectors),
                msi: hardware.msi.is_some(),
                info: &hardware.info,
                sound: hardware.sound,
                capabilities: hardware.capabilities.as_ref().map_or(&[], |c| c.as_slice()),
                extended: hardware.extended.as_ref().map_or(&[], |e| e.as_slice()),
                msix: hardware.msix.as_ref(),
                reset: hardware.function_reset(),
                fault: hardware.fault,
            };
            if !visit(&view) {
                return next;
            }
        }
        0
    }

    /// Takes the turn at the function of a claim. Whether the claim still counts is for the record to say.
    #[inline(always)]
    pub(crate) fn turn(&self, claim: &Claim) -> Result<Turn<'_, P>, Refusal> {
        Ok(self.of(claim)?.turn())
    }

    /// The function of a claim.
    #[inline(always)]
    pub(crate) fn of(&self, claim: &Claim) -> Result<At<'_, P>, Refusal> {
        self.at(claim.function())
    }

    #[inline(always)]
    pub(crate) fn at(&self, id: FunctionId) -> Result<At<'_, P>, Refusal> {
        let entry = self.hardware.get(id.index() as usize);
        let (_, hardware) = entry.ok_or(Refusal::NoDevice)?;
        let cell = self.ledger.get(id).ok_or(Refusal::NoDevice)?;
        Ok(At::new(&self.machine, hardware, id, cell))
    }

    #[inline(always)]
    pub(crate) fn at_index(&self, function: u32) -> Option<At<'_, P>> {
        let (id, _) = self.hardware.get(function as usize)?;
        self.at(*id).ok()
    }

    /// Numbers of the functions of a driver, in address order.
    pub(crate) fn functions_of<'a>(&'a self, driver: &'a str) -> impl Iterator<Item = FunctionId> {
        let ours = move |hardware: &Hardware| hardware.driver.is_some_and(|one| one.name == driver);
        self.hardware
            .iter()
            .filter(move |(_, hardware)| ours(hardware))
            .map(|(id, _)| *id)
    }

    /// Whether the kernel has a driver of that name.
    pub(crate) fn has_driver(&self, name: &str) -> bool {
        self.drivers.contains(&name)
    }
}
