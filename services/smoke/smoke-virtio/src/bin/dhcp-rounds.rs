//! Asks the network for an address again and again, whatever becomes of the interface's driver.
//!
//! Argument: for how many milliseconds at least. Invariant: it counts an answer only if it came as a frame, and opens a new
//! session only when the last one is gone.
#![no_std]
#![cfg_attr(not(test), no_main)]

use sdk::{Env, Error, Nic, Refusal, Timer, fact};
use smoke_virtio::asker::{Session, octets};

sdk::entry!(main);

/// The session is gone with its provider, and another one will work.
fn is_gone(refusal: Refusal) -> bool {
    matches!(
        refusal,
        Refusal::ServerDied | Refusal::Stale | Refusal::Revoked | Refusal::NoReply
    )
}

fn main(env: &Env) -> Result<(), Error> {
    let words = env.arguments().next().and_then(|word| word.parse().ok());
    let nic: Nic = env.get("nic")?;
    let timer: Timer = env.get("timer")?;
    let end = timer.now()?.ns + words.unwrap_or(1000) * 1_000_000;
    let mac = octets(nic.retrying().info()?.mac);
    let (mut answers, mut gone, mut number) = (0, 0, 0);
    let mut session = None;
    while answers == 0 || timer.now()?.ns < end {
        number += 1;
        let asked = match &mut session {
            Some(session) => Session::ask(session, &timer, number).map(|_| ()),
            None => Session::open(&nic, mac).map(|opened| session = Some(opened)),
        };
        match asked {
            Ok(()) => answers += 1,
            Err(refusal) if is_gone(refusal) => {
                session = None;
                gone += 1;
            }
            Err(refusal) => return Err(refusal.into()),
        }
    }
    fact!(
        "net.rounds",
        many = answers > 10,
        sessions_lost = gone > 0,
        answers ~ answers,
        lost ~ gone
    );
    Ok(())
}
