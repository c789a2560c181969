//! `SystemControl`: the end of the machine. Devices are stopped here first; `power` ends what has stopped.

use alloc::sync::Arc;

use cap::Epoch;
use cpu::Lock;
use device_manager::Live;
use ipc::{KernelCall, Late};
use sabotage::sabotage;
use schema::process::system_control;
use stub::{Answered, Refusal};

use super::served::{self, Owed, Served, kernel_object};
use crate::devices::manager;

/// The right to end the machine.
pub struct Power {
    epoch: Epoch,
}

impl Power {
    pub fn new() -> Arc<Self> {
        served::at_boot(Self {
            epoch: Epoch::default(),
        })
    }
}

kernel_object!(Power, system_control);

impl<'a> system_control::Server<KernelCall<'a>> for Served<Power> {
    fn halt(&mut self, reply: Owed<'a, system_control::call::Halt>, code: u8) -> Answered {
        let (answered, later) = reply.defer();
        end(later, code);
        answered
    }

    fn reboot(&mut self, reply: Owed<'a, system_control::call::Reboot>) -> Answered {
        let (answered, later) = reply.defer();
        begin(later);
        answered
    }
}

/// How long devices may take to stop before a reset: longer than any broker and any teardown.
const STOP_NS: u64 = 30_000_000_000;
const LOOK_NS: u64 = 1_000_000;

/// How long the machine goes on for claims that are ending when it is to be powered off.
const LAST_NS: u64 = 1_000_000_000;

/// A power-off that waits for claims to end.
struct Last {
    /// Never answered: the machine is gone by then.
    _later: Late<system_control::call::Halt>,
    code: u8,
    deadline_ns: u64,
}

static LAST: Lock<Option<Last>> = Lock::new(None);

/// Powers off; first the claims that are ending come to their end, which is told, or to the deadline. No other is ended: a power-off stops
/// every device. Answered only if that is refused: `busy` while another one waits.
fn end(later: Late<system_control::call::Halt>, code: u8) {
    let deadline_ns = sched::now_ns() + LAST_NS;
    let mut last = LAST.lock();
    if last.is_some() {
        drop(last);
        later.refuse(Refusal::Busy);
        return;
    }
    *last = Some(Last {
        _later: later,
        code,
        deadline_ns,
    });
    drop(last);
    look_last(0);
}

/// Powers off once no claim is ending. From the timer, one after the other.
fn look_last(_: u64) {
    let Some((code, deadline_ns)) = LAST.lock().as_ref().map(|l| (l.code, l.deadline_ns)) else {
        return;
    };
    if !manager().is_ending() || sched::now_ns() >= deadline_ns {
        crate::power::halt(code);
    }
    sched::callback_at(sched::now_ns() + LOOK_NS, look_last, 0);
}

/// A reset that waits for devices to stop.
struct Reboot {
    later: Late<system_control::call::Reboot>,
    claims: u32,
    deadline_ns: u64,
}

static REBOOT: Lock<Option<Reboot>> = Lock::new(None);

/// Ends every claim on a device, then resets. Answered only if that is refused: `busy` while another one waits,
/// `timedOut` if some device has neither stopped nor been given up in time; the machine goes on then.
fn begin(later: Late<system_control::call::Reboot>) {
    let manager = manager();
    sabotage!(REBOOT_SKIPS_TEARDOWN => {
        state(0, &manager.live());
        crate::power::reset_anyway()
    });
    {
        let mut waiting = REBOOT.lock();
        if waiting.is_some() {
            drop(waiting);
            later.refuse(Refusal::Busy);
            return;
        }
        *waiting = Some(Reboot {
            later,
            claims: 0,
            deadline_ns: sched::now_ns() + STOP_NS,
        });
    }
    let claims = manager.close();
    if let Some(waiting) = REBOOT.lock().as_mut() {
        waiting.claims = claims;
    }
    look(0);
}

/// Resets once every device has stopped. From the timer, one after the other.
fn look(_: u64) {
    let manager = manager();
    let Some((claims, deadline_ns)) = REBOOT.lock().as_ref().map(|r| (r.claims, r.deadline_ns))
    else {
        return;
    };
    if let Some(stopped) = manager.all_stopped() {
        crate::smp::stop_others();
        state(claims, &manager.live());
        crate::power::reset(stopped);
    }
    if sched::now_ns() < deadline_ns {
        return sched::callback_at(sched::now_ns() + LOOK_NS, look, 0);
    }
    let live = manager.live();
    crate::fact!(
        "power.reset-refused",
        live = live.claims,
        bus_masters = live.bus_masters
    );
    manager.allow_claims();
    let waiting = REBOOT.lock().take();
    if let Some(waiting) = waiting {
        waiting.later.refuse(Refusal::TimedOut);
    }
}

/// States what holds devices at the moment of a reset.
fn state(torn_down: u32, live: &Live) {
    crate::fact!(
        "power.reset",
        torn_down = torn_down,
        live = live.claims,
        bus_masters = live.bus_masters,
        quarantined = live.quarantined
    );
}
