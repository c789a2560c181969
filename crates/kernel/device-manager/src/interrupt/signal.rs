//! The registers behind a signal: MSI-X entries, the MSI structure, INTx disable.

use pci_format::{Command, Status, read_command, reg, update_command};
use ring_abi::Refusal;

use super::route::Signal;
use crate::stop::Switch;
use crate::turn::Turn;
use crate::{Message, Platform};

impl<P: Platform> Turn<'_, P> {
    /// Makes the function's signals ready for a new claim: everything masked.
    pub(crate) fn prepare_signals(&self) {
        let mut config = self.at.machine.config.lock();
        update_command(
            &mut **config,
            self.at.bdf(),
            Command::INTERRUPT_DISABLE,
            Command::empty(),
        );
        if let (Some(msix), Some(table)) = (&self.at.hardware.msix, self.function.mapped.table()) {
            msix.enable_masked(&mut **config, self.at.bdf());
            table.mask_all();
            // From here each vector's own mask bit counts, and each is set.
            msix.unmask(&mut **config, self.at.bdf());
        } else if let Some(msi) = &self.at.hardware.msi {
            msi.disable(&mut **config, self.at.bdf());
        }
    }

    /// Turns the function's signals off: its claim ends, or its pin is used instead.
    pub(crate) fn silence(&self) {
        let mut config = self.at.machine.config.lock();
        if let Some(msix) = &self.at.hardware.msix {
            msix.mask(&mut **config, self.at.bdf());
            msix.disable(&mut **config, self.at.bdf());
        }
        if let Some(msi) = &self.at.hardware.msi {
            msi.disable(&mut **config, self.at.bdf());
        }
        update_command(
            &mut **config,
            self.at.bdf(),
            Command::INTERRUPT_DISABLE,
            Command::empty(),
        );
    }

    /// Writes the message of a source, which is quiet and stays so.
    pub(super) fn program(&self, source: u16, message: &Message) -> Result<(), Refusal> {
        if let Some(table) = self.function.mapped.table() {
            let written = table.program(source, message.address, message.data);
            return written.then_some(()).ok_or(Refusal::OutOfRange);
        }
        let msi = self.at.hardware.msi.as_ref().ok_or(Refusal::NotSupported)?;
        let data = u16::try_from(message.data).map_err(|_| Refusal::NotSupported)?;
        let mut config = self.at.machine.config.lock();
        msi.program(&mut **config, self.at.bdf(), message.address, data)
            .map_err(|_| Refusal::NotSupported)?;
        msi.mask(&mut **config, self.at.bdf());
        if msi.vector_mask {
            msi.enable(&mut **config, self.at.bdf());
        }
        Ok(())
    }

    /// Keeps a source from signalling, for the time being: what it has to say is not lost. A source that cannot be
    /// masked goes on; what it sends is kept in the route.
    pub(super) fn mask_source(&self, source: u16, signal: Signal) {
        match signal {
            Signal::Msix => {
                if let Some(table) = self.function.mapped.table() {
                    table.mask(source);
                }
            }
            Signal::Msi { maskable: true } => {
                if let Some(msi) = &self.at.hardware.msi {
                    msi.mask(&mut **self.at.machine.config.lock(), self.at.bdf());
                }
            }
            Signal::Msi { maskable: false } => {}
            Signal::Line { .. } => self.switch_pin(Switch::Off),
        }
    }

    /// Makes a source quiet for certain. When this returns, every message that it has sent has arrived: reading back
    /// pushes them.
    pub(super) fn quiet_source(&self, source: u16, signal: Signal) {
        match signal {
            Signal::Msix => {
                if let Some(table) = self.function.mapped.table() {
                    table.mask_and_flush(source);
                }
            }
            Signal::Msi { maskable } => {
                if let Some(msi) = &self.at.hardware.msi {
                    let mut config = self.at.machine.config.lock();
                    if maskable {
                        msi.mask(&mut **config, self.at.bdf());
                    } else {
                        msi.disable(&mut **config, self.at.bdf());
                    }
                    msi.is_enabled(&**config, self.at.bdf());
                }
            }
            Signal::Line { .. } => self.switch_pin(Switch::Off),
        }
    }

    /// Lets a source signal.
    pub(super) fn unmask_source(&self, source: u16, signal: Signal) {
        match signal {
            Signal::Msix => {
                if let Some(table) = self.function.mapped.table() {
                    table.unmask(source);
                }
            }
            Signal::Msi { maskable } => {
                if let Some(msi) = &self.at.hardware.msi {
                    let mut config = self.at.machine.config.lock();
                    if maskable {
                        msi.unmask(&mut **config, self.at.bdf());
                    } else if !msi.is_enabled(&**config, self.at.bdf()) {
                        msi.enable(&mut **config, self.at.bdf());
                    }
                }
            }
            Signal::Line { .. } => self.switch_pin(Switch::On),
        }
    }

    /// Whether a source that cannot be masked is on at the device.
    pub(super) fn is_sending(&self) -> bool {
        let msi = self.at.hardware.msi.as_ref();
        msi.is_some_and(|msi| msi.is_enabled(&**self.at.machine.config.lock(), self.at.bdf()))
    }

    /// Lets the function raise its pin, or not: the bit says that it may not.
    fn switch_pin(&self, switch: Switch) {
        let (clear, set) = switch.bits(Command::INTERRUPT_DISABLE);
        update_command(
            &mut **self.at.machine.config.lock(),
            self.at.bdf(),
            set,
            clear,
        );
    }

    /// Whether the function has an interrupt to signal by its pin, whether it may or not. A function without a pin
    /// cannot say.
    pub(super) fn has_cause(&self) -> Option<bool> {
        self.at.hardware.pin()?;
        let status = self
            .at
            .machine
            .config
            .lock()
            .read16(self.at.bdf(), reg::COMMAND + 2);
        Some(Status::from_bits_retain(status).contains(Status::INTERRUPT_STATUS))
    }

    /// Whether the function asserts its pin.
    pub(super) fn asserts_pin(&self) -> bool {
        let disabled = {
            let config = self.at.machine.config.lock();
            read_command(&**config, self.at.bdf()).contains(Command::INTERRUPT_DISABLE)
        };
        !disabled && self.has_cause() == Some(true)
    }
}
