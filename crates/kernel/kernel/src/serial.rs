//! COM1 (16550 datasheet): lines are queued whole and go out as the UART takes them, from its interrupt or a timer.
//!
//! Nobody waits for the UART but the CPU that ends the machine, and that one with a bound. A program for whose bytes there
//! is no room waits in its call; a log line is dropped and counted; facts of the kernel have room reserved.
//!
//! Input that nobody reads stays with its sender: the line is held, which leaves bytes in the UART and lowers RTS.

use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering};

use arrayvec::ArrayVec;
use cpu::Lock;
use cpu::port::{read8, write8};
use ipc::{Late, Waitlist};
use line_queue::{Form, Full, LineQueue, Rank, Writer};
use sabotage::sabotage;
use schema::process::{console, log_sink};
use stub::Refusal;

use crate::line::Line;

const BASE: u16 = 0x3f8;
/// ISA line of COM1.
pub const LINE: u8 = 4;

/// Bytes that fit into the output queue when it is empty: 16550A with its FIFOs on.
const FIFO_BYTES: usize = 16;
/// What one look at the UART sends at most, so that no CPU stays long.
const LOOK_BYTES: usize = 256;
/// Calls of one process that wait for room, at most: what one writer does leaves the others theirs.
const SHARE: usize = 16;
/// Calls that one look answers at most, and how many bytes it queues for them.
const ANSWERS: usize = 4;
const ANSWERED_BYTES: usize = line_queue::UNIT_BYTES;
/// How long the last lines wait for a UART that takes nothing, in looks at its state: a look takes about a microsecond,
/// and sixteen bytes at 9600 baud seventeen thousand.
const LAST_LOOKS: u32 = 1_000_000;
/// How long the CPU that panics waits for another one to leave the queue alone.
const SEIZE_LOOKS: u32 = 1_000_000;

/// What the line-status register says when the UART takes bytes.
const TAKES: u8 = 0x20;
/// Interrupt enable: received bytes and breaks; room for more.
const ON_INPUT: u8 = 1 | 4;
const ON_ROOM: u8 = 2;
/// The same while input is held: a break or an overrun.
const ON_BREAK: u8 = 4;

/// Line status: a byte was lost because nobody took the one before.
const OVERRUN: u8 = 0x02;
/// Line status: the byte that comes next ends a break.
const BREAK: u8 = 0x10;
/// Line status: there is a break or an error somewhere among the bytes that wait.
const HIDDEN: u8 = 0x80;

/// Modem control: DTR, and the interrupt let out of the chip.
const READY: u8 = 0x01 | 0x08;
/// Modem control: the other side may send.
const RTS: u8 = 0x02;

/// A call whose bytes found no room.
struct Waiter {
    bytes: Vec<u8>,
    writer: Writer,
    answer: Answer,
}

/// What a call that waits is answered once its bytes are queued.
pub enum Answer {
    /// They are a row of their own.
    Line {
        /// The answer.
        later: Late<log_sink::call::Write>,
    },
    /// They are a piece of what their writer has to say.
    Raw {
        /// The answer.
        later: Late<console::call::Write>,
        /// How many of its own bytes the caller is told were taken.
        written: u32,
    },
}

impl Answer {
    const fn form(&self) -> Form {
        match self {
            Self::Line { .. } => Form::Line,
            Self::Raw { .. } => Form::Raw,
        }
    }

    fn is_live(&self) -> bool {
        match self {
            Self::Line { later } => later.is_live(),
            Self::Raw { later, .. } => later.is_live(),
        }
    }

    fn give(self) {
        match self {
            Self::Line { later } => later.send(()),
            Self::Raw { later, written } => later.send(console::WriteReply { written }),
        }
    }

    fn refuse(self, refusal: Refusal) {
        match self {
            Self::Line { later } => later.refuse(refusal),
            Self::Raw { later, .. } => later.refuse(refusal),
        }
    }
}

/// All zeros at first, so that it takes no room in the image.
struct Port {
    queue: LineQueue<{ 48 * 1024 }, { 16 * 1024 }>,
    /// How many wait in [`WAITING`].
    waiting: usize,
    /// [`FIFO_BYTES`] where the UART has a queue, else 0.
    fifo: usize,
    /// What is enabled in the interrupt-enable register.
    enabled: u8,
    /// Of that, what is for input.
    input: u8,
    /// Room interrupts, because somebody handles it.
    interrupts: bool,
}

