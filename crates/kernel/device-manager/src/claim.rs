//! Claiming a function, and what its holder may know of it.

use core::sync::atomic::Ordering;

use audit_format::{Event, Kind};
use dma_ledger::{Claim, FunctionState, OwnerId, Phase};
use pci_format::{Command, update_command};
use ring_abi::Refusal;
use sabotage::sabotage;

use crate::crossed::Crossed;
use crate::driven::{Driven, PortBar};
use crate::effects::Answer;
use crate::facts::about;
use crate::function::{Claimant, SERVED};
use crate::hardware::Hardware;
use crate::held::Held;
use crate::stop::Switch;
use crate::turn::{At, Turn};
use crate::{DeviceManager, Platform, Reach, Waiter};

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
    pub fn claim(&self, driver: &str, nth: u32, owner: OwnerId, waiter: P::Claiming) {
        let found = if self.has_driver(driver) {
            let id = self.functions_of(driver).nth(nth as usize);
            id.ok_or(Refusal::NoDevice).and_then(|id| self.at(id))
        } else {
            Err(Refusal::NotFound)
        };
        // A function that was claimed before has all of them.
        let found = found.and_then(|at| self.make_routes(at).map(|()| at));
        let mut turn = match found {
            Ok(at) => at.turn(),
            Err(refusal) => {
                waiter.answer(Err(refusal));
                return;
            }
        };
        if matches!(turn.function.record.state(), FunctionState::Revoking(_)) {
            if let Err((one, refusal)) = turn.function.wait_for(Claimant { owner, waiter }) {
                let refused = Answer::Claim(one.waiter, Err(refusal));
                turn.effects.answer(refused);
            }
        } else {
            let outcome = turn.claim(owner);
            turn.effects.answer(Answer::Claim(waiter, outcome));
        }
        turn.leave();
    }

    /// Makes what the record keeps of each interrupt source, a bounded part in each turn.
    fn make_routes(&self, at: At<'_, P>) -> Result<(), Refusal> {
        while !at.turn().function.record.make_some_routes()? {
            self.machine.platform.look();
        }
        Ok(())
    }

    /// Describes a claim to its holder, an ended one as dead.
    ///
    /// # Errors
    /// `WrongOwner` for a claim of another function or owner; `NoDevice`.
    pub fn info(&self, claim: &Claim) -> Result<DeviceInfo, Refusal> {
        let turn = self.turn(claim)?;
        let state = match turn.function.record.check(claim) {
            Ok(Phase::Unproven | Phase::Stopped) => DeviceState::Claimed,
            Ok(Phase::Configured | Phase::Enabling) => DeviceState::Configured,
            Ok(Phase::Running) => DeviceState::Enabled,
            Ok(Phase::Resetting) => DeviceState::Resetting,
            Err(Refusal::Quarantined) => DeviceState::Quarantined,
            Err(Refusal::Stale | Refusal::Revoked) => DeviceState::Dead,
            Err(refusal) => return Err(refusal),
        };
        Ok(DeviceInfo {
            address: turn.at.bdf().as_u32(),
            generation: claim.generation(),
            state,
        })
    }

    /// Reads a dword of the filtered copy of configuration space.
    ///
    /// # Errors
    /// Those of the claim; `OutOfRange` for a dword that is not for reading.
    pub fn read_config(&self, claim: &Claim, offset: u16) -> Result<u32, Refusal> {
        let turn = self.turn(claim)?;
        turn.function.record.check(claim)?;
        let filter = turn.at.hardware.filter.as_ref();
        let filter = filter.ok_or(Refusal::NotSupported)?;
        let config = self.machine.config.lock();
        filter
            .read(&**config, offset)
            .map_err(|_| Refusal::OutOfRange)
    }
}

