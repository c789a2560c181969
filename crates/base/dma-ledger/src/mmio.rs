//! Register accesses, and the holds of user mappings over register and buffer pages.

use crate::PAGE_BYTES;
use crate::ids::{BufferId, Claim, MappingId};
use crate::parts::{Held, MapTarget, Mapped, Mapping, Protection};
use crate::record::{FunctionRecord, FunctionState};
use crate::refusal::Refusal;

/// Bytes of a BAR that a rule speaks of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BarRange {
    /// BAR number.
    pub bar: u8,
    /// First byte.
    pub offset: u64,
    /// Bytes.
    pub bytes: u64,
}

impl BarRange {
    const fn contains(&self, bar: u8, offset: u64, bytes: u64) -> bool {
        // Differences, not sums: nothing here can overflow.
        self.bar == bar
            && offset >= self.offset
            && bytes <= self.bytes
            && offset - self.offset <= self.bytes - bytes
    }
}

/// One access to one register.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Access {
    /// BAR number.
    pub bar: u8,
    /// First byte.
    pub offset: u64,
    /// 1, 2, 4 or 8 bytes.
    pub width: u8,
}

/// A register that a claim's holder may write, as its broker declared it.
#[derive(Clone, Copy, Debug)]
pub struct RegisterWindow {
    /// The register, whole.
    pub register: Access,
    /// Bits that may change; the others must be written as they read.
    pub mask: u64,
    /// A further rule on the masked value.
    pub allowed: fn(u64) -> bool,
}

impl RegisterWindow {
    /// Decides about a value, given what the register holds now.
    ///
    /// # Errors
    /// `WindowRefused` if a bit outside the mask would change, or by the value rule.
    pub fn admit(&self, current: u64, value: u64) -> Result<(), Refusal> {
        let neutral = (current ^ value) & !self.mask == 0;
        if neutral && (self.allowed)(value & self.mask) {
            Ok(())
        } else {
            Err(Refusal::WindowRefused)
        }
    }
}

impl<F> FunctionRecord<F> {
    /// Admits a register read: the access lies in one of the ranges that the broker lists as readable.
    ///
    /// # Errors
    /// Those of [`Self::check`]; `BadArgument` for a width that is none; `OutOfRange` past the BAR; `Misaligned`;
    /// `WindowRefused` outside the ranges.
    pub fn admit_read(
        &self,
        claim: &Claim,
        access: Access,
        readable: impl IntoIterator<Item = BarRange>,
    ) -> Result<(), Refusal> {
        self.admit_access(claim, access)?;
        let inside =
            |range: BarRange| range.contains(access.bar, access.offset, u64::from(access.width));
        if readable.into_iter().any(inside) {
            Ok(())
        } else {
            Err(Refusal::WindowRefused)
        }
    }

    /// Finds the window of a register write, before any effect; the value is decided by [`RegisterWindow::admit`].
    ///
    /// # Errors
    /// As for [`Self::admit_read`].
    pub fn admit_write(
        &self,
        claim: &Claim,
        access: Access,
        windows: impl IntoIterator<Item = RegisterWindow>,
    ) -> Result<RegisterWindow, Refusal> {
        self.admit_access(claim, access)?;
        windows
            .into_iter()
            .find(|window| window.register == access)
            .ok_or(Refusal::WindowRefused)
    }

    /// Records a read-only mapping of register pages, before it is made. The window is rounded up to pages.
    ///
    /// # Errors
    /// Those of [`Self::check`]; `ReadOnly` or `BadArgument` for the protection; `ZeroLength`; `OutOfRange` past the BAR;
    /// `Misaligned`; `WindowRefused` outside the ranges that the broker lists as mappable; `OverBudget`, `NoMemory`.
    pub fn map_registers(
        &mut self,
        claim: &Claim,
        window: BarRange,
        protection: Protection,
        target: MapTarget,
        mappable: impl IntoIterator<Item = BarRange>,
    ) -> Result<MappingId, Refusal> {
        self.check(claim)?;
        let BarRange { bar, offset, bytes } = window;
        match protection {
            Protection::READ => {}
            Protection::READ_WRITE => return Err(Refusal::ReadOnly),
            _ => return Err(Refusal::BadArgument),
        }
        if bytes == 0 {
            return Err(Refusal::ZeroLength);
        }
        let limit = self.bar_bytes(bar)?;
        let rounded = bytes
            .checked_next_multiple_of(PAGE_BYTES)
            .ok_or(Refusal::OutOfRange)?;
        if offset.checked_add(rounded).is_none_or(|end| end > limit) {
            return Err(Refusal::OutOfRange);
        }
        if !offset.is_multiple_of(PAGE_BYTES) || !target.address.is_multiple_of(PAGE_BYTES) {
            return Err(Refusal::Misaligned);
        }
        if !mappable
            .into_iter()
            .any(|range| range.contains(bar, offset, rounded))
        {
            return Err(Refusal::WindowRefused);
        }
        self.hold(Mapping {
            what: Mapped::Registers(bar),
            offset,
            bytes: rounded,
            protection,
            target,
        })
    }

