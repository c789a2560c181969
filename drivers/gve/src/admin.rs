//! The admin queue: commands of the broker's own, one after the other, and registrations of page lists.

use driver_core::{BrokerIo, DmaPages, Poll, Refusal, release_to_device};
use gve_format::brokered::Side;
use gve_format::registers::{ADMIN_DOORBELL, ADMIN_EVENTS};
use gve_format::{COMMAND_BYTES, COMMANDS, Command, PAGE_BYTES, Status};

use crate::registers;

/// How long a command may take.
const TIMEOUT_NS: u64 = 10_000_000_000;
/// How long to wait before looking for its answer again.
pub(crate) const POLL_NS: u64 = 50_000;
/// Commands that can be on their way: one of the broker's own, and one for each list.
const ON_THEIR_WAY: usize = 3;

/// Whose command it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Whose {
    /// The broker's own.
    Own,
    /// The registration of this list.
    List(Side),
}

/// The queue, and what is on its way in it.
#[derive(Debug)]
pub(crate) struct Admin {
    page: DmaPages,
    /// Commands written, and told to the device; commands answered: all modulo 2^32.
    asked: u32,
    told: u32,
    answered: u32,
    whose: [Whose; ON_THEIR_WAY],
}

impl Admin {
    /// Over a page of the broker's own, which the device has as its admin queue.
    pub(crate) fn new(page: DmaPages) -> Self {
        page.zero();
        Self {
            page,
            asked: 0,
            told: 0,
            answered: 0,
            whose: [Whose::Own; ON_THEIR_WAY],
        }
    }

    /// Its page, for the next one.
    pub(crate) fn into_page(self) -> DmaPages {
        self.page
    }

    /// What the device is told of the page.
    ///
    /// # Errors
    /// `OutOfReach` where the device has no bits for it.
    pub(crate) fn page_number(&self) -> Result<u32, Refusal> {
        let number = self.page.address().bus() / u64::from(PAGE_BYTES);
        u32::try_from(number).map_err(|_| Refusal::OutOfReach)
    }

    /// Writes a command; the device does not look before [`Self::ring`].
    ///
    /// # Errors
    /// `Busy` with as many on their way as there can be.
    pub(crate) fn write(&mut self, whose: Whose, command: &Command) -> Result<(), Refusal> {
        let ahead = self.asked.wrapping_sub(self.answered) as usize;
        if ahead >= ON_THEIR_WAY {
            return Err(Refusal::Busy);
        }
        let slot = (self.asked % COMMANDS) as usize * COMMAND_BYTES;
        self.page.write(slot, &command.bytes())?;
        if let Some(entry) = self.whose.get_mut(self.asked as usize % ON_THEIR_WAY) {
            *entry = whose;
        }
        self.asked = self.asked.wrapping_add(1);
        Ok(())
    }

    /// Tells the device of everything written since the last time.
    ///
    /// # Errors
    /// As `BrokerIo::registers`.
    pub(crate) fn ring(&mut self, io: &dyn BrokerIo) -> Result<(), Refusal> {
        if self.told != self.asked {
            release_to_device();
            registers::write(io, ADMIN_DOORBELL, self.asked)?;
            self.told = self.asked;
        }
        Ok(())
    }

    /// Takes the next answer, if there is one.
    ///
    /// # Errors
    /// `Corrupt` for more answers than questions, and for an answer without a status; `DeviceError`.
    pub(crate) fn take(&mut self, io: &dyn BrokerIo) -> Result<Option<(Whose, Status)>, Refusal> {
        if self.answered == self.told {
            return Ok(None);
        }
        let events = registers::read(io, ADMIN_EVENTS)?;
        let new = events.wrapping_sub(self.answered);
        if new > self.told.wrapping_sub(self.answered) {
            return Err(Refusal::Corrupt);
        }
        if new == 0 {
            return Ok(None);
        }
        let slot = (self.answered % COMMANDS) as usize * COMMAND_BYTES;
        let mut bytes = [0; COMMAND_BYTES];
        self.page.read(slot, &mut bytes)?;
        let status = Status::read(&bytes);
        if status == Status::UNSET {
            return Err(Refusal::Corrupt);
        }
        let whose = self.whose.get(self.answered as usize % ON_THEIR_WAY);
        let whose = *whose.ok_or(Refusal::Corrupt)?;
        self.answered = self.answered.wrapping_add(1);
        Ok(Some((whose, status)))
    }
}

/// One of the broker's own commands, on its way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Question {
    deadline_ns: u64,
}

impl Question {
    /// Asks.
    ///
    /// # Errors
    /// As [`Admin::write`] and [`Admin::ring`].
    pub(crate) fn ask(
        io: &dyn BrokerIo,
        admin: &mut Admin,
        command: &Command,
    ) -> Result<Self, Refusal> {
        admin.write(Whose::Own, command)?;
        admin.ring(io)?;
        Ok(Self::waiting(io))
    }

    /// Waits for what was asked before.
    pub(crate) fn waiting(io: &dyn BrokerIo) -> Self {
        Self {
            deadline_ns: io.now_ns().saturating_add(TIMEOUT_NS),
        }
    }

    /// Waits on.
    ///
    /// # Errors
    /// `TimedOut` once it is too late.
    pub(crate) fn wait(self, io: &dyn BrokerIo) -> Result<Poll, Refusal> {
        match io.now_ns() >= self.deadline_ns {
            true => Err(Refusal::TimedOut),
            false => Ok(Poll::Pending { after_ns: POLL_NS }),
        }
    }
}

/// What a device's refusal is to whoever asked.
pub(crate) const fn judged(status: Status) -> Result<(), Refusal> {
    match status {
        Status::PASSED => Ok(()),
        Status::UNIMPLEMENTED => Err(Refusal::NotSupported),
        _ => Err(Refusal::DeviceError),
    }
}