impl<P: Platform> Turn<'_, P> {
    /// Hands a free function to the next one that waits for it, and refuses the others; a few in one turn, the rest in the
    /// next one.
    pub(crate) fn serve_claimants(&mut self) {
        for _ in 0..SERVED {
            let Some(next) = self.function.next_claimant() else {
                return;
            };
            if next.waiter.is_live() {
                let outcome = self.claim(next.owner);
                self.effects.answer(Answer::Claim(next.waiter, outcome));
            }
        }
        if self.function.is_wanted() {
            let now_ns = self.at.machine.platform.now_ns();
            self.effects.arm(now_ns, 0);
        }
    }

    fn claim(&mut self, owner: OwnerId) -> Result<Claim, Refusal> {
        let At {
            hardware, machine, ..
        } = self.at;
        let driver = hardware.driver.ok_or(Refusal::NoDevice)?;
        // Under the function's lock: whoever closes looks at every function after it closed.
        if machine.closed.load(Ordering::SeqCst) {
            return Err(Refusal::WrongState);
        }
        if !hardware.sound {
            return Err(Refusal::Quarantined);
        }
        let function = &mut *self.function;
        // The ledger decides; asked first, because a probe is for nothing when it says no.
        match function.record.state() {
            FunctionState::Unclaimed => {}
            FunctionState::Quarantined if sabotage!(CLAIM_QUARANTINED) => {}
            FunctionState::Quarantined => return Err(Refusal::Quarantined),
            FunctionState::Dead => return Err(Refusal::Exhausted),
            FunctionState::Claimed(_) | FunctionState::Revoking(_) => return Err(Refusal::Busy),
        }
        function.mapped.map(&machine.platform, hardware)?;
        let broker = (driver.probe)(&hardware.probed())?;
        let ports = broker.access().ports;
        let ports = ports.map(|bar| ports_of(&machine.platform, hardware, bar));
        let ports = ports.transpose()?;
        let decodes = ports.is_some();
        let mut driven = Driven::new(broker, ports);
        let (broker, mut io) = driven.drive(&machine.platform, &function.mapped, None)?;
        let addressing = broker.addressing(&mut io)?;
        let generation = function.record.generation().saturating_add(1);
        let reach = machine
            .platform
            .reach(self.at.bdf(), (owner, generation), addressing)?;
        let claim = match function.record.claim(owner) {
            Ok(claim) => claim,
            Err(refusal) => {
                // Nothing was mapped. A unit that does not answer keeps what the domain was made of.
                while reach.end().is_ok() && reach.shed() {}
                return Err(refusal);
            }
        };
        let decoding = match decodes {
            true => Switch::On,
            false => Switch::Off,
        };
        function.held = Some(Held::new(
            claim,
            driven,
            reach,
            Crossed::new(hardware.info.class.base),
        ));
        self.set_port_decoding(decoding);
        self.prepare_signals();
        self.at.tell(Some(&claim), Event::new(Kind::Claimed));
        let bdf = self.at.bdf();
        self.say(&|sink| {
            about(sink, "device.claimed", bdf)
                .stable("driver", driver.name)
                .volatile("owner", owner.0)
                .volatile("generation", claim.generation())
                .end()
        });
        Ok(claim)
    }

    /// Turns I/O decoding on or off at the function.
    pub(crate) fn set_port_decoding(&self, switch: Switch) {
        let (set, clear) = switch.bits(Command::IO_SPACE);
        let mut config = self.at.machine.config.lock();
        update_command(&mut **config, self.at.bdf(), set, clear);
    }
}

/// Opens the window over an assigned I/O BAR, and over nothing else.
fn ports_of<P: Platform>(platform: &P, hardware: &Hardware, bar: u8) -> Result<PortBar, Refusal> {
    let found = hardware.bars.get(bar);
    let found = found.filter(|one| !one.is_memory() && one.is_assigned());
    let found = found.ok_or(Refusal::DeviceError)?;
    let first = u16::try_from(found.address).map_err(|_| Refusal::DeviceError)?;
    let bytes = u16::try_from(found.size_bytes).map_err(|_| Refusal::DeviceError)?;
    let ports = platform.ports(first, bytes).ok_or(Refusal::DeviceError)?;
    Ok(PortBar { bar, ports })
}
