//! A machine made of pages in a map, and a kernel made of words.

use std::collections::BTreeMap;
use std::vec;
use std::vec::Vec;

use crate::{
    Cpu, Error, File, Firmware, HHDM, Handover, KERNEL_BASE, Kind, MemoryMap, PhysMemory, Start,
    build,
};

pub(super) const MIB: u64 = 1 << 20;
pub(super) const GIB: u64 = 1 << 30;
/// Where the boot files lie.
pub(super) const ARCHIVE: u64 = 32 * MIB;
/// The address of the kernel's first request.
pub(super) const DATA: u64 = KERNEL_BASE + 0x2000;
pub(super) const COMMON: [u64; 2] = [0xc7b1_dd30_df4c_8b88, 0x0a82_e883_a194_f07b];
pub(super) const BASE: [u64; 3] = [0xf956_2b2d_5c95_a6c8, 0x6a7b_3849_4453_6bdc, 2];
pub(super) const HHDM_ID: [u64; 2] = [0x48dc_f1cb_8ad2_b852, 0x6398_4e95_9a98_244b];

/// Sparse memory that remembers where it was written.
pub(super) struct Fake {
    pages: BTreeMap<u64, Vec<u8>>,
    pub(super) written: Vec<(u64, u64)>,
    pub(super) reach: u64,
}

impl Fake {
    pub(super) fn new(reach: u64) -> Self {
        Self {
            pages: BTreeMap::new(),
            written: Vec::new(),
            reach,
        }
    }

    fn page(&mut self, at: u64) -> &mut [u8] {
        // Not zero at first, as real memory is not.
        self.pages
            .entry(at / 4096)
            .or_insert_with(|| vec![0xa5; 4096])
    }

    pub(super) fn put(&mut self, at: u64, bytes: &[u8]) {
        for (at, byte) in (at..).zip(bytes) {
            self.page(at)[(at % 4096) as usize] = *byte;
        }
    }

    pub(super) fn word(&self, at: u64) -> u64 {
        let mut bytes = [0; 8];
        self.read(at, &mut bytes);
        u64::from_le_bytes(bytes)
    }

    /// The zero-terminated text at a direct-map address.
    pub(super) fn text(&self, at: u64) -> Vec<u8> {
        let byte = |at: u64| {
            let mut byte = [0];
            self.read(at, &mut byte);
            byte[0]
        };
        (at - HHDM..)
            .map(byte)
            .take_while(|&byte| byte != 0)
            .collect()
    }

    /// The physical address and the combined flags of a virtual one: (address, writable, executable, bytes of the page).
    pub(super) fn walk(&self, root: u64, virt: u64) -> Option<(u64, bool, bool, u64)> {
        let (mut table, mut writable, mut executable) = (root, true, true);
        for level in (0..4).rev() {
            let shift = 12 + 9 * level;
            let entry = self.word(table + (virt >> shift & 0x1ff) * 8);
            if entry & 1 == 0 {
                return None;
            }
            writable &= entry & 2 != 0;
            executable &= entry >> 63 == 0;
            let next = entry & 0x000f_ffff_ffff_f000;
            if level == 0 || entry & 0x80 != 0 {
                let size = 1u64 << shift;
                assert_eq!(next % size, 0);
                return Some((next + virt % size, writable, executable, size));
            }
            table = next;
        }
        None
    }
}

impl PhysMemory for Fake {
    fn reach(&self) -> u64 {
        self.reach
    }

    fn read(&self, at: u64, into: &mut [u8]) {
        assert!(at + into.len() as u64 <= self.reach, "read at {at:#x}");
        for (at, byte) in (at..).zip(into) {
            *byte = self
                .pages
                .get(&(at / 4096))
                .map_or(0xa5, |page| page[(at % 4096) as usize]);
        }
    }

    fn write(&mut self, at: u64, bytes: &[u8]) {
        assert!(at + bytes.len() as u64 <= self.reach, "write at {at:#x}");
        self.written.push((at, bytes.len() as u64));
        self.put(at, bytes);
    }

    fn zero(&mut self, at: u64, len: u64) {
        self.write(at, &vec![0; len as usize]);
    }

    fn copy(&mut self, to: u64, from: u64, len: u64) {
        let mut bytes = vec![0; len as usize];
        self.read(from, &mut bytes);
        self.write(to, &bytes);
    }
}

/// A kernel of three segments: code and read-only data of 16 bytes each, and `words` as data with 0x3000 bytes behind it.
pub(super) fn kernel(words: &[u64]) -> Vec<u8> {
    let data: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    let len = data.len() as u64;
    let headers = [
        (5u32, 0x1000u64, KERNEL_BASE, 16u64, 16u64),
        (4, 0x1010, KERNEL_BASE + 0x1000, 16, 16),
        (6, 0x1020, DATA, len, len + 0x3000),
    ];
    let mut out = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0\x01\0\0\0".to_vec();
    for word in [KERNEL_BASE + 4, 64, 0] {
        out.extend_from_slice(&word.to_le_bytes());
    }
    out.extend_from_slice(&0u32.to_le_bytes());
    for half in [64u16, 56, 3, 64, 0, 0] {
        out.extend_from_slice(&half.to_le_bytes());
    }
    for (flags, offset, address, file, memory) in headers {
        out.extend_from_slice(&1u32.to_le_bytes());
        out.extend_from_slice(&flags.to_le_bytes());
        for word in [offset, address, address, file, memory, 4096] {
            out.extend_from_slice(&word.to_le_bytes());
        }
    }
    out.resize(0x1000, 0);
    out.extend_from_slice(&[0xcc; 16]);
    out.extend_from_slice(&[0xdd; 16]);
    out.extend_from_slice(&data);
    out
}

