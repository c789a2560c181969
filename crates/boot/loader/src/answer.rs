//! Writing the answers: structures in loader-owned memory, with pointers into the direct map.

use arrayvec::ArrayVec;

use crate::error::Error;
use crate::handover::{EfiMap, File, Handover, in_place};
use crate::map::{Kind, MemoryMap};
use crate::memory::{PAGE_BYTES, PhysMemory};
use crate::requests::{BASE_REVISION, Feature, RESPONSE_OFFSET, Request, Requests};
use crate::{HHDM, MAX_MODULES};

/// Pages taken at a time for small structures.
const CHUNK_BYTES: u64 = 4 * PAGE_BYTES;
/// Bytes of the protocol's file structure.
const FILE_BYTES: usize = 112;
/// Bytes of a memory-map entry: base, length, kind.
const ENTRY_BYTES: usize = 24;

/// What the answers are about.
pub(crate) struct Facts<'a> {
    pub handover: &'a Handover<'a>,
    pub virtual_base: u64,
    pub physical_base: u64,
}

/// Writes answers one by one.
pub(crate) struct Answers<'m, 'a, M> {
    memory: &'m mut M,
    map: &'m mut MemoryMap,
    facts: Facts<'a>,
    /// Physical addresses of what is left of the chunk in use.
    next: u64,
    end: u64,
}

impl<'m, 'a, M: PhysMemory> Answers<'m, 'a, M> {
    pub const fn new(memory: &'m mut M, map: &'m mut MemoryMap, facts: Facts<'a>) -> Self {
        Self {
            memory,
            map,
            facts,
            next: 0,
            end: 0,
        }
    }

