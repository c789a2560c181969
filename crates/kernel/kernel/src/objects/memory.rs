//! `VirtualMemory` and `MemoryObject`.

use alloc::sync::Arc;

use ::memory::{MemoryObject, Protection};
use cap::{Epoch, Number};
use device_manager::Access;
use ipc::{About, KernelCall, Process, Tie};
use sabotage::sabotage;
use schema::process::{memory_object, virtual_memory};
use stub::{Answered, Refusal};

use super::served::{Owed, Owner, Served, kernel_object};

/// A process's own address space.
pub struct Memory {
    epoch: Epoch,
    owner: Owner,
}

impl Memory {
    pub fn of(process: &Arc<Process>) -> Self {
        Self {
            epoch: Epoch::default(),
            owner: Owner::of(process),
        }
    }
}

kernel_object!(Memory, virtual_memory);

impl<'a> virtual_memory::Server<KernelCall<'a>> for Served<Memory> {
    fn map(
        &mut self,
        reply: Owed<'a, virtual_memory::call::Map>,
        bytes: u64,
        protection: u8,
    ) -> Answered {
        let result = self
            .0
            .owner
            .called_by(reply.call().process())
            .and_then(|p| {
                let access = Protection(protection).access()?;
                p.vm.map_new(bytes, access, None)
            });
        reply.answer(result.map(|address| virtual_memory::MapReply { address }))
    }

    fn unmap(
        &mut self,
        reply: Owed<'a, virtual_memory::call::Unmap>,
        address: u64,
        bytes: u64,
    ) -> Answered {
        let result = self
            .0
            .owner
            .called_by(reply.call().process())
            .and_then(|p| p.vm.unmap(address, bytes));
        reply.answer(result)
    }

    fn protect(
        &mut self,
        reply: Owed<'a, virtual_memory::call::Protect>,
        address: u64,
        bytes: u64,
        protection: u8,
    ) -> Answered {
        let result = self
            .0
            .owner
            .called_by(reply.call().process())
            .and_then(|p| {
                let access = Protection(protection).access()?;
                p.vm.protect(address, bytes, access)
            });
        reply.answer(result)
    }

    fn create_memory(
        &mut self,
        reply: Owed<'a, virtual_memory::call::CreateMemory>,
        bytes: u64,
    ) -> Answered {
        let result = self
            .0
            .owner
            .called_by(reply.call().process())
            .and_then(|p| {
                let pages = match bytes {
                    0 => return Err(Refusal::ZeroLength),
                    b => u32::try_from(b.div_ceil(4096)).map_err(|_| Refusal::OverBudget)?,
                };
                let object = p.bank.memory(pages)?;
                Shared::give(&p, object, Access::ReadWrite)
            });
        reply.answer(result.map(|memory| virtual_memory::CreateMemoryReply { memory }))
    }
}

/// A capability to shared pages.
pub struct Shared {
    epoch: Epoch,
    object: Arc<MemoryObject>,
    /// Names the pages to whoever looks: what was made of this one bears the same.
    pages: Number,
    /// Where in the object it begins, and how long it is, in bytes.
    part: (u64, u64),
    writable: bool,
    right: Right,
    tie: Arc<Tie>,
}

/// Whether a capability can end the pages it stands for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Right {
    /// `createMemory` gave it.
    Revoke,
    /// Made by `readOnly` or `part`, or a window over a device's pages: it ends with what it was made from, and cannot end that.
    Use,
}

impl Shared {
    fn new(object: Arc<MemoryObject>, access: Access, right: Right, tie: Arc<Tie>) -> Self {
        Self {
            epoch: Epoch::default(),
            pages: Number::next(),
            part: (0, object.bytes()),
            object,
            writable: access == Access::ReadWrite,
            right,
            tie,
        }
    }

    /// Wraps pages that `process`, which runs, has made; `access` narrows what may be mapped through this capability.
    ///
    /// # Errors
    /// `OverBudget`, `NoMemory`.
    pub fn give(
        process: &Process,
        object: Arc<MemoryObject>,
        access: Access,
    ) -> Result<ipc::Slot, Refusal> {
        let bank = &process.bank;
        bank.object(|tie| Self::new(object, access, Right::Revoke, tie))
    }

    /// Wraps pages for somebody to whom they are lent: a device's, or a provider's buffer.
    ///
    /// # Errors
    /// As for [`Self::give`].
    pub fn window(
        process: &Process,
        object: Arc<MemoryObject>,
        access: Access,
    ) -> Result<ipc::Slot, Refusal> {
        let bank = &process.bank;
        bank.object(|tie| Self::new(object, access, Right::Use, tie))
    }

