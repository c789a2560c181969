//! Claiming a function, and what its holder may know of it.

use core::sync::atomic::Ordering;

use audit_format::{Event, Kind};
use dma_ledger::{Claim, FunctionState, OwnerId, Phase};
use pci_format::{Command, Msix, MsixRegion, update_command};
use ring_abi::Refusal;

use crate::effects::Effects;
use crate::facts::about;
use crate::function::{Claimant, Function, Job, PortBar};
use crate::hardware::Hardware;
use crate::manager::At;
use crate::{DeviceManager, Done, Platform, Waiter};
use pci::MsixTable;
use sabotage::sabotage;

/// The most of a BAR that the kernel maps for a broker: registers lie at its start, what follows is a device's memory.
const MAX_MAPPED_BYTES: u64 = 16 << 20;

/// How far a device has come, as its holder sees it. The numbers are the interface's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u16)]
pub enum DeviceState {
    /// Claimed; whether configured once before, it is not now.
    Claimed = 0,
    /// Stopped, sizes agreed.
    Configured = 1,
    /// Enabled.
    Enabled = 2,
    /// A reset is under way.
    Resetting = 3,
    /// It never proved that it stopped.
    Quarantined = 4,
    /// This claim has ended.
    Dead = 5,
}

/// What a claim's holder may know.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DeviceInfo {
    /// Segment, bus, device, function as one number.
    pub address: u32,
    /// Generation of the claim.
    pub generation: u64,
    /// How far it has come.
    pub state: DeviceState,
}

impl<P: Platform> DeviceManager<P> {
    /// Claims the `nth` function (from 0, in address order) that the named driver takes. While a teardown of that
    /// function runs, the waiter waits for its end.
    ///
    /// Refused with `NotFound` for a name no driver has; `NoDevice` for fewer functions; `Busy` while somebody holds it;
    /// `Quarantined`; `NoMemory`; and with what the driver's probe says.
    pub fn claim(&self, driver: &str, nth: u32, owner: OwnerId, waiter: P::Waiter) {
        let mut effects = Effects::new();
        let found = if self.has_driver(driver) {
            let id = self.functions_of(driver).nth(nth as usize);
            id.ok_or(Refusal::NoDevice).and_then(|id| self.at(id))
        } else {
            Err(Refusal::NotFound)
        };
        let at = match found {
            Ok(at) => at,
            Err(refusal) => {
                waiter.answer(Err(refusal));
                return;
            }
        };
        {
            let mut guard = at.lock();
            if matches!(guard.record.state(), FunctionState::Revoking(_)) {
                guard.claimants.retain(|one| one.waiter.is_live());
                guard.claimants.push_back(Claimant { owner, waiter });
            } else {
                let outcome = self.claim_now(&at, &mut guard, owner);
                effects.answer(waiter, outcome.map(Done::Claimed));
            }
        }
        effects.run(&self.platform, at.index());
    }

    /// Hands a free function to the next one that waits for it, or refuses all of them if it is out of use.
    pub(crate) fn serve_claimants(
        &self,
        at: &At<'_, P>,
        function: &mut Function<P>,
        effects: &mut Effects<P>,
    ) {
        while let Some(next) = function.claimants.pop_front() {
            if !next.waiter.is_live() {
                continue;
            }
            let outcome = self.claim_now(at, function, next.owner);
            effects.answer(next.waiter, outcome.map(Done::Claimed));
        }
    }

    fn claim_now(
        &self,
        at: &At<'_, P>,
        function: &mut Function<P>,
        owner: OwnerId,
    ) -> Result<Claim, Refusal> {
        let hardware = at.hardware;
        let driver = hardware.driver.ok_or(Refusal::NoDevice)?;
        // Under the function's lock: whoever closes looks at every function after it closed.
        if self.closed.load(Ordering::SeqCst) {
            return Err(Refusal::WrongState);
        }
        if !hardware.sound {
            return Err(Refusal::Quarantined);
        }
        // The ledger decides; asked first, because a probe is for nothing when it says no.
        match function.record.state() {
            FunctionState::Unclaimed => {}
            FunctionState::Quarantined if sabotage!(CLAIM_QUARANTINED) => {}
            FunctionState::Quarantined => return Err(Refusal::Quarantined),
            FunctionState::Dead => return Err(Refusal::Exhausted),
            FunctionState::Claimed(_) | FunctionState::Revoking(_) => return Err(Refusal::Busy),
        }
        self.map_bars(hardware, function)?;
        let broker = (driver.probe)(&hardware.probed())?;
        let ports = broker.port_bar();
        let ports = ports.map(|bar| self.ports_of(hardware, bar)).transpose()?;
        let claim = function.record.claim(owner)?;
        function.ports = ports;
        self.set_port_decoding(at, function.ports.is_some());
        function.claim = Some(claim);
        function.broker = Some(broker);
        function.unstoppable = false;
        function.job = Job::Idle;
        self.prepare_signals(at, function);
        self.tell(at, Some(&claim), Event::new(Kind::Claimed));
        self.platform.fact(&|sink| {
            about(sink, "device.claimed", at.bdf())
                .stable("driver", driver.name)
                .volatile("owner", owner.0)
                .volatile("generation", claim.generation())
                .end()
        });
        Ok(claim)
    }