static PORT: Lock<Port> = Lock::new(Port {
    queue: LineQueue::new(),
    waiting: 0,
    fifo: 0,
    enabled: 0,
    input: ON_INPUT,
    interrupts: false,
});
/// Calls that wait, first come, first served. Taken before [`PORT`].
static WAITING: Lock<Waiters> = Lock::new(Waiters::new());
type Waiters = Waitlist<(), Waiter, SHARE>;
static PRESENT: AtomicBool = AtomicBool::new(false);

fn read(register: u16) -> u8 {
    // SAFETY: the kernel owns COM1.
    unsafe { read8(BASE + register) }
}

fn write(register: u16, value: u8) {
    // SAFETY: the kernel owns COM1.
    unsafe { write8(BASE + register, value) };
}

/// Sets up 115200 baud, 8 bits, no parity, FIFOs on, interrupts off. Without a UART, output goes nowhere.
pub fn initialise() {
    write(7, 0x5a);
    if read(7) != 0x5a {
        return;
    }
    write(1, 0);
    write(3, 0x80);
    write(0, 1);
    write(1, 0);
    write(3, 3);
    write(2, 0xc7);
    // Both bits say that the FIFOs are there and work.
    if read(2) & 0xc0 == 0xc0 {
        PORT.lock().fifo = FIFO_BYTES;
    }
    write(4, READY | RTS);
    PRESENT.store(true, Ordering::Release);
}

/// Lets received bytes interrupt, and room for output if `routed`.
pub fn enable(routed: Routed) {
    let mut port = PORT.lock();
    port.interrupts = routed == Routed::Yes;
    port.enabled = port.input;
    write(1, port.input);
    port.call();
}

/// Whether the UART's interrupt arrives anywhere.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Routed {
    /// It does.
    Yes,
    /// A timer looks instead.
    No,
}

/// What came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// A byte.
    Byte(u8),
    /// The line was held at zero for longer than a byte lasts. The byte of zeroes that it leaves comes after it.
    Break,
}

/// A break that a look at the line's state for another reason came across.
static BROKEN: AtomicBool = AtomicBool::new(false);

/// The same of an overrun.
static OVERRAN: AtomicBool = AtomicBool::new(false);

/// The line-status register. Reading it clears a break and an overrun in it, so they are noted.
fn status() -> u8 {
    let status = read(5);
    if status & BREAK != 0 {
        BROKEN.store(true, Ordering::Relaxed);
    }
    if status & OVERRUN != 0 {
        OVERRAN.store(true, Ordering::Relaxed);
    }
    status
}

/// Tells the other side to send nothing, and leaves in the UART what it has. Only breaks are looked for from now on.
pub fn hold_input() {
    let mut port = PORT.lock();
    port.input = ON_BREAK;
    write(4, READY);
    port.enabled = ON_BREAK;
    if port.interrupts {
        // The room there is interrupts at once: there a timer can be armed for the looks.
        write(1, ON_BREAK);
        port.enabled = ON_BREAK | ON_ROOM;
    }
    write(1, port.enabled);
}

/// Takes input again. What the UART has by then interrupts at once.
pub fn admit_input() {
    let mut port = PORT.lock();
    port.input = ON_INPUT;
    port.enabled |= ON_INPUT;
    write(4, READY | RTS);
    write(1, port.enabled);
}

/// Whether a break came while input is held. A sender that does not stop is known by an overrun, and a break behind bytes
/// that nobody takes is no more than hinted at: then what waits is dropped, a FIFO's worth at most.
pub fn take_break() -> bool {
    if !PRESENT.load(Ordering::Relaxed) {
        return false;
    }
    let mut left = FIFO_BYTES;
    let mut lost = false;
    loop {
        let status = status();
        if BROKEN.swap(false, Ordering::Relaxed) {
            return true;
        }
        lost |= OVERRAN.swap(false, Ordering::Relaxed) || status & HIDDEN != 0;
        if !lost || left == 0 || status & 1 == 0 {
            return false;
        }
        read(0);
        left -= 1;
    }
}

/// What was received, if anything was.
pub fn take() -> Option<Input> {
    if !PRESENT.load(Ordering::Relaxed) {
        return None;
    }
    let status = status();
    if BROKEN.swap(false, Ordering::Relaxed) {
        return Some(Input::Break);
    }
    (status & 1 != 0).then(|| Input::Byte(read(0)))
}

impl Port {
    /// Gives the UART what it takes at once.
    fn send(&mut self) {
        self.send_some(LOOK_BYTES);
    }

