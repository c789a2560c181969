//! Programs that ask when an interrupt arrives, and when it must not, with devices that raise it themselves.
//!
//! Owns what they share: the teaching device `edu`, brought up by hand. Invariant: it never raises an interrupt but at
//! the device, through a register, and never goes around an interface.
#![no_std]

use sdk::device::interrupt::Signal;
use sdk::{Device, DeviceMmio, DeviceRegistry, Interrupt, Refusal, Timer};

/// Registers of the card in BAR 0; `docs/devices/edu.md` has them all.
pub mod regs {
    /// A number goes in, its factorial comes out.
    pub const FACTORIAL: u64 = 0x08;
    /// 1: computing; 0x80: raise the interrupt at its end.
    pub const STATUS: u64 = 0x20;
    /// Causes of the interrupt.
    pub const CAUSES: u64 = 0x24;
    /// Adds causes, and so raises the interrupt.
    pub const RAISE: u64 = 0x60;
    /// Takes causes away.
    pub const ACKNOWLEDGE: u64 = 0x64;
}

/// The one MSI of the card.
pub const MESSAGE: u16 = 0;
/// Its pin, after the messages.
pub const PIN: u16 = 1;

/// A card that is up.
pub struct Card {
    /// The claim.
    pub device: Device,
    /// Its registers.
    pub mmio: DeviceMmio,
}

impl Card {
    /// Claims card `nth` and brings it up.
    ///
    /// # Errors
    /// The refusal of the step that failed.
    pub fn claim(registry: &DeviceRegistry, nth: u32) -> Result<Self, Refusal> {
        Self::new(registry.claim("edu", nth)?.device)
    }

    /// Brings a card up.
    ///
    /// # Errors
    /// The refusal of the step that failed.
    pub fn new(device: Device) -> Result<Self, Refusal> {
        up(&device)?;
        let mmio = device.mmio(0)?.mmio;
        Ok(Self { device, mmio })
    }

    /// Opens a source and unmasks it.
    ///
    /// # Errors
    /// The refusal of the step that failed.
    pub fn listen(&self, source: u16) -> Result<Interrupt, Refusal> {
        let interrupt = self.device.interrupt(source)?.interrupt;
        interrupt.unmask()?;
        Ok(interrupt)
    }

    /// Has the card raise its interrupt.
    ///
    /// # Errors
    /// Those of a register write.
    pub fn raise(&self, causes: u64) -> Result<(), Refusal> {
        self.mmio.write(regs::RAISE, 4, causes).map(drop)
    }

    /// What the card says it raises its interrupt for.
    ///
    /// # Errors
    /// Those of a register read.
    pub fn causes(&self) -> Result<u64, Refusal> {
        Ok(self.mmio.read(regs::CAUSES, 4)?.value)
    }

    /// Takes every cause away; returns which there were.
    ///
    /// # Errors
    /// Those of a register access.
    pub fn settle(&self) -> Result<u64, Refusal> {
        let causes = self.causes()?;
        self.mmio.write(regs::ACKNOWLEDGE, 4, causes)?;
        Ok(causes)
    }
}

/// Reset, configured, enabled.
///
/// # Errors
/// The refusal of the step that failed.
pub fn up(device: &Device) -> Result<(), Refusal> {
    device.reset()?;
    device.configure()?;
    device.enable()
}

/// Waits, for at most `ms` milliseconds. Gives the dispatches of the source so far.
///
/// # Errors
/// `TimedOut`, and those of `Interrupt.wait`.
pub fn wait(interrupt: &Interrupt, timer: &Timer, ms: u64) -> Result<u64, Refusal> {
    let deadline = timer.now()?.ns + ms * 1_000_000;
    Ok(interrupt.with_deadline(deadline).wait()?.dispatches)
}

/// Waits for one interrupt, takes its causes away at the card, and acknowledges.
///
/// # Errors
/// As [`wait`].
pub fn serve(card: &Card, interrupt: &Interrupt, timer: &Timer) -> Result<u64, Refusal> {
    wait(interrupt, timer, SOON_MS)?;
    let causes = card.settle()?;
    interrupt.acknowledge()?;
    Ok(causes)
}

/// Long enough for what must arrive, also on a slow machine.
pub const SOON_MS: u64 = 5000;
/// Long enough to be sure that nothing arrives.
pub const NEVER_MS: u64 = 100;

/// How the interrupt signals.
///
/// # Errors
/// Those of `Interrupt.info`.
pub fn signal(interrupt: &Interrupt) -> Result<&'static str, Refusal> {
    Ok(match interrupt.info()?.signal {
        Signal::Msix => "msix",
        Signal::Msi => "msi",
        Signal::Line => "line",
    })
}