/// The words of a request: identifier, revision, empty response, then `extra`.
pub(super) fn request(id: [u64; 2], revision: u64, extra: &[u64]) -> Vec<u64> {
    let mut words = vec![COMMON[0], COMMON[1], id[0], id[1], revision, 0];
    words.extend_from_slice(extra);
    words
}

/// A machine on which a kernel is started.
pub(super) struct Machine {
    pub(super) memory: Fake,
    pub(super) map: MemoryMap,
    /// Modules: path, offset from [`ARCHIVE`], content.
    pub(super) modules: Vec<(&'static str, u64, Vec<u8>)>,
    pub(super) words: Vec<u64>,
    pub(super) command_line: &'static [u8],
    pub(super) rsdp: Option<u64>,
    pub(super) cpu: Cpu,
}

impl Machine {
    /// 64 MiB of memory, a base-revision tag, and one request.
    pub(super) fn with(id: [u64; 2], revision: u64, extra: &[u64]) -> Self {
        let mut words = BASE.to_vec();
        words.extend(request(id, revision, extra));
        Self::with_words(words)
    }

    pub(super) fn with_words(words: Vec<u64>) -> Self {
        let mut map = MemoryMap::new();
        map.add(0, 0xa_0000, Kind::Usable).unwrap();
        map.add(MIB, 63 * MIB, Kind::Usable).unwrap();
        map.add(0xf_0000, 0x1_0000, Kind::Reserved).unwrap();
        Self {
            memory: Fake::new(4 * GIB),
            map,
            modules: Vec::new(),
            words,
            command_line: b"quiet",
            rsdp: Some(0xf_5a00),
            cpu: Cpu {
                no_execute: true,
                gib_pages: true,
            },
        }
    }

    pub(super) fn start(&mut self) -> Result<Started<'_>, Error> {
        let kernel = kernel(&self.words);
        self.start_kernel(&kernel)
    }

    pub(super) fn start_kernel(&mut self, kernel: &[u8]) -> Result<Started<'_>, Error> {
        let before = self.map.clone();
        self.memory.put(ARCHIVE, kernel);
        for (_, offset, content) in &self.modules {
            self.memory.put(ARCHIVE + offset, content);
        }
        self.map.claim(ARCHIVE, MIB, Kind::Reclaimable).unwrap();
        let files: Vec<File<'_>> = (self.modules.iter())
            .map(|(path, offset, content)| File {
                path,
                base: ARCHIVE + offset,
                len: content.len() as u64,
            })
            .collect();
        let handover = Handover {
            front_end: "test",
            firmware: Firmware::Uefi64,
            cpu: self.cpu,
            kernel,
            kernel_file: File {
                path: "boot/kernel.elf",
                base: ARCHIVE,
                len: kernel.len() as u64,
            },
            command_line: self.command_line,
            modules: &files,
            rsdp: self.rsdp,
            smbios: [None, Some(0x1000)],
            efi_system_table: Some(0x2000),
            efi_map: None,
            boot_time: Some(-1),
        };
        let start = build(&mut self.memory, &mut self.map, &handover)?;
        Ok(Started {
            memory: &self.memory,
            map: &self.map,
            before,
            start,
        })
    }
}

/// What came of it.
#[derive(Debug)]
pub(super) struct Started<'a> {
    pub(super) memory: &'a Fake,
    pub(super) map: &'a MemoryMap,
    pub(super) before: MemoryMap,
    pub(super) start: Start,
}

impl core::fmt::Debug for Fake {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Fake")
    }
}

impl Started<'_> {
    /// The word at a virtual address, through the kernel's tables.
    pub(super) fn at(&self, virt: u64) -> u64 {
        let (phys, ..) = self.memory.walk(self.start.tables, virt).expect("mapped");
        self.memory.word(phys)
    }

    /// The response pointer of the request that [`Machine::with`] made.
    pub(super) fn response(&self) -> u64 {
        self.at(DATA + 24 + 40)
    }

    /// The word at byte `offset` of that response.
    pub(super) fn field(&self, offset: u64) -> u64 {
        self.at(self.response() + offset)
    }

    /// What the map says of a direct-map address.
    pub(super) fn kind(&self, virt: u64) -> Option<Kind> {
        let phys = virt - HHDM;
        self.map
            .regions()
            .iter()
            .find(|region| (region.base..region.end).contains(&phys))
            .map(|region| region.kind)
    }
}