    /// The same up to so many bytes. How many of them are left.
    fn send_some(&mut self, mut left: usize) -> usize {
        let now = sched::now_ns();
        let mut piece = [0; FIFO_BYTES];
        while left > 0 && !self.is_drained(now) && status() & TAKES != 0 {
            let room = self.fifo.clamp(1, FIFO_BYTES);
            let len = self.queue.take(&mut piece[..room], now);
            piece[..len].iter().for_each(|byte| write(0, *byte));
            left = left.saturating_sub(len.max(1));
        }
        left
    }

    /// Whether nothing is to be sent now; what was held back may have become due.
    fn is_drained(&mut self, now: u64) -> bool {
        self.queue.take(&mut [], now);
        self.queue.is_drained()
    }

    /// Asks for an interrupt while the UART has not taken everything; it comes when there is room.
    fn settle(&mut self) {
        let wanted = if self.queue.is_drained() {
            self.input
        } else {
            self.input | ON_ROOM
        };
        if self.interrupts && wanted != self.enabled {
            write(1, wanted);
            self.enabled = wanted;
        }
    }

    /// Asks for an interrupt, at once where there is room, if anything or anybody waits: there a timer can be armed.
    fn call(&mut self) {
        let idle = self.queue.is_drained() && self.queue.held_until_ns().is_none();
        if self.interrupts && !(idle && self.waiting == 0) {
            // It comes with the change.
            write(1, self.input);
            write(1, self.input | ON_ROOM);
            self.enabled = self.input | ON_ROOM;
        }
    }

    fn push(&mut self, rank: Rank, writer: Writer, form: Form, bytes: &[u8]) -> Result<(), Full> {
        self.queue.push(rank, writer, form, bytes, sched::now_ns())
    }
}

/// Queues one line, whole, and sends what the UART takes. `Rank::Program` is not for this: a program waits.
fn line(rank: Rank, text: &[u8]) {
    if PRESENT.load(Ordering::Relaxed) {
        let mut port = PORT.lock();
        // What is lost is counted, and said where the gap is.
        let _ = port.push(rank, Writer(0), Form::Line, text);
        port.send();
        port.call();
    }
}

/// Queues a fact of the kernel.
pub fn fact(text: &[u8]) {
    line(Rank::Fact, text);
}

/// Queues a line of the log.
pub fn log(text: &[u8]) {
    line(Rank::Log, text);
}

/// Queues what a program writes. `false`: there is no room, or others wait already; then [`wait`] is the way.
pub fn try_write(writer: Writer, form: Form, bytes: &[u8]) -> bool {
    if !PRESENT.load(Ordering::Relaxed) {
        return true;
    }
    if form == Form::Raw && sabotage!(SPLIT_LINES) {
        // Two halves, and the row between them belongs to somebody else.
        let (first, rest) = bytes.split_at(bytes.len() / 2);
        let mut port = PORT.lock();
        let _ = port.push(Rank::Program, writer, Form::Raw, first);
        let _ = port.push(Rank::Program, Writer(writer.0 | 1 << 63), form, rest);
        port.send();
        port.call();
        return true;
    }
    let mut port = PORT.lock();
    let queued = port.waiting == 0 && port.push(Rank::Program, writer, form, bytes).is_ok();
    port.send();
    port.call();
    queued
}

/// Puts a call aside until its bytes find room; it is answered then, unless its caller gives up before. Refused `busy` where
/// its process has its share of such calls.
pub fn wait(writer: Writer, bytes: Vec<u8>, answer: Answer) {
    let waiter = Waiter {
        bytes,
        writer,
        answer,
    };
    let (added, gone) = {
        let mut waiting = WAITING.lock();
        let added = waiting.add(writer.0, (), waiter, |one| one.answer.is_live());
        note(&waiting);
        added
    };
    drop(gone);
    match added {
        // There may be room by now, and nobody else may come by.
        Ok(()) => {
            if look() == Look::More {
                call();
            }
        }
        Err(waiter) => waiter.answer.refuse(Refusal::Busy),
    }
}

/// Notes how many wait, so that whoever writes need not ask.
fn note(waiting: &Waiters) {
    let mut port = PORT.lock();
    port.waiting = waiting.len();
    port.settle();
}

impl Waiter {
    fn push(&self) -> bool {
        let mut port = PORT.lock();
        let form = self.answer.form();
        port.push(Rank::Program, self.writer, form, &self.bytes)
            .is_ok()
    }
}

