//! `Console`: the serial line.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};

use arrayvec::ArrayVec;
use cap::Epoch;
use cpu::Lock;
use device_manager::{Line, Raiser};
use frames::Grow;
use ipc::{Late, Waitlist};
use line_queue::{Form, Writer};
use plain_text::{FilterMode, TextFilter};
use sabotage::sabotage;
use schema::process::console;
use stub::{Answered, Refusal};

use super::attention;
use super::served::{self, Owed, Served, kernel_object};
use crate::acpi::Machine;
use crate::serial::{self, Look, Routed};

/// Input that nobody has read yet, at most; what is beyond it stays with its sender.
const INPUT_BYTES: usize = 4096;
/// A sender that was held is let go on when no more than this is unread.
const ADMIT_BYTES: usize = INPUT_BYTES / 2;

/// Bytes written in one call, at most: they are queued in one piece.
const OUTPUT_BYTES: usize = line_queue::UNIT_BYTES;

/// Of these, bytes that are more than a printable character of ASCII: each costs some 150 instructions.
const ODD_BYTES: usize = 96;

/// Bytes that one write of text puts out, at most: they are gathered on the stack.
const TEXT_BYTES: usize = 1024;

/// Looks at the UART's causes in one interrupt, at most; the timer sees to what is left.
const CAUSES: usize = 4;

/// Calls of one process that wait for input at once, at most: what one reader does leaves the others theirs.
const SHARE: usize = 4;
/// Readers that gave up and are passed over in one go.
const STEP: usize = 16;

#[derive(Default)]
struct Input {
    bytes: VecDeque<u8>,
    /// First come, first served.
    readers: Waitlist<(), Late<console::call::Read>, SHARE>,
    /// The line's sender has been told to stop.
    held: bool,
}

impl Input {
    /// Takes what the line has, as far as there is room; whether a break was among it.
    fn fill(&mut self) -> bool {
        let mut broke = false;
        while !self.hold() {
            match serial::take() {
                Some(serial::Input::Break) => broke = true,
                Some(serial::Input::Byte(byte)) => {
                    // There is room: see `hold`.
                    let _ = self.bytes.put(byte);
                }
                None => return broke,
            }
        }
        broke | serial::take_break()
    }

    /// Whether there is no room for another byte; then the sender is held.
    fn hold(&mut self) -> bool {
        // So little that any sender outruns any reader, however busy the host is.
        let room = if sabotage!(DROP_INPUT) {
            32
        } else {
            INPUT_BYTES
        };
        if self.bytes.len() < room {
            return false;
        }
        if sabotage!(DROP_INPUT) && !self.held {
            // What came last is lost.
            while self.bytes.len() > room / 2 {
                self.bytes.pop_back();
            }
        }
        if !core::mem::replace(&mut self.held, true) {
            serial::hold_input();
        }
        true
    }

    /// What one answer carries. The sender goes on once enough was read.
    #[expect(clippy::disallowed_methods, reason = "stack: into an array")]
    fn take(&mut self) -> Taken {
        let count = self.bytes.len().min(ANSWER_BYTES);
        let taken = self.bytes.drain(..count).collect();
        if self.held && self.bytes.len() <= ADMIT_BYTES {
            self.held = false;
            serial::admit_input();
        }
        taken
    }
}

static INPUT: Lock<Option<Input>> = Lock::new(None);
/// CPU and vector of COM1, 0 for none: then input is polled on a timer.
static VECTOR: AtomicU32 = AtomicU32::new(0);
/// Global interrupt of that line.
static GSI: AtomicU32 = AtomicU32::new(0);
const POLL_NS: u64 = 5_000_000;
/// When to look again after an interrupt that left something undone.
const AGAIN_NS: u64 = 1_000_000;

/// The serial line, for text or for every byte: one object each.
pub struct Console {
    epoch: Epoch,
    mode: FilterMode,
}

impl Console {
    pub fn new(mode: FilterMode) -> Arc<Self> {
        served::at_boot(Self {
            epoch: Epoch::default(),
            mode,
        })
    }
}

