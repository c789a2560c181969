//! The boot medium as the file system's reader wants it.

use iso9660_format::{Medium, SECTOR_BYTES};
use sdk::{Access, BootMedium, Refusal, VirtualMemory, Window};

/// The medium, and the window through which its sectors come.
pub struct Cd {
    medium: BootMedium,
    window: Window,
    sectors: u32,
    /// Sectors of one read.
    most: usize,
}

impl Cd {
    /// Asks what medium there is.
    ///
    /// # Errors
    /// The kernel's refusal: `noDevice` where it reads no medium itself.
    pub fn open(medium: BootMedium, vm: &VirtualMemory) -> Result<Self, Refusal> {
        let info = medium.info()?;
        let most = (info.read_sectors as usize).max(1);
        let bytes = (most * SECTOR_BYTES) as u64;
        let memory = vm.create_memory(bytes)?.memory;
        let window = Window::map(memory, bytes, Access::Read)?;
        Ok(Self {
            medium,
            window,
            sectors: info.sectors,
            most,
        })
    }

    /// Sectors of the medium.
    pub const fn sectors(&self) -> u32 {
        self.sectors
    }
}

impl Medium for Cd {
    type Error = Refusal;

    fn read(&mut self, lba: u32, into: &mut [u8]) -> Result<(), Refusal> {
        let mut at = lba;
        for part in into.chunks_mut(self.most * SECTOR_BYTES) {
            let count =
                u32::try_from(part.len() / SECTOR_BYTES).map_err(|_| Refusal::OutOfRange)?;
            self.medium.read(self.window.memory().cap(), at, count, 0)?;
            self.window.read(0, part)?;
            at = at.checked_add(count).ok_or(Refusal::OutOfRange)?;
        }
        Ok(())
    }
}
