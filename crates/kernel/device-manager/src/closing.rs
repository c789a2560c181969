//! The end of the machine: every claim ends first, and nobody claims any more.

use core::sync::atomic::Ordering;

use dma_ledger::FunctionState;
use pci_format::{Command, read_command};
use ring_abi::Refusal;

use crate::effects::Answer;
use crate::function::SERVED;
use crate::{DeviceManager, Platform};

/// What still holds devices.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Live {
    /// Functions that somebody holds, or whose teardown runs.
    pub claims: u32,
    /// Functions in use whose configuration space says that they may be bus masters.
    pub bus_masters: u32,
    /// Functions that never proved that they stopped.
    pub quarantined: u32,
}

/// Shows that no function was claimed and none may be a bus master, after claiming had been closed.
#[derive(Debug)]
pub struct Stopped(());

impl<P: Platform> DeviceManager<P> {
    /// Begins to end every claim; from here on a claim is refused `wrongState`. Returns how many claims there were.
    /// Devices stop on their timers: ask [`Self::all_stopped`].
    pub fn close(&self) -> u32 {
        self.machine.closed.store(true, Ordering::SeqCst);
        let mut count = 0;
        for (id, _) in &self.hardware {
            let Ok(at) = self.at(*id) else { continue };
            let mut turn = at.turn();
            while turn.function.is_wanted() {
                for _ in 0..SERVED {
                    let Some(one) = turn.function.next_claimant() else {
                        break;
                    };
                    let refused = Answer::Claim(one.waiter, Err(Refusal::WrongState));
                    turn.effects.answer(refused);
                }
                turn.leave();
                self.machine.platform.look();
                turn = at.turn();
            }
            let claim = turn.function.claim().copied();
            turn.leave();
            if let Some(claim) = claim {
                count += 1;
                // A teardown that runs already needs no second beginning.
                let _ = self.release(&claim);
            }
        }
        count
    }

    /// Lets functions be claimed again: the machine goes on after all.
    pub fn allow_claims(&self) {
        self.machine.closed.store(false, Ordering::SeqCst);
    }

    /// Counts what still holds devices. Bus mastering is read from the functions themselves.
    pub fn live(&self) -> Live {
        let mut live = Live::default();
        for (id, hardware) in &self.hardware {
            let Ok(at) = self.at(*id) else { continue };
            let state = at.turn().function.record.state();
            match state {
                FunctionState::Claimed(_) | FunctionState::Revoking(_) => live.claims += 1,
                FunctionState::Quarantined => live.quarantined += 1,
                FunctionState::Unclaimed | FunctionState::Dead => {}
            }
            // One that could not be turned off, at boot or at the end of its claim, stops with the machine.
            let lost = !hardware.sound || state == FunctionState::Quarantined;
            if hardware.info.is_endpoint() && !lost {
                let command = read_command(&**self.machine.config.lock(), at.bdf());
                live.bus_masters += u32::from(command.contains(Command::BUS_MASTER));
            }
        }
        live
    }

    /// Whether the teardown of some claim runs.
    pub fn is_ending(&self) -> bool {
        self.hardware.iter().any(|(id, _)| {
            let state = self.at(*id).map(|at| at.turn().function.record.state());
            matches!(state, Ok(FunctionState::Revoking(_)))
        })
    }

    /// Shows that every device has stopped, if it is so and nobody can claim one any more.
    pub fn all_stopped(&self) -> Option<Stopped> {
        let live = self.live();
        let closed = self.machine.closed.load(Ordering::SeqCst);
        (closed && live.claims == 0 && live.bus_masters == 0).then_some(Stopped(()))
    }
}