/// Puts into `shown` what text looks like, and says how many bytes that took. A character stays whole where its writer goes
/// on with it. Many programs share the object, so nothing is kept between two writes.
fn filter(bytes: &[u8], shown: &mut ArrayVec<u8, TEXT_BYTES>) -> usize {
    // A line's end takes two bytes where its writer has written one.
    let most = bytes.len().min(TEXT_BYTES / 2);
    let mut odd = (0..most).filter(|at| !matches!(bytes[*at], b' '..=b'~'));
    let most = odd.nth(ODD_BYTES).unwrap_or(most);
    let taken = match most < bytes.len() {
        true => whole_characters(bytes, most),
        false => most,
    };
    let mut filter = TextFilter::new(FilterMode::Text);
    let mut out = |piece: &[u8]| shown.try_extend_from_slice(piece);
    let _ = filter.write(&bytes[..taken], &mut out);
    let _ = filter.finish(&mut out);
    taken
}

/// The most bytes up to `most` that end with a character, and not between the two of a line's end.
fn whole_characters(bytes: &[u8], most: usize) -> usize {
    let starts = |at: &usize| {
        let in_end = *at > 1 && bytes.get(*at - 1..=*at) == Some(b"\r\n");
        !in_end && bytes.get(*at).is_none_or(|byte| byte & 0xc0 != 0x80)
    };
    (most.saturating_sub(3)..=most)
        .rev()
        .find(starts)
        .unwrap_or(most)
}

kernel_object!(Console, console);

/// Masks every I/O APIC entry, then routes COM1's line, where the tables say where it arrives.
#[expect(
    clippy::disallowed_methods,
    reason = "boot: made with room for all it ever holds"
)]
pub fn initialise(machine: &Machine) {
    *INPUT.lock() = Some(Input {
        // An answer that could not be given puts its bytes back.
        bytes: VecDeque::with_capacity(INPUT_BYTES + ANSWER_BYTES),
        ..Input::default()
    });
    let (inputs, pins) = crate::lines::initialise(machine);
    let routed = route(machine).is_some();
    crate::fact!(
        "boot.io-apic",
        masked = inputs,
        console_routed = routed,
        pins = pins
    );
    serial::enable(if routed { Routed::Yes } else { Routed::No });
    if !routed {
        sched::callback_at(sched::now_ns() + POLL_NS, poll, 0);
    }
}

/// Routes COM1's line to the boot CPU.
fn route(machine: &Machine) -> Option<()> {
    let source = machine.com1?;
    let line = Line {
        gsi: source.gsi,
        level: source.level,
        active_low: source.active_low,
    };
    let fresh = crate::devices::take_vector(Some(0)).ok()?;
    let message = crate::devices::admit(Raiser::Line(line), fresh).ok()?;
    GSI.store(line.gsi, Ordering::Relaxed);
    VECTOR.store(pack(message.cpu, message.vector), Ordering::Release);
    if crate::lines::route(&line, &message) {
        crate::lines::unmask(line.gsi);
        return Some(());
    }
    VECTOR.store(0, Ordering::Release);
    crate::devices::retire_vector(&message);
    None
}

const fn pack(cpu: u16, vector: u8) -> u32 {
    (cpu as u32) << 8 | vector as u32
}

/// CPU, vector and global interrupt of the line, where it interrupts.
pub fn line() -> Option<(u16, u8, u32)> {
    let place = VECTOR.load(Ordering::Acquire);
    (place != 0).then(|| {
        (
            (place >> 8) as u16,
            place as u8,
            GSI.load(Ordering::Relaxed),
        )
    })
}

fn poll(_: u64) {
    gather();
    // Nobody can be called here: the rest is for the next time.
    let _ = serial::look();
    sched::callback_at(sched::now_ns() + POLL_NS, poll, 0);
}

/// Looks again after what the interrupt left undone.
fn look_again(_: u64) {
    serve();
}

/// Sees to every cause of the UART's: the line of an ISA interrupt rises again only after it has fallen. To output once, which is
/// the longest part; for what is left of it the line rises anew.
fn serve() {
    let look = serial::look();
    let mut quiet = false;
    for _ in 0..CAUSES {
        gather();
        quiet = serial::is_quiet();
        if quiet {
            break;
        }
    }
    if look == Look::More {
        serial::call();
    }
    let again = (!quiet).then(|| sched::now_ns() + AGAIN_NS);
    if let Some(at) = serial::next_look_ns().or(again) {
        sched::callback_at(at, look_again, 0);
    }
}