    /// Records a mapping of a buffer's pages, before it is made: in its holder, or in a client that was given a window.
    ///
    /// # Errors
    /// Those of [`Self::check`]; `ForeignBuffer`, `Stale` or `BadHandle`; `WrongState` once it is being freed; `BadArgument`
    /// for a protection other than read or read-write; `ZeroLength`; `OutOfRange`; `Misaligned` for a part of a page;
    /// `OverBudget`, `NoMemory`.
    pub fn map_buffer(
        &mut self,
        claim: &Claim,
        buffer: BufferId,
        (offset, bytes): (u64, u64),
        protection: Protection,
        target: MapTarget,
    ) -> Result<MappingId, Refusal> {
        self.check(claim)?;
        let known = self.pool_buffer_mut(buffer)?;
        if known.freeing || matches!(known.held, Held::Away | Held::Scrubbed(_)) {
            return Err(Refusal::WrongState);
        }
        if protection != Protection::READ && protection != Protection::READ_WRITE {
            return Err(Refusal::BadArgument);
        }
        if bytes == 0 {
            return Err(Refusal::ZeroLength);
        }
        if offset
            .checked_add(bytes)
            .is_none_or(|end| end > known.bytes)
        {
            return Err(Refusal::OutOfRange);
        }
        if [offset, bytes, target.address]
            .iter()
            .any(|value| !value.is_multiple_of(PAGE_BYTES))
        {
            return Err(Refusal::Misaligned);
        }
        let id = self.hold(Mapping {
            what: Mapped::Buffer(buffer),
            offset,
            bytes,
            protection,
            target,
        })?;
        if let Ok(known) = self.pool_buffer_mut(buffer) {
            known.maps += 1;
        }
        Ok(id)
    }

    /// Gives a mapping's hold up for its holder, after the pages were unmapped.
    ///
    /// # Errors
    /// Those of [`Self::check`]; `WrongOwner`, `Stale` or `BadHandle`.
    pub fn unmap(&mut self, claim: &Claim, mapping: MappingId) -> Result<Mapping, Refusal> {
        self.check(claim)?;
        self.release_mapping(mapping)
    }

    /// Gives a mapping's hold up without a claim: for the teardown, and for a client whose address space ends.
    ///
    /// # Errors
    /// `WrongOwner`, `Stale` or `BadHandle`.
    pub fn release_mapping(&mut self, mapping: MappingId) -> Result<Mapping, Refusal> {
        if mapping.function != self.id {
            return Err(Refusal::WrongOwner);
        }
        let released = self
            .mappings
            .remove(mapping.handle)
            .map_err(Refusal::from)?;
        if let Mapped::Buffer(buffer) = released.what
            && let Ok(known) = self.buffers.get_mut(buffer.handle)
        {
            known.maps = known.maps.saturating_sub(1);
        }
        Ok(released)
    }

    /// Looks at a mapping.
    ///
    /// # Errors
    /// Those of [`Self::check`]; `WrongOwner`, `Stale` or `BadHandle`.
    pub fn mapping(&self, claim: &Claim, mapping: MappingId) -> Result<&Mapping, Refusal> {
        self.check(claim)?;
        if mapping.function != self.id {
            return Err(Refusal::WrongOwner);
        }
        self.mappings.get(mapping.handle).map_err(Refusal::from)
    }

    /// Visits every mapping that is held: the list that teardown and a freed buffer's revocation work off.
    pub fn mappings(&self) -> impl Iterator<Item = (MappingId, &Mapping)> {
        let function = self.id;
        self.mappings
            .iter()
            .map(move |(handle, mapping)| (MappingId { function, handle }, mapping))
    }

    fn hold(&mut self, mapping: Mapping) -> Result<MappingId, Refusal> {
        debug_assert!(matches!(self.state, FunctionState::Claimed(_)));
        let handle = self
            .mappings
            .insert(mapping)
            .map_err(|(error, _)| Refusal::from(error))?;
        Ok(MappingId {
            function: self.id,
            handle,
        })
    }

    fn admit_access(&self, claim: &Claim, access: Access) -> Result<(), Refusal> {
        self.check(claim)?;
        let width = u64::from(access.width);
        if !matches!(width, 1 | 2 | 4 | 8) {
            return Err(Refusal::BadArgument);
        }
        let limit = self.bar_bytes(access.bar)?;
        if access
            .offset
            .checked_add(width)
            .is_none_or(|end| end > limit)
        {
            return Err(Refusal::OutOfRange);
        }
        if !access.offset.is_multiple_of(width) {
            return Err(Refusal::Misaligned);
        }
        Ok(())
    }

    fn bar_bytes(&self, bar: u8) -> Result<u64, Refusal> {
        match self.shape.bar_bytes.get(usize::from(bar)) {
            Some(0) | None => Err(Refusal::OutOfRange),
            Some(bytes) => Ok(*bytes),
        }
    }
}
