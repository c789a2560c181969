//! Ends a process by its name, again and again: what a supervisor has to live with.
//!
//! Arguments: name, how often, milliseconds between. With a `block` capability it lets each successor come up first, and with
//! a `machineInspector` it waits until a device has a command in flight and has answered none for a while: whoever throttles
//! the disk after `crasher.armed` has the command still there at the kill. Invariant: it never ends anything of another name.
#![no_std]
#![cfg_attr(not(test), no_main)]

use sdk::{
    BlockDevice, Env, Error, MachineInspector, ProcessControl, Refusal, SystemInfo, Timer,
    diagnostics::machine_inspector::Use, fact,
};
use smoke::process_named;

sdk::entry!(main);

/// Time between two looks, and how often is looked.
const LOOK_NS: u64 = 1_000_000;
const LOOKS: u32 = 60_000;
/// A device that has a command and raises nothing for so long is one that somebody holds.
const STILL_NS: u64 = 500_000_000;

/// Whether a device has a command in flight, and how many interrupts of devices there were.
fn look(inspector: &MachineInspector) -> Result<(bool, u64), Refusal> {
    let flying = inspector.claims(0, |results| {
        let claims = results.list()?;
        Ok::<_, Refusal>(claims.iter().any(|claim| claim.commands_in_flight() > 0))
    })??;
    let raised = inspector.vectors(0, |results| {
        let mut raised = 0_u64;
        for vector in results.list()?.iter() {
            if vector.use_()? == Use::Device {
                raised = raised.wrapping_add(vector.raised());
            }
        }
        Ok::<_, Refusal>(raised)
    })??;
    Ok((flying, raised))
}

/// Waits until a device has a command in flight that does not end.
fn stuck(inspector: &MachineInspector, timer: &Timer) -> Result<(), Refusal> {
    let mut before = None;
    let mut since = timer.now()?.ns;
    for _ in 0..LOOKS {
        let (flying, raised) = look(inspector)?;
        let now = timer.now()?.ns;
        if !flying || before != Some(raised) {
            since = now;
        } else if now - since >= STILL_NS {
            return Ok(());
        }
        before = Some(raised);
        timer.sleep(now + LOOK_NS)?;
    }
    Err(Refusal::TimedOut)
}

fn main(env: &Env) -> Result<(), Error> {
    let mut arguments = env.arguments();
    let name = arguments.next().unwrap_or("nvme");
    let times: u32 = arguments.next().and_then(|a| a.parse().ok()).unwrap_or(1);
    let pause_ms: u64 = arguments.next().and_then(|a| a.parse().ok()).unwrap_or(200);
    let timer: Timer = env.get("timer")?;
    let info: SystemInfo = env.get("systemInfo")?;
    let control: ProcessControl = env.get("processControl")?;
    let block = env.get::<BlockDevice>("block").ok();
    let inspector = env.get::<MachineInspector>("machineInspector").ok();
    let mut killed = 0;
    while killed < times {
        if let Some(block) = &block {
            // Answered by whoever serves the disk now, as soon as somebody does.
            block.retrying().info()?;
        }
        timer.sleep(timer.now()?.ns + pause_ms * 1_000_000)?;
        if let Some(inspector) = &inspector {
            fact!("crasher.armed", round = killed + 1);
            stuck(inspector, &timer)?;
        }
        // Between a death and the restart there is nobody of that name.
        if let Some(id) = process_named(&info, name)?
            && control.kill(id).is_ok()
        {
            killed += 1;
        }
    }
    fact!("crasher.done", name = name, killed = killed);
    Ok(())
}
