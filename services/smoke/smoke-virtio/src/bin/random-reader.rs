//! Reads a device's random bytes, and asks whether `EntropySource` has anything to do with them.
//!
//! Invariant: it never judges bytes by anything but what random bytes nearly always are: different, and half ones.
#![no_std]
#![cfg_attr(not(test), no_main)]

use sdk::{EntropySource, Env, Error, HardwareRandom, Refusal, fact};
use smoke_rig::outcome;

sdk::entry!(main);

const BYTES: usize = 1024;

/// Of 8192 fair bits about 4096 are ones, with a standard deviation of 45: beyond six of them something is wrong.
const LEAST_ONES: u32 = 4096 - 6 * 45;
const MOST_ONES: u32 = 4096 + 6 * 45;

/// Fills `to`, however many calls it takes.
fn fill(random: &HardwareRandom, to: &mut [u8; BYTES]) -> Result<(), Refusal> {
    let mut filled = 0;
    while filled < BYTES {
        let wanted = (BYTES - filled) as u32;
        filled += random.read(wanted, |results| {
            let data = results.data()?;
            let rest = to.get_mut(filled..).unwrap_or_default();
            let count = data.len().min(rest.len());
            for (to, from) in rest.iter_mut().zip(data) {
                *to = *from;
            }
            if count == 0 {
                return Err(Refusal::DeviceError);
            }
            Ok(count)
        })??;
    }
    Ok(())
}

fn is_plausible(bytes: &[u8]) -> bool {
    let ones = bytes.iter().map(|byte| byte.count_ones()).sum();
    (LEAST_ONES..=MOST_ONES).contains(&ones)
}

fn main(env: &Env) -> Result<(), Error> {
    let random: HardwareRandom = env.get("random")?;
    let (mut first, mut second) = ([0; BYTES], [0; BYTES]);
    fill(&random, &mut first)?;
    fill(&random, &mut second)?;
    fact!(
        "random.read",
        bytes = BYTES,
        differ = first != second,
        plausible = is_plausible(&first) && is_plausible(&second)
    );
    fact!(
        "random.bounds",
        none = outcome(&random.read(0, |_| ())),
        many = outcome(&random.read(BYTES as u32 + 1, |_| ()))
    );
    let info = random.info()?;
    fact!(
        "random.noticed",
        by_interrupt = info.delivered >= 2 && !info.polled,
        all_served = info.served >= 2 * BYTES as u64,
        interrupts ~ info.delivered
    );
    let entropy: EntropySource = env.get("entropySource")?;
    fact!("random.entropy-source", refusal = outcome(&entropy.fill()));
    Ok(())
}