    fn may_revoke(&self) -> bool {
        // With the sabotage there are two that may revoke the same pages, as there once were.
        self.right == Right::Revoke || sabotage!(SECOND_REVOKER_GOES_ON)
    }

    fn live(&self) -> Result<(), Refusal> {
        if self.object.is_revoked() {
            Err(Refusal::Revoked)
        } else {
            Ok(())
        }
    }

    /// Whether its holder may write the pages.
    pub fn writable(&self) -> bool {
        self.writable && self.object.writable()
    }

    /// The pages that it is made of, or of which it is a part.
    pub const fn object(&self) -> &Arc<MemoryObject> {
        &self.object
    }

    /// Where in the object these bytes of it are.
    ///
    /// # Errors
    /// `OutOfRange`.
    pub fn place(&self, offset: u64, bytes: u64) -> Result<u64, Refusal> {
        let (start, length) = self.part;
        let end = offset.checked_add(bytes).filter(|end| *end <= length);
        end.map(|_| start + offset).ok_or(Refusal::OutOfRange)
    }

    /// A narrower one, which cannot end the pages.
    fn narrow(
        &self,
        process: &Process,
        part: (u64, u64),
        access: Access,
    ) -> Result<ipc::Slot, Refusal> {
        process.bank.object(|tie| {
            let mut narrower = Self::new(self.object.clone(), access, Right::Use, tie);
            narrower.part = part;
            narrower.pages = self.pages;
            narrower.writable &= self.writable;
            narrower
        })
    }

    /// Whether whoever paid for it, or for the pages, has ended.
    fn ended(&self) -> bool {
        self.tie.has_ended() || self.object.has_ended()
    }
}

kernel_object!(Shared, memory_object, about, live, ended);

impl Shared {
    fn about(&self) -> About {
        About::Pages(self.pages.get(), self.part.1)
    }
}

impl<'a> memory_object::Server<KernelCall<'a>> for Served<Shared> {
    fn info(&mut self, reply: Owed<'a, memory_object::call::Info>) -> Answered {
        reply.send(memory_object::InfoReply {
            bytes: self.0.part.1,
            writable: self.0.writable(),
        })
    }

    fn map(
        &mut self,
        reply: Owed<'a, memory_object::call::Map>,
        offset: u64,
        bytes: u64,
        protection: u8,
    ) -> Answered {
        let result = Protection(protection).access().and_then(|access| {
            if access == paging::Access::ReadWrite && !self.0.writable {
                return Err(Refusal::ReadOnly);
            }
            if access == paging::Access::ReadExecute {
                // Shared pages may be written by somebody else: never executable.
                return Err(Refusal::WriteExecute);
            }
            if !offset.is_multiple_of(frames::FRAME_BYTES) {
                return Err(Refusal::Misaligned);
            }
            let pages = bytes.checked_next_multiple_of(frames::FRAME_BYTES);
            let whole = pages.ok_or(Refusal::OutOfRange)?;
            let offset = match sabotage!(PART_IS_ALL) {
                true => self.0.part.0 + offset,
                false => self.0.place(offset, whole)?,
            };
            let vm = &reply.call().process().vm;
            vm.map_object(&self.0.object, offset, bytes, access, None)
        });
        reply.answer(result.map(|address| memory_object::MapReply { address }))
    }

    fn unmap(&mut self, reply: Owed<'a, memory_object::call::Unmap>, address: u64) -> Answered {
        let result = reply.call().process().vm.unmap_region(address);
        reply.answer(result)
    }

    fn read_only(&mut self, reply: Owed<'a, memory_object::call::ReadOnly>) -> Answered {
        let process = reply.call().process();
        let narrower = self.0.narrow(process, self.0.part, Access::Read);
        reply.answer(narrower.map(|memory| memory_object::ReadOnlyReply { memory }))
    }

    fn part(
        &mut self,
        reply: Owed<'a, memory_object::call::Part>,
        offset: u64,
        bytes: u64,
    ) -> Answered {
        let part = match bytes {
            0 => Err(Refusal::ZeroLength),
            _ if !(offset | bytes).is_multiple_of(frames::FRAME_BYTES) => Err(Refusal::Misaligned),
            _ => self.0.place(offset, bytes),
        };
        let process = reply.call().process();
        let narrower =
            part.and_then(|start| self.0.narrow(process, (start, bytes), Access::ReadWrite));
        reply.answer(narrower.map(|memory| memory_object::PartReply { memory }))
    }

    fn revoke(&mut self, reply: Owed<'a, memory_object::call::Revoke>) -> Answered {
        if !self.0.may_revoke() {
            return reply.refuse(Refusal::NotSupported);
        }
        self.0.epoch.revoke();
        let _ = self.0.object.revoke();
        reply.send(())
    }
}
