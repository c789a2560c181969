//! A provider of a network interface that tries what it must not, and asks which of its two interrupts is whose.
//!
//! Invariant: it never succeeds in anything but sending one frame twice and receiving what answers it.
#![no_std]
#![cfg_attr(not(test), no_main)]

use sdk::device::device_queue::{Direction, Segment};
use sdk::{
    Access, Device, DeviceQueue, DmaBuffer, Env, Error, Interrupt, Refusal, Timer, Window, fact,
};
use smoke_rig::{completed, into, outcome, piece, submit, virtio, window};
use smoke_virtio::asker::octets;
use smoke_virtio::dhcp::{self, DISCOVER_BYTES};

sdk::entry!(main);

const RECEIVE: u16 = 0;
const TRANSMIT: u16 = 1;
const ROOM: u32 = 2048;
const SECOND_NS: u64 = 1_000_000_000;

/// One direction: a queue and the source that it raises.
struct Side {
    queue: DeviceQueue,
    interrupt: Interrupt,
}

impl Side {
    fn open(device: &Device, index: u16) -> Result<Self, Refusal> {
        let (queue, interrupt) = virtio::listen(device, index, 16)?;
        Ok(Self { queue, interrupt })
    }

    /// Waits for the interrupt.
    fn wait(&self, timer: &Timer) -> Result<u64, Refusal> {
        let until = timer.now()?.ns + SECOND_NS;
        Ok(self.interrupt.with_deadline(until).wait()?.dispatches)
    }

    /// Bytes of the frames that have completed, one entry each.
    fn completed(&self) -> Result<sdk::alloc::vec::Vec<u32>, Refusal> {
        let all = completed(&self.queue)?;
        Ok(all.iter().map(|completion| completion.result).collect())
    }
}

fn out(buffer: &DmaBuffer, length: u32) -> Segment {
    piece(buffer, 0, length, Direction::ToDevice)
}

fn shapes(receive: &Side, transmit: &Side, buffer: &DmaBuffer) {
    let (receive, transmit) = (&receive.queue, &transmit.queue);
    let whole = [into(buffer, 0, ROOM)];
    fact!(
        "net.templates",
        receive = outcome(&submit(receive, 1, &[0; 12], &whole)),
        transmit = outcome(&submit(transmit, 1, &[0; 10], &[out(buffer, 60)]))
    );
    fact!(
        "net.lengths",
        no_frame = outcome(&submit(transmit, 1, &[], &[out(buffer, 13)])),
        long_frame = outcome(&submit(transmit, 1, &[], &[out(buffer, 1515)])),
        little_room = outcome(&submit(receive, 1, &[], &[into(buffer, 0, 1513)])),
        nothing = outcome(&submit(transmit, 1, &[], &[])),
        past_the_buffer = outcome(&submit(receive, 1, &[], &[into(buffer, 4096, ROOM)]))
    );
    fact!(
        "net.directions",
        receive = outcome(&submit(receive, 1, &[], &[out(buffer, ROOM)])),
        transmit = outcome(&submit(transmit, 1, &[], &[into(buffer, 0, 60)]))
    );
}

fn main(env: &Env) -> Result<(), Error> {
    let timer: Timer = env.get("timer")?;
    let device: Device = env.get("device")?;
    let agreed = virtio::start(&device, 2, 0)?;
    let (receive, transmit) = (
        Side::open(&device, RECEIVE)?,
        Side::open(&device, TRANSMIT)?,
    );
    let pool = device.pool(64 * 1024)?.pool;
    let buffer = pool.allocate(4096, sdk::Layout::Scattered)?.buffer;
    shapes(&receive, &transmit, &buffer);

    let config = device.mmio(agreed.bar)?.mmio;
    let mac = (0..6).try_fold(0, |mac, at| {
        Ok::<u64, Refusal>(mac << 8 | config.read(agreed.config + at, 1)?.value)
    })?;
    let window = window(&buffer, 4096)?;
    window.write(0, &dhcp::discover(octets(mac), 7))?;
    let frame = [out(&buffer, DISCOVER_BYTES as u32)];

    // There is no room for an answer yet, so the transmit queue alone raises.
    submit(&transmit.queue, 2, &[], &frame)?;
    let sent = transmit.wait(&timer);
    fact!(
        "net.transmit-interrupt",
        waited = outcome(&sent),
        completed = transmit.completed()?.len(),
        acknowledged_by_other = outcome(&receive.interrupt.acknowledge()),
        acknowledged = outcome(&transmit.interrupt.acknowledge()),
        twice = outcome(&transmit.interrupt.acknowledge()),
        other_delivered = receive.interrupt.info()?.delivered
    );

    let room = pool.allocate(4096, sdk::Layout::Scattered)?.buffer;
    submit(&receive.queue, 3, &[], &[into(&room, 0, ROOM)])?;
    submit(&transmit.queue, 4, &[], &frame)?;
    let came = receive.wait(&timer);
    let frames = receive.completed()?;
    let answer = Window::map(
        room.window(sdk::WindowAccess::Read)?.memory,
        4096,
        Access::Read,
    )?;
    let mut bytes = sdk::alloc::vec![0; frames.first().copied().unwrap_or(0) as usize];
    answer.read(0, &mut bytes)?;
    let kind = dhcp::answer(&bytes, octets(mac), 7).map_or(0, |answer| answer.kind);
    fact!(
        "net.receive-interrupt",
        waited = outcome(&came),
        frames = frames.len(),
        message = kind,
        acknowledged = outcome(&receive.interrupt.acknowledge()),
        twice = outcome(&receive.interrupt.acknowledge())
    );

    device.reset()?;
    fact!(
        "net.after-reset",
        wait = outcome(&receive.wait(&timer)),
        acknowledge = outcome(&transmit.interrupt.acknowledge()),
        unmask = outcome(&transmit.interrupt.unmask()),
        queue = outcome(&transmit.completed())
    );
    fact!("net.done");
    Ok(())
}