    /// Opens the window over an assigned I/O BAR, and over nothing else.
    fn ports_of(&self, hardware: &Hardware, bar: u8) -> Result<PortBar, Refusal> {
        let found = hardware.bars.get(bar);
        let found = found.filter(|one| !one.is_memory() && one.is_assigned());
        let found = found.ok_or(Refusal::DeviceError)?;
        let first = u16::try_from(found.address).map_err(|_| Refusal::DeviceError)?;
        let bytes = u16::try_from(found.size_bytes).map_err(|_| Refusal::DeviceError)?;
        let ports = self.platform.ports(first, bytes);
        let ports = ports.ok_or(Refusal::DeviceError)?;
        Ok(PortBar { bar, ports })
    }

    /// Turns I/O decoding on or off at the function.
    pub(crate) fn set_port_decoding(&self, at: &At<'_, P>, on: bool) {
        let (set, clear) = if on {
            (Command::IO_SPACE, Command::empty())
        } else {
            (Command::empty(), Command::IO_SPACE)
        };
        update_command(&mut **self.config.lock(), at.bdf(), set, clear);
    }

    /// Maps the memory BARs for the kernel, once.
    fn map_bars(&self, hardware: &Hardware, function: &mut Function<P>) -> Result<(), Refusal> {
        for bar in hardware.bars.iter() {
            let Some(entry) = function.bars.get_mut(usize::from(bar.index)) else {
                continue;
            };
            if entry.is_some() || !bar.is_memory() || !bar.is_assigned() {
                continue;
            }
            let bytes = bar.size_bytes.min(MAX_MAPPED_BYTES);
            *entry = Some(
                self.platform
                    .registers(bar.address, bytes)
                    .ok_or(Refusal::NoMemory)?,
            );
        }
        if let (None, Some(msix)) = (&function.table, &hardware.msix) {
            function.table = Some(self.map_table(hardware, msix)?);
        }
        Ok(())
    }

    fn map_table(&self, hardware: &Hardware, msix: &Msix) -> Result<MsixTable, Refusal> {
        let MsixRegion {
            bar,
            offset,
            length_bytes,
        } = msix.table;
        let bar = hardware.bars.get(bar).ok_or(Refusal::DeviceError)?;
        let physical = bar
            .subregion(offset, length_bytes)
            .map_err(|_| Refusal::DeviceError)?;
        self.platform
            .registers(physical, length_bytes)
            .and_then(|registers| MsixTable::new(registers, msix))
            .ok_or(Refusal::NoMemory)
    }

    /// Tells a claim's holder about it. A claim that has ended is told so.
    ///
    /// # Errors
    /// `WrongOwner` for a claim of another function or owner; `NoDevice`.
    pub fn info(&self, claim: &Claim) -> Result<DeviceInfo, Refusal> {
        let at = self.of(claim)?;
        let guard = at.lock();
        let state = match guard.record.check(claim) {
            Ok(Phase::Unproven | Phase::Stopped) => DeviceState::Claimed,
            Ok(Phase::Configured | Phase::Enabling) => DeviceState::Configured,
            Ok(Phase::Running) => DeviceState::Enabled,
            Ok(Phase::Resetting) => DeviceState::Resetting,
            Err(Refusal::Quarantined) => DeviceState::Quarantined,
            Err(Refusal::Stale | Refusal::Revoked) => DeviceState::Dead,
            Err(refusal) => return Err(refusal),
        };
        Ok(DeviceInfo {
            address: at.bdf().as_u32(),
            generation: claim.generation(),
            state,
        })
    }

    /// Reads a dword of the filtered copy of configuration space.
    ///
    /// # Errors
    /// Those of the claim; `OutOfRange` for a dword that is not for reading.
    pub fn read_config(&self, claim: &Claim, offset: u16) -> Result<u32, Refusal> {
        let at = self.of(claim)?;
        let guard = at.lock();
        guard.record.check(claim)?;
        let filter = at.hardware.filter.as_ref().ok_or(Refusal::NotSupported)?;
        let config = self.config.lock();
        filter
            .read(&**config, offset)
            .map_err(|_| Refusal::OutOfRange)
    }
}
