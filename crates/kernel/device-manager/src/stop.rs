//! What operations and the end of a claim both do at a function.

use dma_ledger::{Claim, ResetProof};
use driver_core::{Broker, BrokerIo, Operation};
use pci_format::{Command, turn_translation_off, update_command};
#[cfg(sabotage)]
use pci_format::{ExtendedList, Translating, ext_cap_id};
use ring_abi::Refusal;
use sabotage::sabotage;

use crate::Platform;
use crate::facts::about;
use crate::turn::Turn;

/// How long an operation may take, whatever the broker says.
pub(crate) const DEADLINE_NS: u64 = 30_000_000_000;

/// What becomes of something that a function can be told to do or not.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Switch {
    On,
    Off,
}

impl Switch {
    /// The bits of the command register to set and to clear, where `bit` set is on.
    pub(crate) const fn bits(self, bit: Command) -> (Command, Command) {
        match self {
            Self::On => (bit, Command::empty()),
            Self::Off => (Command::empty(), bit),
        }
    }
}

impl<P: Platform> Turn<'_, P> {
    /// Runs the broker with everything it may use; `WrongState` where there is none.
    pub(crate) fn with_broker<T>(
        &mut self,
        run: impl FnOnce(&mut dyn Broker, &mut dyn BrokerIo) -> T,
    ) -> Result<T, Refusal> {
        self.function.with_broker(&self.at.machine.platform, run)
    }

    /// Begins an operation of the broker.
    pub(crate) fn begin(&mut self, operation: Operation) -> Result<(), Refusal> {
        self.with_broker(|broker, io| broker.begin(io, operation))?
    }

    /// Has the broker begin to stop the device, whatever is under way; `WrongState` where there is no broker.
    pub(crate) fn begin_stop(&mut self) -> Result<(), Refusal> {
        // A broker that cannot even begin shows it when it is polled: it has no proof.
        let _ = self.with_broker(|broker, io| broker.begin(io, Operation::Reset))?;
        self.function.held()?.queues.forget_places();
        Ok(())
    }

    /// Turns bus mastering on or off at the function. Returns whether it reads back so; it goes on only where the function
    /// translates no addresses itself.
    pub(crate) fn set_bus_master(&mut self, switch: Switch) -> bool {
        let on = switch == Switch::On;
        if !on && sabotage!(KEEP_BUS_MASTER) {
            return true;
        }
        let (set, clear) = switch.bits(Command::BUS_MASTER);
        if on && !self.turn_translation_off() {
            return false;
        }
        let mut config = self.at.machine.config.lock();
        let now = update_command(&mut **config, self.at.bdf(), set, clear);
        now.contains(Command::BUS_MASTER) == on
    }

    /// Turns off what lets the function translate addresses itself, so that none of its requests says that it did. Returns
    /// whether all of it reads back as off.
    fn turn_translation_off(&mut self) -> bool {
        let Some(extended) = &self.at.hardware.extended else {
            return true;
        };
        let found = {
            let mut config = self.at.machine.config.lock();
            turn_translation_off(&mut **config, self.at.bdf(), extended)
        };
        #[cfg(sabotage)]
        let found = match sabotage!(TURN_ATS_ON) {
            true => self.turn_ats_on(extended, found),
            false => found,
        };
        if found.offered > 0 {
            let bdf = self.at.bdf();
            self.say(&|sink| {
                about(sink, "device.translation", bdf)
                    .stable("offered", found.offered)
                    .stable("on", found.on)
                    .end()
            });
        }
        found.on == 0 || sabotage!(TURN_ATS_ON)
    }

    /// A sabotage: the device may ask for translations.
    #[cfg(sabotage)]
    fn turn_ats_on(&self, extended: &ExtendedList, mut found: Translating) -> Translating {
        let mut config = self.at.machine.config.lock();
        if let Some(one) = extended.find(ext_cap_id::ADDRESS_TRANSLATION) {
            let at = one.offset + 4;
            let on = config.read32(self.at.bdf(), at) | 1 << 31;
            config.write32(self.at.bdf(), at, on);
            found.on += config.read32(self.at.bdf(), at) >> 31;
        }
        found
    }

    /// Closes the queues whose holders are gone, where a reset has ended them.
    pub(crate) fn close_ended(&mut self, claim: &Claim) {
        let function = &mut *self.function;
        if let Some(held) = &mut function.held {
            held.queues.close_ended(&mut function.record, claim);
        }
    }
}

/// The name of a proof in facts.
pub(crate) const fn proof_name(proof: ResetProof) -> &'static str {
    match proof {
        ResetProof::CstsRdyZero => "csts-rdy-zero",
        ResetProof::VirtioStatusZero => "virtio-status-zero",
        ResetProof::FlrCompleted => "flr-completed",
        ResetProof::EngineIdle => "engine-idle",
        ResetProof::ResetBitClear => "reset-bit-clear",
        ResetProof::AdminQueueReleased => "admin-queue-released",
    }
}
