//! An AMD-Vi unit: its device table, its log (AMD IOMMU Specification 3.08).

use core::sync::atomic::Ordering;

use cpu::Lock;
use frames::{Frames, Use};
use iommu_tables::amd::{
    Command, DeviceEntry, Event, EventKind, InterruptTable, Interrupts, Translation, register,
};
use iommu_tables::vtd::Reach;
use iommu_tables::{Geometry, LargestPage, Levels, Table};
use mmio::{Registers, SharedBytes};
use ring_abi::Refusal;
#[cfg(sabotage)]
use sabotage::sabotage;

use crate::facts::{Fault, Wanted};
use crate::memory::{Caches, page};
use crate::queue::{Dialect, NoAnswer, ORDER, Queue};
use crate::terms::{Absent, Forget, Led, NotOn};

/// Entries of the device table: one for every requester id, because some units do not look at how long theirs is.
const FUNCTIONS: usize = 1 << 16;
const ENTRY_BYTES: usize = 32;
/// Where in it interrupts are.
const INTERRUPT_WORD: usize = 16;
/// 2 MiB, as a power of two of frames.
const TABLE_ORDER: u8 = 9;
/// Bytes of the log, and of an event.
const LOG_BYTES: usize = 16 << ORDER;
const EVENT_BYTES: usize = 16;
/// Functions of which it is told in one go, fewer than the ring has places.
const TOLD_AT_ONCE: usize = 128;
/// How long a unit may take to follow the control register.
const COMMAND_NS: u64 = 100_000_000;
/// Longest block that a command names, as a power of two of pages (2.2.3, table 14).
const LARGEST_BLOCK: u8 = 51;

/// What a unit tells of.
#[derive(Debug)]
struct Log {
    events: Frames,
    /// Where it is read next.
    head: usize,
    /// The unit has moved its tail past the head, and nothing was there yet.
    late: bool,
}

/// An AMD-Vi unit that is on.
#[derive(Debug)]
pub(crate) struct Amd {
    registers: Registers,
    absent: Absent,
    now_ns: fn() -> u64,
    devices: Lock<Frames>,
    /// What a function gets that has neither a domain nor an interrupt: all that it sends is refused. Its table, which is empty,
    /// stays for good.
    blocked: DeviceEntry,
    log: Lock<Log>,
}

impl Amd {
    /// Domain ids there are (2.2.2.1).
    pub(crate) const DOMAINS: u32 = 1 << 16;
    /// Every unit reads four levels, and pages of a whole table (2.2.3).
    pub(crate) const GEOMETRY: Geometry = Geometry {
        levels: Levels::Four,
        largest: LargestPage::Large,
    };
    /// The device table by `Control.Coherent`, pages by their entries' `FC`, tables and commands always (2.6).
    pub(crate) const CACHES: Caches = Caches::Seen;

    /// Takes a unit over and turns it on: every function below it is blocked.
    ///
    /// # Errors
    /// Those of [`NotOn`].
    pub(crate) fn turn_on(
        registers: Registers,
        absent: Absent,
        now_ns: fn() -> u64,
    ) -> Result<(Self, Queue), NotOn> {
        let features = registers.read64(register::FEATURES);
        let features = features.map_err(NoAnswer::from)?;
        if features & register::INVALIDATES_ALL == 0 {
            return Err(NotOn::RemembersFirmware);
        }
        let devices = frames::allocate(TABLE_ORDER, Use::Kernel).ok_or(NotOn::NoMemory)?;
        let empty = page().ok_or(NotOn::NoMemory)?;
        // Frames that are dropped stay out of the allocator: functions are led to this one for good.
        let blocked = DeviceEntry::blocked(Table::new(empty.address()).ok_or(NotOn::NoMemory)?);
        for function in 0..FUNCTIONS {
            let [low, domain, interrupts, _] = blocked.words();
            let memory = devices.shared();
            write(&memory, function, ([low, domain], low));
            let at = function * ENTRY_BYTES + INTERRUPT_WORD;
            let _ = memory.store64(at, interrupts, Ordering::Release);
        }
        let events = page().ok_or(NotOn::NoMemory)?;
        let mut queue = Queue::new(Dialect::Amd, Self::CACHES, now_ns).ok_or(NotOn::NoMemory)?;
        let unit = Self {
            registers,
            absent,
            now_ns,
            devices: Lock::new(devices),
            blocked,
            log: Lock::new(Log {
                events,
                head: 0,
                late: false,
            }),
        };
        unit.program(&mut queue)?;
        Ok((unit, queue))
    }

