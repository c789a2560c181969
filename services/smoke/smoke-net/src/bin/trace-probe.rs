//! Asks for more of what passes than was granted, and twice at once.
#![no_std]
#![cfg_attr(not(test), no_main)]

use sdk::{Access, Env, Error, NetworkManager, PacketTrace, Refusal, VirtualMemory, Window, fact};
use smoke_net::wait_for_network;

sdk::entry!(main);

const WINDOW: u64 = 64 * 1024;

fn name<T>(result: Result<T, Refusal>) -> &'static str {
    result.map_or_else(Refusal::name, |_| "ok")
}

fn main(env: &Env) -> Result<(), Error> {
    let vm: VirtualMemory = env.get("vm")?;
    let network: NetworkManager = env.get("network")?;
    let trace: PacketTrace = env.get("heads")?;
    wait_for_network(&network)?;
    let window = |bytes| -> Result<Window, Refusal> {
        Window::map(vm.create_memory(bytes)?.memory, bytes, Access::ReadWrite)
    };
    let (own, more) = (window(WINDOW)?, window(WINDOW)?);
    let open = |window: &Window, snap, ring| {
        let opened = trace.open(window.memory().cap(), snap, ring);
        opened.map(|opened| opened.capture)
    };
    let payload = name(open(&own, 1514, 8192));
    let (short, ring) = (name(open(&own, 13, 8192)), name(open(&own, 54, 4095)));
    let first = open(&own, 54, 8192)?;
    let twice = name(open(&more, 54, 8192));
    let empty = first.read(u64::MAX)?;
    fact!(
        "trace.bounds",
        granted = trace.info()?.snap_bytes,
        payload = payload,
        short = short,
        ring = ring,
        twice = twice,
        beyond = empty.bytes
    );
    drop(first);
    fact!("trace.again", open = name(open(&own, 54, 8192)));
    Ok(())
}