/// What a look has left.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Look {
    /// Nothing, or what the UART interrupts for when it has room.
    Done,
    /// Perhaps more calls whose bytes find room: see [`call`].
    More,
}

/// Sends what the UART takes and answers calls whose bytes found room, a bounded part of each: all of it is one step with
/// interrupts off where an interrupt does it. From an interrupt, a timer or a system call, with no lock held.
pub fn look() -> Look {
    let mut done = ArrayVec::<Waiter, ANSWERS>::new();
    {
        let mut waiting = WAITING.lock();
        let left = PORT.lock().send_some(LOOK_BYTES);
        let mut bytes = 0;
        while !done.is_full()
            && let Some(first) = waiting.peek()
            && bytes + first.bytes.len() <= ANSWERED_BYTES
            && (!first.answer.is_live() || first.push())
        {
            bytes += first.bytes.len();
            // One whose caller gave up is dropped like one that is done.
            let _ = waiting
                .pop_if(|()| true)
                .map(|waiter| done.try_push(waiter));
        }
        if !done.is_empty() {
            PORT.lock().send_some(left);
        }
        note(&waiting);
    }
    if done.is_empty() {
        return Look::Done;
    }
    for waiter in done {
        waiter.answer.give();
    }
    Look::More
}

/// Has the rest of a look done in an interrupt of its own.
pub fn call() {
    PORT.lock().call();
}

/// When somebody has to look again although no interrupt may come.
pub fn next_look_ns() -> Option<u64> {
    /// A UART that takes nothing is asked this often.
    const AGAIN_NS: u64 = 2_000_000;
    /// A line whose input is held is asked for a break this often.
    const HELD_NS: u64 = 20_000_000;
    let port = PORT.lock();
    let now = sched::now_ns();
    if port.queue.is_drained() && port.waiting == 0 {
        let held = (port.input == ON_BREAK).then_some(now + HELD_NS);
        return port.queue.held_until_ns().into_iter().chain(held).min();
    }
    Some(now + AGAIN_NS)
}

/// Whether the UART has nothing to say any more. Reading the cause takes that of room back.
pub fn is_quiet() -> bool {
    if !PRESENT.load(Ordering::Relaxed) {
        return true;
    }
    match read(2) & 0x0f {
        // Line status: a break or an error, which is noted or gone once it was read.
        0x06 => {
            status();
            false
        }
        cause => cause & 1 != 0,
    }
}

/// The last lines: what waits goes out, then `last`, then nothing any more. Waits for the UART, with a bound.
pub fn finish(last: &[u8]) {
    if !PRESENT.load(Ordering::Relaxed) {
        return;
    }
    let mut port = PORT.lock();
    if !drain(&mut port) {
        // What the UART does not take in time is given up, and that is said.
        let rows = port.queue.forget();
        let mut text = Line::new();
        let _ = fmt::write(&mut text, format_args!("@serial.gave-up rows~{rows}"));
        let _ = port.push(Rank::Fact, Writer(0), Form::Line, text.text().as_bytes());
    }
    let now = sched::now_ns();
    port.queue.close(last, now);
    drain(&mut port);
    // What the UART has taken is on its way only once its shift register is empty too.
    for _ in 0..LAST_LOOKS {
        if status() & 0x40 != 0 {
            break;
        }
    }
}

/// Sends everything. `false`: the UART took nothing for too long.
fn drain(port: &mut Port) -> bool {
    let mut looks = 0;
    let mut piece = [0; FIFO_BYTES];
    // Nobody's open row is waited for now.
    let later = sched::now_ns() + line_queue::HOLD_NS;
    while !port.is_drained(later) {
        if status() & TAKES == 0 {
            looks += 1;
            if looks > LAST_LOOKS {
                return false;
            }
            core::hint::spin_loop();
            continue;
        }
        looks = 0;
        let room = port.fifo.clamp(1, FIFO_BYTES);
        let len = port.queue.take(&mut piece[..room], later);
        piece[..len].iter().for_each(|byte| write(0, *byte));
    }
    true
}

/// Takes the queue for the one CPU that panics: from another one that uses it, after a while, by force.
///
/// # Safety
/// Every other CPU has been told to stop, and this one ends the machine.
pub unsafe fn seize() {
    for _ in 0..SEIZE_LOOKS {
        if PORT.try_lock().is_some() {
            return;
        }
        cpu::relax();
    }
    // SAFETY: the caller's promise. A queue that was left in the middle of a change gives out bytes in the wrong order at
    // worst.
    unsafe { PORT.force_unlock() };
}
