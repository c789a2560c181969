//! What waits for a slow line: the lines of many writers, each whole, in a bounded queue that nobody waits for.
//!
//! A *unit* is what one writer hands over at once: a line of text, to which the line's end is added, or bytes as they are.
//! A unit is queued whole or not at all. Whoever leaves the row open (a prompt, half a line) may go on for
//! [`HOLD_NS`]; until then others' units are held back behind it, and after that they begin on a row of their own. So a
//! line that is written in pieces, one soon after the other, stays whole too.
//!
//! The room is shared by rank: facts of the kernel find room that log lines cannot take, log lines some that programs
//! cannot. What finds none is the caller's to keep or to lose; a fact or log line that was lost is counted, and the count
//! is said where the gap is.
//!
//! Invariant: never gives out a part of a unit among another's, never waits, allocates or touches a device, and never
//! panics, whatever a CPU that stopped in the middle has left behind.
#![no_std]
#![forbid(unsafe_code)]

mod bytes;
mod unit;

use core::fmt::Write;

use crate::bytes::Bytes;
pub use crate::unit::{Form, Rank};
use crate::unit::{Head, Notice};

/// How long others are held back behind a row that its writer has left open.
pub const HOLD_NS: u64 = 50_000_000;
/// The longest unit.
pub const UNIT_BYTES: usize = 4096;
/// Room that only facts of the kernel find.
const FACT_ROOM: usize = 4096;
/// Room that programs do not find.
const LOG_ROOM: usize = FACT_ROOM + 4096;
/// Room for the last line, and for what is said of a gap.
const LAST_ROOM: usize = 256;
/// What a unit may need beyond its bytes: the end of the row before it, and of its own.
const ENDS: usize = 4;

/// Who writes: 0 is the kernel, others are processes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Writer(pub u64);

/// There is no room for the unit; nothing of it was taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Full;

/// What was lost for want of room.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Lost {
    /// Facts of the kernel.
    pub facts: u64,
    /// Log lines.
    pub logs: u64,
}

/// The row that the last unit has left open.
#[derive(Clone, Copy)]
struct Open {
    writer: Writer,
    until_ns: u64,
}

/// Units that were held back and are appended in one go.
const RELEASES: usize = 16;
/// Units that are held back, at most: whoever cannot wait moves them all.
const MOST_HELD: usize = 64;
/// Bytes of such a unit that are moved in one go.
const PIECE_BYTES: usize = 256;

/// The queue: `N` bytes that wait for the line, and `H` that are held back behind an open row.
///
/// `N` is at least 16 KiB, so that there is room for the longest unit of every rank; `H` counts towards it.
pub struct LineQueue<const N: usize, const H: usize> {
    ready: Bytes<N>,
    held: Bytes<H>,
    /// Units that are held back.
    units: usize,
    row: Option<Open>,
    lost: Lost,
    told: Lost,
    closed: bool,
}

impl<const N: usize, const H: usize> LineQueue<N, H> {
    /// An empty queue, with the line at the beginning of a row.
    pub const fn new() -> Self {
        const { assert!(N >= 16 * 1024 && H >= 2 * UNIT_BYTES && H <= N / 2) };
        Self {
            ready: Bytes::new(),
            held: Bytes::new(),
            units: 0,
            row: None,
            lost: Lost { facts: 0, logs: 0 },
            told: Lost { facts: 0, logs: 0 },
            closed: false,
        }
    }

    /// Queues a unit whole.
    ///
    /// # Errors
    /// [`Full`] if there is no room for it, or it is longer than [`UNIT_BYTES`]; a fact or log line is counted as lost.
    pub fn push(
        &mut self,
        rank: Rank,
        writer: Writer,
        form: Form,
        bytes: &[u8],
        now_ns: u64,
    ) -> Result<(), Full> {
        if self.closed || bytes.is_empty() && form == Form::Raw {
            return Ok(());
        }
        self.settle(now_ns);
        if bytes.len() > UNIT_BYTES || bytes.len() + ENDS + rank.reserved() > self.room() {
            self.count(rank);
            return Err(Full);
        }
        if self.is_waited_for(writer, now_ns) || self.comes_after_held(writer) {
            let head = Head::new(writer, form, bytes.len());
            if self.units < MOST_HELD && head.bytes() + bytes.len() <= self.held.room() {
                head.write(|byte| self.held.put(byte));
                self.held.put_all(bytes);
                self.units += 1;
                return Ok(());
            }
            // So much waits that the open row is waited for only by who can wait in its call.
            if rank == Rank::Program {
                return Err(Full);
            }
            self.release_all(now_ns);
        } else {
            self.tell();
        }
        self.append(writer, form, bytes, now_ns);
        if self.row.is_none() {
            self.release(now_ns);
        }
        Ok(())
    }

    /// Takes bytes for the line, as many as there are and fit. Says how many.
    pub fn take(&mut self, into: &mut [u8], now_ns: u64) -> usize {
        self.settle(now_ns);
        self.ready.take_into(into)
    }

    /// Whether nothing is left to be taken now.
    pub const fn is_drained(&self) -> bool {
        self.ready.len() == 0
    }

    /// When what is held back may go, if something is.
    pub fn held_until_ns(&self) -> Option<u64> {
        // Where no row is open, what is held is on its way.
        let until = self.row.map_or(0, |open| open.until_ns);
        (self.held.len() > 0).then_some(until)
    }