    /// Writes the descriptor table and the operand that loads it; returns the operand's virtual address.
    pub fn gdt(&mut self, descriptors: &[u64]) -> Result<u64, Error> {
        let table = self.words(descriptors)?;
        let mut operand = [0; 10];
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a table of a few descriptors"
        )]
        let limit = (descriptors.len() * 8 - 1) as u16;
        operand[..2].copy_from_slice(&limit.to_le_bytes());
        operand[2..].copy_from_slice(&table.to_le_bytes());
        self.bytes(&operand)
    }

    /// Tells the kernel whether its base revision is spoken: the tag's last word becomes 0, or stays.
    pub fn base_revision(&mut self, requests: &Requests) -> Result<(), Error> {
        if requests.base_revision == BASE_REVISION {
            self.memory
                .write(self.physical(requests.base_tag) + 16, &0u64.to_le_bytes());
        }
        Ok(())
    }

    /// Answers every request that can be answered, with the kernel's `file` where one asks for it; the memory map last: by then nothing more is taken.
    pub fn all(&mut self, requests: &Requests, file: Option<u64>) -> Result<(), Error> {
        for request in &requests.list {
            if let Some(feature) = request.feature
                && let Some(response) = self.response(feature, file)?
            {
                self.respond(request, response);
            }
        }
        if let Some(request) = requests.get(Feature::MemoryMap) {
            let response = self.memory_map()?;
            self.respond(request, response);
        }
        Ok(())
    }

    fn respond(&mut self, request: &Request, response: u64) {
        self.memory.write(
            self.physical(request.at) + RESPONSE_OFFSET,
            &response.to_le_bytes(),
        );
    }

    /// Writes the response structure of one feature, unless there is nothing to say.
    fn response(&mut self, feature: Feature, kernel: Option<u64>) -> Result<Option<u64>, Error> {
        let handover = self.facts.handover;
        let direct = |physical: u64| HHDM + physical;
        let response = match feature {
            Feature::BootloaderInfo => {
                let name = self.text(&[b"capOS loader (", handover.front_end.as_bytes(), b")"])?;
                let version = self.text(&[env!("CARGO_PKG_VERSION").as_bytes()])?;
                self.words(&[0, name, version])?
            }
            Feature::FirmwareType => self.words(&[0, handover.firmware as u64])?,
            Feature::StackSize | Feature::EntryPoint => self.words(&[0])?,
            Feature::Hhdm => self.words(&[0, HHDM])?,
            // Mode 0 is four-level paging, the only one.
            Feature::PagingMode => self.words(&[0, 0])?,
            Feature::ExecutableFile => match kernel {
                Some(file) => self.words(&[0, file])?,
                None => return Ok(None),
            },
            Feature::ExecutableCommandLine => {
                let line = self.text(&[handover.command_line])?;
                self.words(&[0, line])?
            }
            Feature::Modules => self.modules()?,
            Feature::Rsdp => match handover.rsdp {
                Some(at) => self.words(&[0, direct(at)])?,
                None => return Ok(None),
            },
            Feature::Smbios => match handover.smbios {
                [None, None] => return Ok(None),
                [old, new] => self.words(&[0, old.map_or(0, direct), new.map_or(0, direct)])?,
            },
            Feature::EfiSystemTable => match handover.efi_system_table {
                Some(at) => self.words(&[0, direct(at)])?,
                None => return Ok(None),
            },
            Feature::EfiMemoryMap => match handover.efi_map {
                Some(EfiMap {
                    base,
                    len,
                    descriptor_bytes,
                    version,
                }) => self.words(&[0, direct(base), len, descriptor_bytes, version])?,
                None => return Ok(None),
            },
            Feature::BootTime => match handover.boot_time {
                Some(seconds) => self.words(&[0, seconds.cast_unsigned()])?,
                None => return Ok(None),
            },
            Feature::ExecutableAddress => {
                self.words(&[0, self.facts.physical_base, self.facts.virtual_base])?
            }
            Feature::MemoryMap => return Ok(None),
        };
        Ok(Some(response))
    }

    pub fn kernel_file(&mut self) -> Result<u64, Error> {
        let Handover {
            kernel_file,
            command_line,
            ..
        } = *self.facts.handover;
        self.file(&kernel_file, command_line, Kind::Reclaimable)
    }

    fn modules(&mut self) -> Result<u64, Error> {
        let modules = self.facts.handover.modules;
        let mut files = ArrayVec::<u64, MAX_MODULES>::new();
        for module in modules {
            let file = self.file(module, b"", Kind::Image)?;
            files.try_push(file).map_err(|_| Error::TooManyModules)?;
        }
        let list = self.words(&files)?;
        self.words(&[0, files.len() as u64, list])
    }

    /// A file structure: revision, address, size, path, command line, then where it came from, which is not known.
    fn file(&mut self, file: &File<'_>, command_line: &[u8], kind: Kind) -> Result<u64, Error> {
        let base = if in_place(self.map, file) {
            file.base
        } else {
            let copy = self
                .map
                .take(file.len, self.memory.reach(), kind, "a boot file")?;
            self.memory.copy(copy, file.base, file.len);
            copy
        };
        let path = self.text(&[b"/", file.path.as_bytes()])?;
        let command_line = self.text(&[command_line])?;
        let mut bytes = [0; FILE_BYTES];
        put_words(&mut bytes, &[0, HHDM + base, file.len, path, command_line]);
        self.bytes(&bytes)
    }

    fn memory_map(&mut self) -> Result<u64, Error> {
        // Taking the room can split one region, so there is room for a few more than there are now.
        let room = self.map.regions().len() as u64 + 4;
        let pointers = self.room(room * 8)?;
        let entries = self.room(room * ENTRY_BYTES as u64)?;
        let response = self.words(&[0, 0, HHDM + pointers])?;
        let mut count = 0;
        for region in self.map.regions() {
            let entry = entries + count * ENTRY_BYTES as u64;
            let mut bytes = [0; ENTRY_BYTES];
            put_words(
                &mut bytes,
                &[region.base, region.end - region.base, region.kind as u64],
            );
            self.memory.write(entry, &bytes);
            self.memory
                .write(pointers + count * 8, &(HHDM + entry).to_le_bytes());
            count += 1;
        }
        debug_assert!(count <= room);
        self.memory.write(response - HHDM + 8, &count.to_le_bytes());
        Ok(response)
    }

    /// The concatenation of `parts` with a zero byte behind; parts end at a zero byte of their own.
    fn text(&mut self, parts: &[&[u8]]) -> Result<u64, Error> {
        let parts = || {
            parts
                .iter()
                .filter_map(|part| part.split(|&byte| byte == 0).next())
        };
        let len: usize = parts().map(<[u8]>::len).sum();
        let start = self.room(len as u64 + 1)?;
        let mut at = start;
        for part in parts() {
            self.memory.write(at, part);
            at += part.len() as u64;
        }
        self.memory.write(at, &[0]);
        Ok(HHDM + start)
    }

    fn words(&mut self, words: &[u64]) -> Result<u64, Error> {
        let start = self.room(words.len() as u64 * 8)?;
        for (index, word) in words.iter().enumerate() {
            self.memory
                .write(start + index as u64 * 8, &word.to_le_bytes());
        }
        Ok(HHDM + start)
    }

    fn bytes(&mut self, bytes: &[u8]) -> Result<u64, Error> {
        let start = self.room(bytes.len() as u64)?;
        self.memory.write(start, bytes);
        Ok(HHDM + start)
    }

    /// Physical address of `len` bytes of loader-owned memory, 8-byte aligned.
    fn room(&mut self, len: u64) -> Result<u64, Error> {
        let len = len.next_multiple_of(8);
        if self.end - self.next < len {
            let chunk = len.next_multiple_of(PAGE_BYTES).max(CHUNK_BYTES);
            self.next = self.map.take(
                chunk,
                self.memory.reach(),
                Kind::Reclaimable,
                "the answers to the kernel",
            )?;
            self.end = self.next + chunk;
        }
        let start = self.next;
        self.next += len;
        Ok(start)
    }

    /// Physical address of a virtual one inside the kernel image.
    const fn physical(&self, virt: u64) -> u64 {
        self.facts.physical_base + (virt - self.facts.virtual_base)
    }
}

/// Writes words from the start of `bytes`.
fn put_words(bytes: &mut [u8], words: &[u64]) {
    for (place, word) in bytes.chunks_exact_mut(8).zip(words) {
        place.copy_from_slice(&word.to_le_bytes());
    }
}
