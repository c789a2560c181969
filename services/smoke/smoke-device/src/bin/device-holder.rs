//! Has a disk up and running, and holds on to it whatever happens.
#![no_std]
#![cfg_attr(not(test), no_main)]

use sdk::{Env, Error, NEVER, Timer, fact};
use smoke_rig::nvme::Rig;

sdk::entry!(main);

fn main(env: &Env) -> Result<(), Error> {
    let timer: Timer = env.get("timer")?;
    let rig = Rig::new(env.get("device")?)?;
    fact!("holder.enabled", generation ~ rig.device.info()?.generation);
    loop {
        timer.sleep(NEVER)?;
    }
}
