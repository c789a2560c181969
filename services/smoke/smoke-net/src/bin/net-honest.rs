//! A client beside one that takes all it can get: its own connections, as many as it is promised, with every byte.
//!
//! Invariant: it never states what it did not see.
#![no_std]
#![cfg_attr(not(test), no_main)]

use sdk::alloc::vec;
use sdk::alloc::vec::Vec;
use sdk::{
    Env, Error, NetworkManager, Refusal, TcpConnectAuthority, TcpStream, Timer, VirtualMemory, fact,
};
use smoke_net::{byte_at, wait_for_network};

sdk::entry!(main);

const SECOND_NS: u64 = 1_000_000_000;
/// QEMU connects this one to a program that sends back what it gets.
const MIRROR: [u8; 4] = [10, 0, 2, 100];
/// The sockets of the other one, before which this one does not begin, and in so many looks one after the other: it has come to
/// the end of its questions, and holds them.
const HELD: u32 = 32;
const LOOKS: u32 = 20;
const BYTES: u64 = 64 * 1024;
const ROUNDS: u32 = 3;

fn main(env: &Env) -> Result<(), Error> {
    let vm: VirtualMemory = env.get("vm")?;
    let timer: Timer = env.get("timer")?;
    let network: NetworkManager = env.get("network")?;
    let connect: TcpConnectAuthority = env.get("connect")?;
    wait_for_network(&network)?;
    let mut held = 0;
    while held < LOOKS {
        let is_held = network.status(|status| status.sockets())? >= HELD;
        held = if is_held { held + 1 } else { 0 };
        timer.sleep(timer.now()?.ns + SECOND_NS / 10)?;
    }
    let mut bytes = 0;
    for _ in 0..ROUNDS {
        let narrower = connect.narrow(&MIRROR, 32, 80, 80)?.authority;
        bytes += mirror(&vm, &timer, &narrower)?;
    }
    let sockets = network.status(|status| status.sockets())?;
    fact!(
        "honest.done",
        bytes = bytes,
        held_meanwhile = sockets >= HELD
    );
    Ok(())
}

/// Bytes to a program on the host and back; how many were the same.
fn mirror(
    vm: &VirtualMemory,
    timer: &Timer,
    connect: &TcpConnectAuthority,
) -> Result<u64, Refusal> {
    let mut stream = TcpStream::connect(vm, connect, &MIRROR, 80, 20 * SECOND_NS)?;
    stream.set_deadline(timer.now()?.ns + 60 * SECOND_NS);
    let (mut sent, mut got, mut same) = (0, 0, 0);
    let mut buffer = vec![0; 8192];
    while got < BYTES {
        if sent < BYTES {
            let piece: Vec<u8> = (sent..(sent + 4096).min(BYTES)).map(byte_at).collect();
            sent += stream.write(&piece)? as u64;
        }
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            break;
        }
        let pairs = buffer.iter().take(count).zip(got..);
        same += pairs
            .filter(|(byte, place)| **byte == byte_at(*place))
            .count() as u64;
        got += count as u64;
    }
    Ok(same)
}
