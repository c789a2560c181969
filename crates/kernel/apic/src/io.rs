//! I/O APICs (Intel 82093AA datasheet, section 3).

use cpu::Lock;
use mmio::Registers;

const SELECT: usize = 0x00;
const WINDOW: usize = 0x10;
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

    /// Routes an input to one CPU's vector; it stays masked.
    ///
    /// # Errors
    /// [`IoApicError::NoSuchInput`]; [`IoApicError::InService`] for a level input whose interrupt was accepted and not
    /// ended yet: with another vector its end would not be recognised.
    pub fn route(
        &self,
        global: u32,
        vector: u8,
        apic_id: u32,
        pin: Pin,
    ) -> Result<(), IoApicError> {
        let input = self.input(global)?;
        let mut low = u32::from(vector) | MASKED;
        if pin.level {
            low |= LEVEL;
        }
        if pin.active_low {
            low |= ACTIVE_LOW;
        }
        let before = self.read(REDIRECTION + input * 2);
        self.write(REDIRECTION + input * 2, before | MASKED);
        // Masked first, so that it cannot be accepted between the look and the change.
        if self.read(REDIRECTION + input * 2) & (LEVEL | REMOTE_IRR) == LEVEL | REMOTE_IRR {
            self.write(REDIRECTION + input * 2, before);
            return Err(IoApicError::InService);
        }
        self.write(REDIRECTION + input * 2 + 1, apic_id << 24);
        self.write(REDIRECTION + input * 2, low);
        Ok(())
    }

    /// Masks a routed input.
    ///
    /// # Errors
    /// [`IoApicError::NoSuchInput`].
    pub fn mask(&self, global: u32) -> Result<(), IoApicError> {
        self.set_low(global, |low| low | MASKED)
    }

    /// Opens a routed input.
    ///
    /// # Errors
    /// [`IoApicError::NoSuchInput`].
    pub fn unmask(&self, global: u32) -> Result<(), IoApicError> {
        self.set_low(global, |low| low & !MASKED)
    }

    fn set_low(&self, global: u32, change: fn(u32) -> u32) -> Result<(), IoApicError> {
        let input = self.input(global)?;
        let low = self.read(REDIRECTION + input * 2);
        self.write(REDIRECTION + input * 2, change(low));
        Ok(())
    }
}
