//! How a source signals, and the registers behind that: MSI-X entries, the MSI structure, INTx disable.

use pci_format::{Command, Status, read_command, reg, update_command};
use ring_abi::Refusal;

use crate::function::Function;
use crate::manager::At;
use crate::{DeviceManager, Message, Platform};

/// How a source signals.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Signal {
    /// An MSI-X vector: masked at the device, which remembers what it would have sent.
    Msix,
    /// The function's one MSI.
    Msi {
        /// The device can mask it, and remembers then.
        maskable: bool,
    },
    /// The function's pin, on a line that others may share. Masked with INTx disable.
    Line {
        /// Index of the line.
        line: u32,
    },
}

impl Signal {
    /// The name in facts.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Msix => "msix",
            Self::Msi { .. } => "msi",
            Self::Line { .. } => "line",
        }
    }

    /// Whether the device goes on sending while the route is masked or waits for its acknowledgement, so that what it
    /// sends must be kept here.
    pub(crate) const fn is_unmaskable(self) -> bool {
        matches!(self, Self::Msi { maskable: false })
    }
}

impl<P: Platform> DeviceManager<P> {
    /// Makes the function's signals ready for a new claim: everything masked, messages of before erased.
    pub(crate) fn prepare_signals(&self, at: &At<'_, P>, function: &Function<P>) {
        let mut config = self.config.lock();
        update_command(
            &mut **config,
            at.bdf(),
            Command::INTERRUPT_DISABLE,
            Command::empty(),
        );
        if let (Some(msix), Some(table)) = (&at.hardware.msix, &function.table) {
            msix.enable_masked(&mut **config, at.bdf());
            table.clear();
            // From here each vector's own mask bit counts, and each is set.
            msix.unmask(&mut **config, at.bdf());
        } else if let Some(msi) = &at.hardware.msi {
            msi.disable(&mut **config, at.bdf());
        }
    }

    /// Turns the function's signals off: its claim ends, or its pin is used instead.
    pub(crate) fn silence(&self, at: &At<'_, P>) {
        let mut config = self.config.lock();
        if let Some(msix) = &at.hardware.msix {
            msix.mask(&mut **config, at.bdf());
            msix.disable(&mut **config, at.bdf());
        }
        if let Some(msi) = &at.hardware.msi {
            msi.disable(&mut **config, at.bdf());
        }
        update_command(
            &mut **config,
            at.bdf(),
            Command::INTERRUPT_DISABLE,
            Command::empty(),
        );
    }

    /// Writes the message of a source, which is quiet and stays so.
    pub(crate) fn program(
        &self,
        at: &At<'_, P>,
        function: &Function<P>,
        source: u16,
        message: &Message,
    ) -> Result<(), Refusal> {
        if let Some(table) = &function.table {
            let written = table.program(source, message.address, message.data);
            return written.then_some(()).ok_or(Refusal::OutOfRange);
        }
        let msi = at.hardware.msi.as_ref().ok_or(Refusal::NotSupported)?;
        let data = u16::try_from(message.data).map_err(|_| Refusal::NotSupported)?;
        let mut config = self.config.lock();
        msi.program(&mut **config, at.bdf(), message.address, data)
            .map_err(|_| Refusal::NotSupported)?;
        msi.mask(&mut **config, at.bdf());
        if msi.vector_mask {
            msi.enable(&mut **config, at.bdf());
        }
        Ok(())
    }

    /// Keeps a source from signalling, for the time being: what it has to say is not lost. A source that cannot be
    /// masked goes on; what it sends is kept in the route.
    pub(crate) fn mask_source(
        &self,
        at: &At<'_, P>,
        function: &Function<P>,
        source: u16,
        signal: Signal,
    ) {
        match signal {
            Signal::Msix => {
                if let Some(table) = &function.table {
                    table.mask(source);
                }
            }
            Signal::Msi { maskable: true } => {
                if let Some(msi) = &at.hardware.msi {
                    msi.mask(&mut **self.config.lock(), at.bdf());
                }
            }
            Signal::Msi { maskable: false } => {}
            Signal::Line { .. } => self.disable_pin(at, true),
        }
    }

    /// Makes a source quiet for certain. When this returns, every message that it has sent has arrived: reading back
    /// pushes them.
    pub(crate) fn quiet_source(
        &self,
        at: &At<'_, P>,
        function: &Function<P>,
        source: u16,
        signal: Signal,
    ) {
        match signal {
            Signal::Msix => {
                if let Some(table) = &function.table {
                    table.mask_and_flush(source);
                }
            }
            Signal::Msi { maskable } => {
                if let Some(msi) = &at.hardware.msi {
                    let mut config = self.config.lock();
                    if maskable {
                        msi.mask(&mut **config, at.bdf());
                    } else {
                        msi.disable(&mut **config, at.bdf());
                    }
                    msi.is_enabled(&**config, at.bdf());
                }
            }
            Signal::Line { .. } => self.disable_pin(at, true),
        }
    }

    /// Lets a source signal.
    pub(crate) fn unmask_source(
        &self,
        at: &At<'_, P>,
        function: &Function<P>,
        source: u16,
        signal: Signal,
    ) {
        match signal {
            Signal::Msix => {
                if let Some(table) = &function.table {
                    table.unmask(source);
                }
            }
            Signal::Msi { maskable } => {
                if let Some(msi) = &at.hardware.msi {
                    let mut config = self.config.lock();
                    if maskable {
                        msi.unmask(&mut **config, at.bdf());
                    } else if !msi.is_enabled(&**config, at.bdf()) {
                        msi.enable(&mut **config, at.bdf());
                    }
                }
            }
            Signal::Line { .. } => self.disable_pin(at, false),
        }
    }

    /// Whether a source that cannot be masked is on at the device.
    pub(crate) fn is_sending(&self, at: &At<'_, P>) -> bool {
        let msi = at.hardware.msi.as_ref();
        msi.is_some_and(|msi| msi.is_enabled(&**self.config.lock(), at.bdf()))
    }

    fn disable_pin(&self, at: &At<'_, P>, disabled: bool) {
        let (set, clear) = if disabled {
            (Command::INTERRUPT_DISABLE, Command::empty())
        } else {
            (Command::empty(), Command::INTERRUPT_DISABLE)
        };
        update_command(&mut **self.config.lock(), at.bdf(), set, clear);
    }

    /// Whether the function has an interrupt to signal by its pin, whether it may or not. A function without a pin
    /// cannot say.
    pub(crate) fn has_cause(&self, at: &At<'_, P>) -> Option<bool> {
        at.hardware.pin()?;
        let status = self.config.lock().read16(at.bdf(), reg::COMMAND + 2);
        Some(Status::from_bits_retain(status).contains(Status::INTERRUPT_STATUS))
    }

    /// Whether the function asserts its pin.
    pub(crate) fn asserts_pin(&self, at: &At<'_, P>) -> bool {
        let disabled = {
            let config = self.config.lock();
            read_command(&**config, at.bdf()).contains(Command::INTERRUPT_DISABLE)
        };
        !disabled && self.has_cause(at) == Some(true)
    }
}
