//! Asks the network for an address, twice, each time in a session of its own.
//!
//! Invariant: it never states what it did not find in a frame that the interface delivered.
#![no_std]
#![cfg_attr(not(test), no_main)]

use sdk::net::nic_session::Piece;
use sdk::{Env, Error, Nic, Refusal, Timer, fact};
use smoke_rig::outcome;
use smoke_virtio::asker::{Session, WINDOW_BYTES, octets, whole};

sdk::entry!(main);

/// What becomes of one piece.
fn tried(result: Result<Option<Refusal>, Refusal>) -> &'static str {
    outcome(&result.and_then(whole))
}

fn main(env: &Env) -> Result<(), Error> {
    let nic: Nic = env.get("nic")?;
    let timer: Timer = env.get("timer")?;
    let info = nic.info()?;
    fact!(
        "net.info",
        mac = sdk::Hex(info.mac),
        mtu = info.mtu,
        frame_bytes = info.frame_bytes,
        link_up = info.link_up,
        polled = info.polled
    );
    let mac = octets(info.mac);
    let mut first = Session::open(&nic, mac)?;
    let send = |offset, length| {
        let result = first.session.transmit(&[Piece { offset, length }]);
        tried(result.map(|results| results.refusal))
    };
    let post = |offset, length| {
        let result = first.session.post(&[Piece { offset, length }]);
        tried(result.map(|results| results.refusal))
    };
    fact!(
        "net.bounds",
        outside = send(WINDOW_BYTES - 59, 60),
        wrapping = send(u32::MAX, 60),
        short = send(0, 13),
        long = send(0, 1515),
        little_room = post(0, 1513),
        post_outside = post(WINDOW_BYTES - 1513, 1514),
        second_session = outcome(&nic.open(WINDOW_BYTES))
    );
    let [a, b, c, d] = first.ask(&timer, 0x1234_5678)?.address;
    fact!(
        "net.offer",
        address = sdk::alloc::format!("{a}.{b}.{c}.{d}").as_str()
    );
    // The frames that were posted and never came go back with the session: the device is stopped for it.
    drop(first);
    let mut second = Session::open(&nic, mac)?;
    let answer = second.ask(&timer, 0x9abc_def0)?;
    fact!("net.again", message = answer.kind);
    let counters = nic.counters()?;
    fact!(
        "net.counters",
        received = counters.received >= 2,
        transmitted = counters.transmitted >= 2,
        interrupts = counters.delivered > 0,
        brought_up = counters.resets,
        delivered ~ counters.delivered
    );
    Ok(())
}
