//! Memory shared with another process, as bytes to copy out of and into.

use schema::process::memory_object;
use stub::{Interface as _, Refusal};

use crate::Cap;
use crate::heap::virtual_memory;

/// What a window is mapped for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Reading only.
    Read,
    /// Reading and writing.
    ReadWrite,
}

/// A mapped MemoryObject. Another process may change it at any time, so there is no reference to its bytes: they are
/// copied out before they are looked at.
#[derive(Debug)]
pub struct Window {
    memory: memory_object::Client<Cap>,
    address: u64,
    bytes: u64,
    access: Access,
}

impl Window {
    /// Maps the first `bytes` bytes of `memory`.
    ///
    /// # Errors
    /// The refusal of the MemoryObject.
    pub fn map(
        memory: memory_object::Client<Cap>,
        bytes: u64,
        access: Access,
    ) -> Result<Self, Refusal> {
        let protection = match access {
            Access::Read => 1,
            Access::ReadWrite => 3,
        };
        let address = memory.map(0, bytes, protection)?.address;
        Ok(Self {
            memory,
            address,
            bytes,
            access,
        })
    }

    /// Maps all of what a client brought for both of them to read and write, if it is not longer than `most` bytes.
    ///
    /// # Errors
    /// [`Refusal::ReadOnly`]; [`Refusal::OutOfRange`] for one without bytes or with more; else the MemoryObject's.
    pub fn of_client(memory: Cap, most: u64) -> Result<Self, Refusal> {
        let memory = memory_object::Client::from_object(memory);
        let info = memory.info()?;
        if !info.writable {
            return Err(Refusal::ReadOnly);
        }
        if info.bytes == 0 || info.bytes > most {
            return Err(Refusal::OutOfRange);
        }
        Self::map(memory, info.bytes, Access::ReadWrite)
    }

    /// Its length in bytes.
    pub fn len(&self) -> u64 {
        self.bytes
    }

    /// It has no bytes.
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// The MemoryObject.
    pub fn memory(&self) -> &memory_object::Client<Cap> {
        &self.memory
    }

    pub(crate) const fn access(&self) -> Access {
        self.access
    }

    pub(crate) const fn start(&self) -> *mut u8 {
        self.address as *mut u8
    }

    fn at(&self, offset: u64, len: usize) -> Result<*mut u8, Refusal> {
        let end = offset.checked_add(len as u64).ok_or(Refusal::OutOfRange)?;
        if end > self.bytes {
            return Err(Refusal::OutOfRange);
        }
        Ok((self.address + offset) as *mut u8)
    }

    /// Copies bytes out, from `offset` on.
    ///
    /// # Errors
    /// [`Refusal::OutOfRange`] when they do not all lie in the window.
    pub fn read(&self, offset: u64, to: &mut [u8]) -> Result<(), Refusal> {
        let from = self.at(offset, to.len())?;
        // SAFETY: mapped for reading, and as long as `self`; the other side may write at the same time, which can only
        // make the bytes copied be of either version.
        unsafe { core::ptr::copy_nonoverlapping(from, to.as_mut_ptr(), to.len()) };
        Ok(())
    }

    /// Copies bytes in, from `offset` on.
    ///
    /// # Errors
    /// [`Refusal::OutOfRange`] when they do not all fit into the window, [`Refusal::ReadOnly`] when it is mapped for
    /// reading only.
    pub fn write(&self, offset: u64, from: &[u8]) -> Result<(), Refusal> {
        if self.access == Access::Read {
            return Err(Refusal::ReadOnly);
        }
        let to = self.at(offset, from.len())?;
        // SAFETY: mapped for writing, and as long as `self`; no reference to the window's bytes ever exists.
        unsafe { core::ptr::copy_nonoverlapping(from.as_ptr(), to, from.len()) };
        Ok(())
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        // By the process's own right: the capability may be dead by now, and what is mapped of it is not gone for that.
        let _ = virtual_memory().unmap(self.address, self.bytes);
    }
}