/// Handles COM1's interrupt.
pub fn on_interrupt(cpu: u16, vector: u8) -> bool {
    if pack(cpu, vector) != VECTOR.load(Ordering::Acquire) {
        return false;
    }
    serve();
    true
}

/// Takes what the line has; whether a break was among it.
fn drain() -> bool {
    INPUT.lock().as_mut().is_some_and(Input::fill)
}

#[expect(clippy::disallowed_methods, reason = "room: there is room for it")]
fn gather() {
    for _ in 0..STEP {
        if drain() {
            attention::give();
        }
        let (reader, results) = {
            let mut input = INPUT.lock();
            let Some(input) = input.as_mut() else { return };
            if input.bytes.is_empty() {
                return;
            }
            let Some(reader) = input.readers.pop_if(|()| true) else {
                return;
            };
            (reader, input.take())
        };
        if !reader.try_send(reply_of(&results)) {
            // Its caller gave up just now: the next one reads them.
            if let Some(input) = INPUT.lock().as_mut() {
                for byte in results.into_iter().rev() {
                    // They were taken out a moment ago; what came since then may have their places.
                    if input.bytes.len() < input.bytes.capacity() {
                        input.bytes.push_front(byte);
                    }
                }
            }
        }
    }
    sched::callback_at(sched::now_ns(), gather_more, 0);
}

/// Goes on where many readers gave up, or much came.
fn gather_more(_: u64) {
    gather();
}

/// Puts a call aside until there is input. A process that has its share of such calls is refused `busy`.
fn wait(later: Late<console::call::Read>) {
    let holder = holder_of(&later);
    let add = |input: &mut Input| input.readers.add(holder, (), later, Late::is_live);
    let waits = INPUT.lock().as_mut().map(add);
    // Those that gave up are dropped here, which completes nothing.
    if let Some((Err(later), _)) = waits {
        later.refuse(Refusal::Busy);
    }
}

/// Whose share a call counts in.
fn holder_of(later: &Late<console::call::Read>) -> u64 {
    sabotage!(SHARE_CONSOLE_READS => return 1);
    later.call().holder()
}

/// Bytes of one answer, at most.
const ANSWER_BYTES: usize = 24;
/// What one answer carries.
type Taken = ArrayVec<u8, ANSWER_BYTES>;

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

/// A copy of what a call writes, for as long as it waits for room. Its process pays.
pub fn kept(bytes: &[u8]) -> Result<Vec<u8>, Refusal> {
    let mut kept = Vec::new();
    frames::append(&mut kept, bytes)?;
    Ok(kept)
}

impl<'a> console::Server<ipc::KernelCall<'a>> for Served<Console> {
    fn write(&mut self, reply: Owed<'a, console::call::Write>, bytes: &[u8]) -> Answered {
        let mut shown = ArrayVec::<u8, TEXT_BYTES>::new();
        let (taken, out): (usize, &[u8]) = match self.0.mode {
            FilterMode::Raw => {
                let taken = bytes.len().min(OUTPUT_BYTES);
                (taken, &bytes[..taken])
            }
            FilterMode::Text => (filter(bytes, &mut shown), &shown),
        };
        let written = taken as u32;
        let writer = Writer(reply.call().process().id);
        if serial::try_write(writer, Form::Raw, out) {
            return reply.send(console::WriteReply { written });
        }
        match kept(out) {
            Ok(bytes) => {
                let (answered, later) = reply.defer();
                serial::wait(writer, bytes, serial::Answer::Raw { later, written });
                answered
            }
            Err(refusal) => reply.refuse(refusal),
        }
    }

    fn read(&mut self, reply: Owed<'a, console::call::Read>) -> Answered {
        attention::note_reader(reply.call().thread());
        let results = {
            let mut input = INPUT.lock();
            match input.as_mut() {
                Some(input) if !input.bytes.is_empty() => Some(input.take()),
                _ => None,
            }
        };
        if let Some(results) = results {
            return reply.send(reply_of(&results));
        }
        let (answered, later) = reply.defer();
        wait(later);
        // A byte may have come to another CPU since the first look, which saw no reader.
        gather();
        answered
    }
}
