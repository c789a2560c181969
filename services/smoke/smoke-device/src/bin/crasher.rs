//! Ends a process by its name, again and again: what a supervisor has to live with.
//!
//! Arguments: name, how often, milliseconds between. With a `block` capability it lets each successor come up first, and with
//! a `machineInspector` it waits until some device has a command in flight. Invariant: it never ends anything of another name.
#![no_std]
#![cfg_attr(not(test), no_main)]

use sdk::{
    BlockDevice, Env, Error, MachineInspector, ProcessControl, Refusal, SystemInfo, Timer, fact,
};

sdk::entry!(main);

fn find(info: &SystemInfo, name: &str) -> Result<Option<u64>, Refusal> {
    let mut from = 0;
    loop {
        let (next, found) = info.processes(from, |results| {
            let mut found = None;
            for process in results.list()?.iter() {
                if process.name()? == name {
                    found = Some(process.id());
                }
            }
            Ok::<_, Refusal>((results.next(), found))
        })??;
        if found.is_some() || next == 0 {
            return Ok(found);
        }
        from = next;
    }
}

/// Looks between two commands, and at most so often.
const LOOK_NS: u64 = 1_000_000;
const LOOKS: u32 = 20_000;

/// Waits until a device has a command in flight.
fn busy(inspector: &MachineInspector, timer: &Timer) -> Result<(), Refusal> {
    for _ in 0..LOOKS {
        let flying = inspector.claims(0, |results| {
            let claims = results.list()?;
            Ok::<_, Refusal>(claims.iter().any(|claim| claim.commands_in_flight() > 0))
        })??;
        if flying {
            return Ok(());
        }
        timer.sleep(timer.now()?.ns + LOOK_NS)?;
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
            busy(inspector, &timer)?;
        }
        // Between a death and the restart there is nobody of that name.
        if let Some(id) = find(&info, name)?
            && control.kill(id).is_ok()
        {
            killed += 1;
        }
    }
    fact!("crasher.done", name = name, killed = killed);
    Ok(())
}
