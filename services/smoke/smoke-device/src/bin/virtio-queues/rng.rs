//! An entropy source.

use sdk::device::device_queue::Direction::{FromDevice, ToDevice};
use sdk::device::device_queue::Segment;
use sdk::{Device, DeviceQueue, Interrupt, Refusal, Timer, Window, fact};
use smoke_rig::virtio::{self, Rig};
use smoke_rig::{POLLED, completion, outcome, piece, submit, tried, window};

/// Bytes of the buffer, and the two pieces of it that the device fills: one over a page boundary.
const BUFFER: u64 = 16384;
const PIECES: [(u32, u32); 2] = [(100, 50), (8000, 3000)];

/// Commands that the queue holds.
const DEPTH: u16 = 8;

pub fn run(name: &str, device: Device, timer: &Timer) -> Result<(), Refusal> {
    let rig = Rig::new(device, 0, 0)?;
    fact!(
        "virtio.up",
        device = name,
        interface = if rig.agreed.is_modern() {
            "modern"
        } else {
            "legacy"
        },
        queues = rig.agreed.queues,
        is_power = rig.agreed.depth.is_power_of_two(),
        depth ~ rig.agreed.depth
    );
    let (queue, interrupt) = open(&rig)?;
    let buffer = rig.buffer(BUFFER)?;
    let window = window(&buffer, BUFFER)?;
    let pieces = PIECES.map(|(at, length)| piece(&buffer, at, length, FromDevice));
    let in_flight = || queue.info().map(|info| info.in_flight);
    let before = in_flight()?;
    submit(&queue, 1, &[], &pieces)?;
    let during = in_flight()?;
    let interrupt = interrupted(interrupt.as_ref(), timer)?;
    let ended = completion(&queue, timer, 1)?;
    fact!(
        "virtio.in-flight",
        device = name,
        before = before,
        during = during,
        after = in_flight()?
    );
    let (within, without) = filled(&window)?;
    fact!(
        "virtio.rng",
        device = name,
        status = ended.status,
        bytes = ended.result,
        mostly_filled = within > 2900,
        outside = without,
        interrupt = interrupt
    );
    let read = |at, length| tried(&queue, &[], &[piece(&buffer, at, length, FromDevice)]);
    fact!(
        "virtio.rng-refused",
        device = name,
        template = tried(&queue, &[0], &pieces),
        to_device = tried(&queue, &[], &[piece(&buffer, 0, 16, ToDevice)]),
        nothing = tried(&queue, &[], &[]),
        zero = read(0, 0),
        past_the_buffer = read(BUFFER as u32 - 8, 16),
        second_queue = outcome(&rig.device.queue(0, 1, 1, POLLED)),
        same_queue = outcome(&rig.device.queue(0, 0, 1, POLLED))
    );
    doorbells(name, &rig)?;
    after_reset(name, &rig, &queue, &pieces)
}

/// A queue does not outlive a reset.
fn after_reset(
    name: &str,
    rig: &Rig,
    queue: &DeviceQueue,
    pieces: &[Segment],
) -> Result<(), Refusal> {
    rig.device.reset()?;
    fact!(
        "virtio.after-reset",
        device = name,
        submit = tried(queue, &[], pieces),
        complete = outcome(&queue.complete(1, |_| ())),
        info = outcome(&queue.info())
    );
    Ok(())
}

/// How many bytes are not zero, inside the pieces and outside.
fn filled(window: &Window) -> Result<(usize, usize), Refusal> {
    let mut bytes = [0u8; BUFFER as usize];
    window.read(0, &mut bytes)?;
    let inside = |at: usize| {
        let mut pieces = PIECES.iter();
        pieces.any(|(first, length)| (*first as usize..(first + length) as usize).contains(&at))
    };
    let filled = |wanted: bool| {
        let bytes = bytes.iter().enumerate();
        bytes
            .filter(|(at, byte)| inside(*at) == wanted && **byte != 0)
            .count()
    };
    Ok((filled(true), filled(false)))
}

/// A queue, with its interrupt where the device has one.
fn open(rig: &Rig) -> Result<(DeviceQueue, Option<Interrupt>), Refusal> {
    match virtio::listen(&rig.device, 0, DEPTH) {
        Ok((queue, interrupt)) => Ok((queue, Some(interrupt))),
        Err(_) => Ok((virtio::poll(&rig.device, 0, DEPTH)?, None)),
    }
}

/// Waits for the interrupt where there is one; whether it came.
fn interrupted(interrupt: Option<&Interrupt>, timer: &Timer) -> Result<&'static str, Refusal> {
    let Some(interrupt) = interrupt else {
        return Ok("polled");
    };
    let give_up = timer.now()?.ns + 2_000_000_000;
    if interrupt.with_deadline(give_up).wait().is_err() {
        return Ok("missing");
    }
    interrupt.acknowledge()?;
    Ok("came")
}

/// Only the broker rings: what a provider tries at the notification register, the status and the ISR byte. The places are
/// those of QEMU's devices; a wrong guess would be refused no differently, and nothing rests on it.
fn doorbells(name: &str, rig: &Rig) -> Result<(), Refusal> {
    let (bar, notify, status, isr) = if rig.agreed.is_modern() {
        (4, 0x3000, 20, 0x1000)
    } else {
        (0, 16, 18, 19)
    };
    let mmio = rig.device.mmio(bar)?.mmio;
    fact!(
        "virtio.doorbells",
        device = name,
        ring = outcome(&mmio.write(notify, 2, 0)),
        stop = outcome(&mmio.write(status, 1, 0)),
        read_isr = outcome(&mmio.read(isr, 1)),
        map = outcome(&mmio.map(0, 4096))
    );
    Ok(())
}