    /// What firmware left goes off, bases are set while nothing runs (3.4.1 to 3.4.4), and the first command makes the unit
    /// forget everything from before.
    fn program(&self, queue: &mut Queue) -> Result<(), NotOn> {
        let control = self.read(register::CONTROL)?;
        if control == u64::MAX {
            return Err(NotOn::NoAnswer);
        }
        // What is not named here goes off: guest tables, page requests, virtual interrupts, segments of the table.
        let off = control & register::TRAVEL | register::COHERENT;
        self.set(register::CONTROL, off)?;
        self.await_running(0)?;
        // A range that firmware lets pass untranslated.
        self.set(register::EXCLUSION, 0)?;
        let pages = (FUNCTIONS * ENTRY_BYTES / 4096) as u64;
        let devices = self.devices.lock().address();
        let devices = register::device_table(devices, pages).ok_or(NotOn::NoMemory)?;
        self.set(register::DEVICE_TABLE, devices)?;
        let commands = register::ring(queue.address(), ORDER).ok_or(NotOn::NoMemory)?;
        self.set(register::COMMAND_BASE, commands)?;
        self.set(register::COMMAND_HEAD, 0)?;
        self.set(register::COMMAND_TAIL, 0)?;
        let events = self.log.lock().events.address();
        let events = register::ring(events, ORDER).ok_or(NotOn::NoMemory)?;
        self.set(register::EVENT_BASE, events)?;
        self.set(register::EVENT_HEAD, 0)?;
        self.set(register::EVENT_TAIL, 0)?;
        let on = off | register::ENABLE | register::EVENT_LOG | register::COMMANDS;
        self.set(register::CONTROL, on)?;
        self.await_running(register::RUNNING)?;
        queue.carry_out(&self.registers, [Command::All.words()].into_iter())?;
        // Emulated units let a function pass until they hear of its entry, whatever they forgot.
        for first in (0..FUNCTIONS).step_by(TOLD_AT_ONCE) {
            let functions = first..first + TOLD_AT_ONCE;
            let forget = functions.map(|function| Command::Device(function as u16).words());
            queue.carry_out(&self.registers, forget)?;
        }
        Ok(())
    }

    fn read(&self, at: usize) -> Result<u64, NoAnswer> {
        Ok(self.registers.read64(at)?)
    }

    /// Writes a register, and reads it back.
    fn set(&self, at: usize, value: u64) -> Result<(), NotOn> {
        let written = self.registers.write64(at, value);
        written.map_err(NoAnswer::from)?;
        match self.read(at)? == value {
            true => Ok(()),
            false => Err(NotOn::ReadsBack),
        }
    }

    fn await_running(&self, what: u64) -> Result<(), NoAnswer> {
        let end = (self.now_ns)().saturating_add(COMMAND_NS);
        while self.read(register::STATUS)? & register::RUNNING != what {
            if (self.now_ns)() >= end {
                return Err(NoAnswer);
            }
            cpu::relax();
        }
        Ok(())
    }

    pub(crate) const fn registers(&self) -> &Registers {
        &self.registers
    }

    /// Whether it may remember that nothing was there (`NpCache`).
    pub(crate) const fn absent(&self) -> Absent {
        self.absent
    }

    /// What its registers say now.
    pub(crate) fn status(&self) -> Option<crate::Status> {
        Some(crate::Status {
            translating: self.read(register::CONTROL).ok()? & register::ENABLE != 0,
            faults: self.read(register::STATUS).ok()?,
        })
    }

    /// What makes a unit forget.
    pub(crate) const fn command(what: Forget) -> [u64; 2] {
        let command = match what {
            Forget::Function { source, .. } | Forget::Blocked(source) | Forget::Source(source) => {
                Command::Device(source)
            }
            Forget::Entry { source, .. } => Command::Interrupts(source),
            Forget::Domain(domain) => Command::Domain(domain),
            Forget::Run {
                domain,
                iova,
                pages,
            } => match Reach::of(iova, pages, Some(LARGEST_BLOCK)) {
                Reach::Block { iova, order } => Command::Pages {
                    domain,
                    iova,
                    order,
                },
                Reach::Domain => Command::Domain(domain),
            },
        };
        command.words()
    }

    /// What leads a function to a domain; its interrupts lie in another word.
    const fn led_to(&self, to: Led) -> DeviceEntry {
        DeviceEntry {
            translation: Translation::Domain {
                root: to.root,
                levels: Self::GEOMETRY.levels,
                domain: to.domain,
            },
            ..self.blocked
        }
    }

    /// Whether a function is led to a domain, by what the unit reads.
    pub(crate) fn leads(&self, source: u16, to: Led) -> bool {
        let [low, domain, ..] = self.led_to(to).words();
        let at = usize::from(source) * ENTRY_BYTES;
        let there: [u64; 2] = self
            .devices
            .lock()
            .shared()
            .load_words(at)
            .unwrap_or_default();
        there == [low, domain]
    }

