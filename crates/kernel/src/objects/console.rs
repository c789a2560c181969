//! `Console`: the serial line.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU8, AtomicU32, Ordering};

use arrayvec::ArrayVec;
use cap::Epoch;
use cpu::Lock;
use ipc::Pending;
use mmio::Registers;
use schema::process::console;
use stub::Answered;

use super::{Owed, Served, kernel_object};
use crate::acpi::Machine;
use crate::serial;

/// Input that nobody has read yet, at most.
const INPUT_BYTES: usize = 4096;

/// Bytes written in one call, at most: a slow line takes 44 ms for them, with interrupts off.
const OUTPUT_BYTES: usize = 512;

/// Readers beyond which those that gave up are dropped.
const READERS: usize = 64;

#[derive(Default)]
struct Input {
    bytes: VecDeque<u8>,
    readers: VecDeque<Pending>,
}

static INPUT: Lock<Option<Input>> = Lock::new(None);
/// Vector of COM1, 0 for none: then input is polled on a timer.
static VECTOR: AtomicU8 = AtomicU8::new(0);
/// Global interrupt of that line.
static GSI: AtomicU32 = AtomicU32::new(0);
const POLL_NS: u64 = 5_000_000;

/// The one object; every handle names it.
pub struct Console {
    epoch: Epoch,
}

impl Console {
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            epoch: Epoch::default(),
        })
    }
}

kernel_object!(Console, console);

/// Masks every I/O APIC entry, then routes COM1's line, where the tables say where it arrives.
pub fn initialise(machine: &Machine) {
    *INPUT.lock() = Some(Input::default());
    let mut routed = false;
    let mut inputs = 0;
    for (address, first) in &machine.io_apics {
        let Ok(base) = paging::map_device(*address, 4096) else {
            continue;
        };
        // SAFETY: an I/O APIC's page, mapped uncached for good.
        let io = apic::IoApic::new(unsafe { Registers::new(base, 4096) }, *first);
        inputs += io.range().1;
        let (Some(line), Ok(vector)) = (machine.com1, apic::allocate_vector()) else {
            continue;
        };
        let target = apic::local_id();
        if !routed
            && io
                .route(line.gsi, vector, target, line.level, line.active_low)
                .is_ok()
        {
            GSI.store(line.gsi, Ordering::Relaxed);
            VECTOR.store(vector, Ordering::Release);
            routed = true;
        } else {
            apic::free_vector(vector);
        }
    }
    crate::fact!("boot.io-apic", masked = inputs, console_routed = routed);
    serial::enable_input();
    if !routed {
        sched::callback_at(sched::now_ns() + POLL_NS, poll, 0);
    }
}

/// The vector and global interrupt of the line, where it interrupts.
pub fn line() -> Option<(u8, u32)> {
    let vector = VECTOR.load(Ordering::Acquire);
    (vector != 0).then(|| (vector, GSI.load(Ordering::Relaxed)))
}

fn poll(_: u64) {
    gather();
    sched::callback_at(sched::now_ns() + POLL_NS, poll, 0);
}

/// Handles COM1's interrupt.
pub fn on_interrupt(vector: u8) -> bool {
    if vector != VECTOR.load(Ordering::Acquire) {
        return false;
    }
    gather();
    true
}

fn gather() {
    loop {
        let (reader, results) = {
            let mut input = INPUT.lock();
            let Some(input) = input.as_mut() else { return };
            while let Some(byte) = serial::take() {
                if input.bytes.len() < INPUT_BYTES {
                    input.bytes.push_back(byte);
                }
            }
            while input.readers.front().is_some_and(|r| !r.is_live()) {
                // Its caller gave up; dropping it completes nothing.
                input.readers.pop_front();
            }
            if input.bytes.is_empty() || input.readers.is_empty() {
                return;
            }
            let Some(reader) = input.readers.pop_front() else {
                return;
            };
            (reader, take(&mut input.bytes))
        };
        if !reader.try_respond(reply_of(&results)) {
            // Its caller gave up just now: the next one reads them.
            if let Some(input) = INPUT.lock().as_mut() {
                for byte in results.into_iter().rev() {
                    input.bytes.push_front(byte);
                }
            }
        }
    }
}

/// What one answer carries.
type Taken = ArrayVec<u8, 24>;

fn take(bytes: &mut VecDeque<u8>) -> Taken {
    let count = bytes.len().min(24);
    bytes.drain(..count).collect()
}

fn reply_of(taken: &Taken) -> console::ReadReply {
    let mut words = [0u64; 3];
    for (i, byte) in taken.iter().enumerate() {
        words[i / 8] |= u64::from(*byte) << (8 * (i % 8));
    }
    console::ReadReply {
        count: taken.len() as u8,
        a: words[0],
        b: words[1],
        c: words[2],
    }
}

impl<'a> console::Server<ipc::KernelCall<'a>> for Served<Console> {
    fn write(&mut self, reply: Owed<'a, console::call::Write>, bytes: &[u8]) -> Answered {
        let taken = &bytes[..bytes.len().min(OUTPUT_BYTES)];
        serial::write_bytes(taken);
        reply.send(console::WriteReply {
            written: taken.len() as u32,
        })
    }

    fn read(&mut self, reply: Owed<'a, console::call::Read>) -> Answered {
        let results = {
            let mut input = INPUT.lock();
            match input.as_mut() {
                Some(input) if !input.bytes.is_empty() => Some(take(&mut input.bytes)),
                _ => None,
            }
        };
        if let Some(results) = results {
            return reply.send(reply_of(&results));
        }
        let (answered, later) = reply.defer();
        if let Some(input) = INPUT.lock().as_mut() {
            if input.readers.len() >= READERS {
                // Dropping those that gave up completes nothing: their callers are gone.
                input.readers.retain(Pending::is_live);
            }
            input.readers.push_back(later.into_inner());
        }
        // A byte may have come to another CPU since the first look, which saw no reader.
        gather();
        answered
    }
}
