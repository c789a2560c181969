//! I/O APICs (Intel 82093AA datasheet, section 3).

use core::sync::atomic::{AtomicU64, Ordering};

use cpu::Lock;
use mmio::Registers;

const SELECT: usize = 0x00;
const WINDOW: usize = 0x10;
/// The register that takes the number of an input whose interrupt has ended, in controllers of this version and later.
const END: usize = 0x40;
const ENDS_BY_NUMBER: u32 = 0x20;
const VERSION: u32 = 0x01;
const REDIRECTION: u32 = 0x10;
const MASKED: u32 = 1 << 16;
const LEVEL: u32 = 1 << 15;
const REMOTE_IRR: u32 = 1 << 14;
const ACTIVE_LOW: u32 = 1 << 13;

/// Why an I/O APIC entry could not be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IoApicError {
    /// The global interrupt is not one of this I/O APIC's.
    NoSuchInput,
    /// Its interrupt is being served.
    InService,
}

/// One I/O APIC.
#[derive(Debug)]
pub struct IoApic {
    registers: Lock<Registers>,
    first: u32,
    inputs: u32,
    /// Inputs whose end is told by a number, a bit each.
    by_number: [AtomicU64; 4],
}

/// How an input tells that its interrupt has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// By the vector, which the local APIC passes on.
    ByVector,
    /// By the number that the entry has in the vector's place.
    ByNumber,
}

/// What an input raises: its entry, unmasked, and how its end is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Redirection {
    /// The entry's 64 bits.
    pub entry: u64,
    /// How its end is told.
    pub end: End,
}

impl Redirection {
    /// To one CPU's vector, without any remapping.
    pub const fn to(vector: u8, apic_id: u32, pin: Pin) -> Self {
        let level = if pin.level { LEVEL } else { 0 };
        let polarity = if pin.active_low { ACTIVE_LOW } else { 0 };
        let low = vector as u32 | level | polarity;
        Self {
            entry: (apic_id as u64) << 56 | low as u64,
            end: End::ByVector,
        }
    }
}

/// How a line signals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pin {
    /// By its level, else by an edge.
    pub level: bool,
    /// Active low, else active high.
    pub active_low: bool,
}

impl IoApic {
    /// Takes over an I/O APIC whose inputs begin at global interrupt `first`, and masks every entry.
    pub fn new(registers: Registers, first: u32) -> Self {
        let this = Self {
            registers: Lock::new(registers),
            first,
            inputs: 0,
            by_number: [const { AtomicU64::new(0) }; 4],
        };
        let inputs = ((this.read(VERSION) >> 16) & 0xff) + 1;
        for input in 0..inputs {
            this.write(REDIRECTION + input * 2 + 1, 0);
            this.write(REDIRECTION + input * 2, MASKED);
        }
        Self { inputs, ..this }
    }

    /// First global interrupt and count of inputs.
    pub const fn range(&self) -> (u32, u32) {
        (self.first, self.inputs)
    }

    fn read(&self, register: u32) -> u32 {
        let r = self.registers.lock();
        // The two registers lie at fixed offsets inside the mapped page.
        let _ = r.write32(SELECT, register);
        r.read32(WINDOW).unwrap_or(0)
    }

    fn write(&self, register: u32, value: u32) {
        let r = self.registers.lock();
        let _ = r.write32(SELECT, register);
        let _ = r.write32(WINDOW, value);
    }

    /// Whether the global interrupt is one of this I/O APIC's.
    pub fn has(&self, global: u32) -> bool {
        self.input(global).is_ok()
    }

    fn input(&self, global: u32) -> Result<u32, IoApicError> {
        global
            .checked_sub(self.first)
            .filter(|i| *i < self.inputs)
            .ok_or(IoApicError::NoSuchInput)
    }

    /// Masks an input, so that what it raises can be changed. When this returns, nothing of it is on its way.
    ///
    /// # Errors
    /// [`IoApicError::NoSuchInput`]; [`IoApicError::InService`], and nothing has changed, for a level input whose interrupt was
    /// accepted and not ended yet: with another vector its end would not be recognised.
    pub fn hold(&self, global: u32) -> Result<(), IoApicError> {
        let input = self.input(global)?;
        let before = self.read(REDIRECTION + input * 2);
        self.write(REDIRECTION + input * 2, before | MASKED);
        self.end(input);
        // Masked first, so that it cannot be accepted between the look and the change.
        if self.read(REDIRECTION + input * 2) & (LEVEL | REMOTE_IRR) == LEVEL | REMOTE_IRR {
            self.write(REDIRECTION + input * 2, before);
            return Err(IoApicError::InService);
        }
        Ok(())
    }

    /// Routes an input; it stays masked.
    ///
    /// # Errors
    /// As [`Self::hold`].
    pub fn route(&self, global: u32, to: Redirection) -> Result<(), IoApicError> {
        self.hold(global)?;
        let input = self.input(global)?;
        let Redirection { entry, end } = to;
        if end == End::ByNumber && self.read(VERSION) & 0xff < ENDS_BY_NUMBER {
            return Err(IoApicError::NoSuchInput);
        }
        if let Some(word) = self.by_number.get(input as usize / 64) {
            let bit = 1 << (input % 64);
            match end {
                End::ByVector => word.fetch_and(!bit, Ordering::Relaxed),
                End::ByNumber => word.fetch_or(bit, Ordering::Relaxed),
            };
        }
        self.write(REDIRECTION + input * 2 + 1, (entry >> 32) as u32);
        self.write(REDIRECTION + input * 2, entry as u32 | MASKED);
        Ok(())
    }

    /// Masks a routed input.
    ///
    /// # Errors
    /// [`IoApicError::NoSuchInput`].
    pub fn mask(&self, global: u32) -> Result<(), IoApicError> {
        self.set_low(global, |low| low | MASKED)
    }

    /// Opens a routed input. Where its end is told by a number, that is told first: the local APIC has told the vector's, which
    /// this I/O APIC does not know.
    ///
    /// # Errors
    /// [`IoApicError::NoSuchInput`].
    pub fn unmask(&self, global: u32) -> Result<(), IoApicError> {
        let input = self.input(global)?;
        self.end(input);
        self.set_low(global, |low| low & !MASKED)
    }

    /// Tells the end of an input's interrupt, where that is told by its number. It is masked.
    fn end(&self, input: u32) {
        let word = self.by_number.get(input as usize / 64);
        let bits = word.map_or(0, |word| word.load(Ordering::Relaxed));
        if bits & 1 << (input % 64) != 0 {
            let number = self.read(REDIRECTION + input * 2) & 0xff;
            let _ = self.registers.lock().write32(END, number);
        }
    }

    fn set_low(&self, global: u32, change: fn(u32) -> u32) -> Result<(), IoApicError> {
        let input = self.input(global)?;
        let low = self.read(REDIRECTION + input * 2);
        self.write(REDIRECTION + input * 2, change(low));
        Ok(())
    }
}