    /// Leads a function to its domain, or blocks it. The unit may remember what was there before.
    pub(crate) fn lead(&self, source: u16, to: Option<Led>) -> Result<(), Refusal> {
        let entry = to.map_or(self.blocked, |to| self.led_to(to));
        let devices = self.devices.lock();
        let memory = devices.shared();
        let [low, domain, ..] = entry.words();
        let words = [low, domain];
        #[cfg(sabotage)]
        let words = match (sabotage!(LEAVE_DEVICE_OPEN), sabotage!(SHARE_DOMAIN)) {
            (true, _) => [0; 2],
            (_, true) if to.is_some() => crate::vtd::first_of_all(words),
            _ => words,
        };
        let [blocked, ..] = self.blocked.words();
        write(&memory, usize::from(source), (words, blocked));
        let there: [u64; 2] = memory
            .load_words(usize::from(source) * ENTRY_BYTES)
            .unwrap_or_default();
        match there == words {
            true => Ok(()),
            false => Err(Refusal::DeviceError),
        }
    }

    /// Gives a requester id its own interrupt table, or refuses all its interrupts. The unit may remember what was there before.
    pub(crate) fn lead_interrupts(
        &self,
        source: u16,
        to: Option<InterruptTable>,
    ) -> Result<(), Refusal> {
        let interrupts = to.map_or(Interrupts::Refused, Interrupts::Table);
        let [.., word, _] = DeviceEntry {
            interrupts,
            ..self.blocked
        }
        .words();
        #[cfg(sabotage)]
        let word = match sabotage!(LEAVE_INTERRUPTS_OPEN) {
            true => 0,
            false => word,
        };
        let devices = self.devices.lock();
        let memory = devices.shared();
        let at = usize::from(source) * ENTRY_BYTES + INTERRUPT_WORD;
        // All of it is in one word.
        let _ = memory.store64(at, word, Ordering::Release);
        match memory.load64(at, Ordering::Acquire) == Ok(word) {
            true => Ok(()),
            false => Err(Refusal::DeviceError),
        }
    }

    /// Takes what the unit has logged, at most `most`, and returns whether it had to leave some out.
    pub(crate) fn take_faults(&self, most: usize, tell: &mut impl FnMut(Fault)) -> bool {
        let mut log = self.log.lock();
        let Ok(tail) = self.read(register::EVENT_TAIL) else {
            return false;
        };
        let tail = tail as usize;
        if !tail.is_multiple_of(EVENT_BYTES) || tail >= LOG_BYTES {
            return false;
        }
        let memory = log.events.shared();
        let mut left = most;
        while log.head != tail && left > 0 {
            let head = log.head;
            match Event::read(memory.load_words(head).unwrap_or_default()) {
                Some(event) => {
                    left -= 1;
                    tell(told(event));
                }
                // The tail may be seen before the event (2.5); the second time there is none.
                None if !log.late => {
                    log.late = true;
                    break;
                }
                None => {}
            }
            log.late = false;
            let _ = memory.store64(head, 0, Ordering::Relaxed);
            log.head = (head + EVENT_BYTES) % LOG_BYTES;
            let _ = self
                .registers
                .write64(register::EVENT_HEAD, log.head as u64);
        }
        self.restart_log()
    }

    /// Has a log that was full go on (3.4.14, `EventOverflow`), and returns whether it was.
    fn restart_log(&self) -> bool {
        let registers = &self.registers;
        let (Ok(status), Ok(control)) = (
            registers.read64(register::STATUS),
            registers.read64(register::CONTROL),
        ) else {
            return false;
        };
        let full = status & register::EVENT_OVERFLOW != 0;
        if full {
            let _ = registers.write64(register::CONTROL, control & !register::EVENT_LOG);
            let _ = registers.write64(register::STATUS, register::EVENT_OVERFLOW);
            let _ = registers.write64(register::CONTROL, control | register::EVENT_LOG);
        }
        full
    }
}

/// Writes where an entry leads so that it never is invalid: an invalid one lets everything pass. The first word blocks or leads,
/// so the other is written while it blocks.
fn write(memory: &SharedBytes, function: usize, (words, blocked): ([u64; 2], u64)) {
    let at = function * ENTRY_BYTES;
    let _ = memory.store64(at, blocked, Ordering::Release);
    let _ = memory.store64(at + 8, words[1], Ordering::Release);
    let _ = memory.store64(at, words[0], Ordering::Release);
}

fn told(event: Event) -> Fault {
    // Some units say of every request that it was an interrupt, so that is not told.
    let request = match (event.kind, event.write) {
        (EventKind::PageFault, Some(true)) => "write",
        _ => "any",
    };
    Fault {
        source: event.source,
        reason: event.kind.name(),
        wanted: Wanted::Memory {
            iova: event.iova,
            request,
        },
    }
}
