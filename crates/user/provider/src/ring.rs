//! A device queue's ring, from the provider's side.

use device_ring::{Binding, Broken, Command, Completion, Full, ProviderEnd};
use sdk::{Access, DeviceQueue, DmaBuffer, Interface, Object, Refusal, Window, Words};

/// Commands of one kick, and completions of one, at most.
pub const BATCH: u16 = device_ring::ENTRIES as u16;

/// What a kick did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kicked {
    /// Commands that went to the device.
    pub accepted: u16,
    /// Completions that there are to [`QueueRing::take`], those of refused commands among them.
    pub given: u16,
}

/// What commands of a disk go through.
pub trait DiskQueue {
    /// Makes a name for a buffer of the same device, which has so many bytes.
    ///
    /// # Errors
    /// The kernel's; `Exhausted` where there are no more places.
    fn bind(&mut self, buffer: &DmaBuffer, bytes: u32) -> Result<Binding, Refusal>;

    /// Ends a name. Its buffer is freed next, and nothing of it is in flight.
    fn unbind(&mut self, binding: Binding);

    /// Looks how many commands there are places for.
    ///
    /// # Errors
    /// `Corrupt` where memory that is shared is not what it was.
    fn look_for_room(&mut self) -> Result<u32, Refusal>;

    /// Writes a command, for the next kick.
    ///
    /// # Errors
    /// `QueueFull`: a kick makes room. `Corrupt` as for [`Self::look_for_room`].
    fn push(&mut self, command: &Command) -> Result<(), Refusal>;

    /// Gives the device up to `submit` commands and takes up to `complete` completions.
    ///
    /// # Errors
    /// The kernel's; `Corrupt` for a device that contradicts itself.
    fn kick(&mut self, submit: u16, complete: u16) -> Result<Kicked, Refusal>;

    /// Takes the oldest completion that a kick gave.
    ///
    /// # Errors
    /// `Corrupt` as for [`Self::look_for_room`].
    fn take(&mut self) -> Result<Option<Completion>, Refusal>;
}

impl DiskQueue for QueueRing {
    fn bind(&mut self, buffer: &DmaBuffer, _: u32) -> Result<Binding, Refusal> {
        Self::bind(self, buffer)
    }

    // The kernel does, when the buffer is freed.
    fn unbind(&mut self, _: Binding) {}

    fn look_for_room(&mut self) -> Result<u32, Refusal> {
        Self::look_for_room(self)
    }

    #[inline]
    fn push(&mut self, command: &Command) -> Result<(), Refusal> {
        Self::push(self, command)
    }

    #[inline]
    fn kick(&mut self, submit: u16, complete: u16) -> Result<Kicked, Refusal> {
        Self::kick(self, submit, complete)
    }

    #[inline]
    fn take(&mut self) -> Result<Option<Completion>, Refusal> {
        Self::take(self)
    }
}

/// A device queue and the page that is shared with the kernel for it.
pub struct QueueRing {
    queue: DeviceQueue,
    end: ProviderEnd<Words>,
}

impl core::fmt::Debug for QueueRing {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("QueueRing").finish_non_exhaustive()
    }
}

impl QueueRing {
    /// Opens the ring of a queue that has none.
    ///
    /// # Errors
    /// As `DeviceQueue.ring`, and those of mapping its page.
    pub fn open(queue: DeviceQueue) -> Result<Self, Refusal> {
        let memory = queue.ring()?.memory;
        let window = Window::map(memory, ring_abi::PAGE_BYTES as u64, Access::ReadWrite)?;
        let end = ProviderEnd::new(Words::of(window)?).map_err(|_| Refusal::OutOfRange)?;
        Ok(Self { queue, end })
    }

    /// Binds a buffer of the same device.
    ///
    /// # Errors
    /// As `DeviceQueue.bind`.
    pub fn bind(&self, buffer: &DmaBuffer) -> Result<Binding, Refusal> {
        let bound = self.queue.bind(buffer.object().handle())?;
        Ok(Binding {
            slot: bound.slot,
            generation: bound.generation,
        })
    }

    /// Looks how many commands there are places for.
    ///
    /// # Errors
    /// `Corrupt` where the page is not what it was.
    pub fn look_for_room(&mut self) -> Result<u32, Refusal> {
        self.end.look_for_room().map_err(broken)
    }

    /// Writes a command, for the next kick.
    ///
    /// # Errors
    /// `QueueFull`: a kick makes room. `Corrupt` where the page is not what it was.
    #[inline]
    pub fn push(&mut self, command: &Command) -> Result<(), Refusal> {
        self.end.push(command).map_err(|full| match full {
            Full::Full => Refusal::QueueFull,
            Full::Broken => Refusal::Corrupt,
        })
    }

    /// Has the kernel take up to `submit` commands and give up to `complete` completions.
    ///
    /// # Errors
    /// As `DeviceQueue.kick`.
    #[inline]
    pub fn kick(&mut self, submit: u16, complete: u16) -> Result<Kicked, Refusal> {
        self.end.give_back();
        self.end.show();
        let kicked = self.queue.kick(submit, complete)?;
        Ok(Kicked {
            accepted: kicked.accepted,
            given: kicked.refused + kicked.completed,
        })
    }

    /// Takes the oldest completion that a kick gave.
    ///
    /// # Errors
    /// `Corrupt` where the page is not what it was.
    #[inline]
    pub fn take(&mut self) -> Result<Option<Completion>, Refusal> {
        self.end.take().map_err(broken)
    }
}

fn broken(_: Broken) -> Refusal {
    Refusal::Corrupt
}