    /// What was lost so far.
    pub const fn lost(&self) -> Lost {
        self.lost
    }

    /// Queues the last lines, for which there is always room, and takes nothing any more.
    pub fn close(&mut self, last: &[u8], now_ns: u64) {
        if self.closed {
            return;
        }
        self.release_all(now_ns);
        self.tell();
        self.append(Writer(0), Form::Line, last, now_ns);
        self.closed = true;
    }

    /// Forgets what waits, so that what is queued next goes first. Says how many rows were lost with it.
    pub fn forget(&mut self) -> u64 {
        let mut rows = u64::from(self.held.len() > 0);
        while let Some(byte) = self.ready.take() {
            rows += u64::from(byte == b'\n');
        }
        self.held = Bytes::new();
        self.units = 0;
        rows
    }

    /// Free room, with what is held back counted as if it waited for the line.
    fn room(&self) -> usize {
        self.ready.room().saturating_sub(self.held.len())
    }

    fn count(&mut self, rank: Rank) {
        match rank {
            Rank::Fact => self.lost.facts += 1,
            Rank::Log => self.lost.logs += 1,
            Rank::Program => {}
        }
    }

    /// Whether `writer` has to wait until another one has gone on with the row it left open.
    fn is_waited_for(&self, writer: Writer, now_ns: u64) -> bool {
        let other = |open: Open| open.writer != writer && now_ns < open.until_ns;
        self.row.is_some_and(other)
    }

    /// Lets what is held back go once its time has come.
    fn settle(&mut self, now_ns: u64) {
        if self.held_until_ns().is_some_and(|until| until <= now_ns) {
            self.release(now_ns);
        }
    }

    /// Whether what `writer` says comes behind what is held back, because that is on its way.
    fn comes_after_held(&self, writer: Writer) -> bool {
        self.held.len() > 0 && self.row.is_none_or(|open| open.writer != writer)
    }

    /// Appends all that is held back.
    fn release_all(&mut self, now_ns: u64) {
        while self.held.len() > 0 {
            self.release(now_ns);
        }
    }

    /// Appends some of what is held back; the rest goes before anything else.
    fn release(&mut self, now_ns: u64) {
        for _ in 0..RELEASES {
            let Some(head) = Head::read(|| self.held.take()) else {
                return;
            };
            self.units = self.units.saturating_sub(1);
            self.break_row(head.writer, head.form);
            let mut last = 0;
            let mut left = usize::from(head.len);
            let mut piece = [0; PIECE_BYTES];
            while left > 0 {
                let taken = self.held.take_into(&mut piece[..left.min(PIECE_BYTES)]);
                if taken == 0 {
                    break;
                }
                last = self.put(head.form, &piece[..taken]).unwrap_or(last);
                left -= taken;
            }
            self.end_unit(head.writer, head.form, last, now_ns);
        }
    }

    fn append(&mut self, writer: Writer, form: Form, bytes: &[u8], now_ns: u64) {
        self.break_row(writer, form);
        let last = self.put(form, bytes).unwrap_or(0);
        self.end_unit(writer, form, last, now_ns);
    }

    /// Begins a new row, unless the open one is gone on with.
    fn break_row(&mut self, writer: Writer, form: Form) {
        let other = |open: &Open| open.writer != writer || form == Form::Line;
        if self.row.as_ref().is_some_and(other) {
            self.end_row();
        }
    }

    fn end_row(&mut self) {
        self.ready.put(b'\r');
        self.ready.put(b'\n');
        self.row = None;
    }

    /// Appends bytes; the last one, as it stands there.
    fn put(&mut self, form: Form, bytes: &[u8]) -> Option<u8> {
        if form == Form::Raw {
            self.ready.put_all(bytes);
            return bytes.last().copied();
        }
        // A line is one row, whatever its writer put into it.
        let is_control = |byte: &u8| *byte < b' ' || *byte == 0x7f;
        let mut rest = bytes;
        while !rest.is_empty() {
            let plain = rest.iter().take_while(|byte| !is_control(byte)).count();
            let (whole, after) = rest.split_at(plain);
            self.ready.put_all(whole);
            rest = match after.split_first() {
                Some((_, after)) => {
                    self.ready.put(b'?');
                    after
                }
                None => after,
            };
        }
        let last = *bytes.last()?;
        Some(if is_control(&last) { b'?' } else { last })
    }

    fn end_unit(&mut self, writer: Writer, form: Form, last: u8, now_ns: u64) {
        match form {
            Form::Line => self.end_row(),
            Form::Raw if last == b'\n' => self.row = None,
            Form::Raw => {
                self.row = Some(Open {
                    writer,
                    until_ns: now_ns.saturating_add(HOLD_NS),
                });
            }
        }
    }

    /// Says what was lost since it was said last.
    fn tell(&mut self) {
        if self.lost == self.told || self.room() < LAST_ROOM {
            return;
        }
        let mut notice = Notice::new();
        let Lost { facts, logs } = self.lost;
        // Two numbers fit.
        let _ = write!(notice, "@serial.lost facts~{facts} logs~{logs}");
        self.told = self.lost;
        self.append(Writer(0), Form::Line, notice.bytes(), 0);
    }
}

impl<const N: usize, const H: usize> Default for LineQueue<N, H> {
    fn default() -> Self {
        Self::new()
    }
}
