//! The directory: one record for each PCI function, for good.

use alloc::vec::Vec;

use crate::ids::FunctionId;
use crate::record::{FunctionRecord, FunctionShape, Limits};
use crate::refusal::Refusal;

/// All records. Append-only, and no function is in it twice.
///
/// `R` is how the caller keeps a record: the record itself, or a lock around it, so that two functions never wait for
/// each other.
#[derive(Debug)]
pub struct Ledger<R> {
    entries: Vec<(u32, R)>,
}

impl<R> Ledger<R> {
    /// Makes an empty ledger.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            entries: Vec::new(),
        }
    }

    /// Adds a function that enumeration found, unclaimed.
    ///
    /// # Errors
    /// `Duplicate` if the address is known already; `NoMemory`; `Exhausted` after 2^32 - 1 functions.
    pub fn register<F>(
        &mut self,
        shape: FunctionShape,
        limits: Limits,
    ) -> Result<FunctionId, Refusal>
    where
        R: From<FunctionRecord<F>>,
    {
        self.register_after(shape, limits, 0)
    }

    /// Adds a function whose earlier claims used the generations up to `last_generation`.
    ///
    /// # Errors
    /// As for [`Self::register`].
    pub fn register_after<F>(
        &mut self,
        shape: FunctionShape,
        limits: Limits,
        last_generation: u64,
    ) -> Result<FunctionId, Refusal>
    where
        R: From<FunctionRecord<F>>,
    {
        if self
            .entries
            .iter()
            .any(|(address, _)| *address == shape.address)
        {
            return Err(Refusal::Duplicate);
        }
        let id = FunctionId(u32::try_from(self.entries.len()).map_err(|_| Refusal::Exhausted)?);
        self.entries.try_reserve(1).map_err(|_| Refusal::NoMemory)?;
        let address = shape.address;
        let record = FunctionRecord::unclaimed(id, shape, limits, last_generation);
        self.entries.push((address, R::from(record)));
        Ok(id)
    }

    /// Returns the record of a function.
    #[must_use]
    pub fn get(&self, id: FunctionId) -> Option<&R> {
        self.entries.get(id.0 as usize).map(|(_, record)| record)
    }

    /// Returns the record of a function, for change.
    #[must_use]
    pub fn get_mut(&mut self, id: FunctionId) -> Option<&mut R> {
        self.entries
            .get_mut(id.0 as usize)
            .map(|(_, record)| record)
    }

    /// Finds a function by its PCI address.
    #[must_use]
    pub fn find(&self, address: u32) -> Option<FunctionId> {
        let at = self
            .entries
            .iter()
            .position(|(known, _)| *known == address)?;
        u32::try_from(at).ok().map(FunctionId)
    }

    /// Visits every record.
    pub fn iter(&self) -> impl Iterator<Item = (FunctionId, &R)> {
        (0u32..)
            .zip(&self.entries)
            .map(|(index, (_, record))| (FunctionId(index), record))
    }
}

impl<R> Default for Ledger<R> {
    fn default() -> Self {
        Self::new()
    }
}
