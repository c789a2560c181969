//! The fields of identify data that this system uses (section 5.15.2). The data comes from the device: names are
//! cleaned, numbers are kept as claims until somebody checks them.

use le::checked;

/// Bytes of every identify structure.
pub const IDENTIFY_BYTES: usize = 4096;

/// CDW10.CNS: which structure to identify.
pub mod cns {
    /// One namespace.
    pub const NAMESPACE: u8 = 0x00;
    /// The controller.
    pub const CONTROLLER: u8 = 0x01;
    /// Identifiers of the active namespaces above CDW1.NSID.
    pub const ACTIVE_NAMESPACES: u8 = 0x02;
    /// Identification descriptors of one namespace.
    pub const NAMESPACE_DESCRIPTORS: u8 = 0x03;
}

/// Printable ASCII, padded with blanks in identify data; anything else in it reads as `?`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Label<const N: usize> {
    bytes: [u8; N],
    len: usize,
}

impl<const N: usize> Label<N> {
    fn new(mut bytes: [u8; N]) -> Self {
        let len = bytes
            .iter()
            .rposition(|b| *b != b' ' && *b != 0)
            .map_or(0, |last| last + 1);
        for byte in &mut bytes {
            if !(b' '..=b'~').contains(byte) {
                *byte = b'?';
            }
        }
        Self { bytes, len }
    }

    /// The text without its padding.
    pub fn as_str(&self) -> &str {
        self.bytes
            .get(..self.len)
            .and_then(|text| core::str::from_utf8(text).ok())
            .unwrap_or("")
    }
}

impl<const N: usize> core::fmt::Debug for Label<N> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// IDENTIFY CONTROLLER (figure 251 of 1.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Controller {
    /// VID, bytes 1:0: PCI vendor.
    pub vid: u16,
    /// SSVID, bytes 3:2: PCI subsystem vendor.
    pub ssvid: u16,
    /// SN, bytes 23:4.
    pub serial: Label<20>,
    /// MN, bytes 63:24.
    pub model: Label<40>,
    /// FR, bytes 71:64.
    pub firmware: Label<8>,
    /// MDTS, byte 77: the longest transfer is `1 << mdts` pages of the least size; 0 means no limit.
    pub mdts: u8,
    /// VER, bytes 83:80.
    pub version: u32,
    /// OACS, bytes 257:256: optional admin commands.
    pub oacs: u16,
    /// SQES, byte 512: required (3:0) and maximal (7:4) command size as powers of two.
    pub sqes: u8,
    /// CQES, byte 513: the same for completions.
    pub cqes: u8,
    /// NN, bytes 519:516: the highest namespace identifier.
    pub nn: u32,
    /// ONCS, bytes 521:520: optional NVM commands.
    pub oncs: u16,
    /// VWC, byte 525: bit 0 says that there is a volatile write cache.
    pub vwc: u8,
}

impl Controller {
    /// Reads the structure; `None` when it is shorter than [`IDENTIFY_BYTES`].
    pub fn parse(data: &[u8]) -> Option<Self> {
        if data.len() < IDENTIFY_BYTES {
            return None;
        }
        Some(Self {
            vid: checked::u16(data, 0)?,
            ssvid: checked::u16(data, 2)?,
            serial: Label::new(checked::array(data, 4)?),
            model: Label::new(checked::array(data, 24)?),
            firmware: Label::new(checked::array(data, 64)?),
            mdts: checked::u8(data, 77)?,
            version: checked::u32(data, 80)?,
            oacs: checked::u16(data, 256)?,
            sqes: checked::u8(data, 512)?,
            cqes: checked::u8(data, 513)?,
            nn: checked::u32(data, 516)?,
            oncs: checked::u16(data, 520)?,
            vwc: checked::u8(data, 525)?,
        })
    }

    /// The longest transfer in bytes with a least page size of `1 << (12 + page_min)` bytes (CAP.MPSMIN), at most
    /// `cap`; `cap` where the controller sets no limit.
    pub fn max_transfer_bytes(&self, page_min: u8, cap: u32) -> u32 {
        if self.mdts == 0 {
            return cap;
        }
        let shift = 12 + u32::from(page_min) + u32::from(self.mdts);
        1u32.checked_shl(shift).map_or(cap, |bytes| bytes.min(cap))
    }

    /// Whether 64-byte commands and 16-byte completions are within what the controller takes.
    pub const fn takes_standard_entries(&self) -> bool {
        (self.sqes & 0xf) <= 6
            && (self.sqes >> 4) >= 6
            && (self.cqes & 0xf) <= 4
            && (self.cqes >> 4) >= 4
    }

    /// Whether there is a volatile write cache: only then does FLUSH mean anything.
    pub const fn has_write_cache(&self) -> bool {
        self.vwc & 1 != 0
    }

    /// Whether it takes DATASET MANAGEMENT (ONCS bit 2).
    pub const fn discards(&self) -> bool {
        self.oncs & 1 << 2 != 0
    }

    /// Whether it takes WRITE ZEROES (ONCS bit 3).
    pub const fn writes_zeroes(&self) -> bool {
        self.oncs & 1 << 3 != 0
    }
}

/// Why a namespace cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NamespaceError {
    /// The structure is shorter than [`IDENTIFY_BYTES`].
    Short,
    /// The namespace is not active: its size is 0.
    Inactive,
    /// FLBAS names a format that the structure does not list.
    NoFormat,
    /// Blocks are smaller than 512 bytes or larger than a page.
    BlockSize,
    /// The format carries metadata, for which PRP commands would need a metadata pointer.
    Metadata,
    /// End-to-end protection is on.
    Protection,
}

impl core::fmt::Display for NamespaceError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Short => "the controller describes it in too few bytes",
            Self::Inactive => "it is not active",
            Self::NoFormat => "its format is none that it lists",
            Self::BlockSize => "its blocks are not of 512 to 4096 bytes",
            Self::Metadata => {
                "it keeps metadata with each block, which is not read here; format it without"
            }
            Self::Protection => {
                "it has end-to-end protection on, which is not spoken here; format it without"
            }
        })
    }
}

/// What IDENTIFY NAMESPACE says of a namespace in use (figure 249 of 1.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Namespace {
    /// Its identifier.
    pub nsid: u32,
    /// NSZE, bytes 7:0: blocks.
    pub blocks: u64,
    /// LBADS of the format in use: a block is `1 << block_shift` bytes.
    pub block_shift: u8,
    /// NSATTR bit 0 (byte 99): currently write protected.
    pub write_protected: bool,
}

impl Namespace {
    /// Reads the structure.
    ///
    /// # Errors
    /// [`NamespaceError`] for what this system does not use.
    pub fn parse(nsid: u32, data: &[u8]) -> Result<Self, NamespaceError> {
        use NamespaceError::{BlockSize, Inactive, Metadata, NoFormat, Protection, Short};
        if data.len() < IDENTIFY_BYTES {
            return Err(Short);
        }
        let blocks = checked::u64(data, 0).ok_or(Short)?;
        if blocks == 0 {
            return Err(Inactive);
        }
        let highest_format = checked::u8(data, 25).ok_or(Short)?;
        let flbas = checked::u8(data, 26).ok_or(Short)?;
        // Bits 6:5 hold the upper part of the index since 2.0; older controllers keep them zero.
        let format = (flbas & 0xf) | (flbas >> 1 & 0x30);
        if format > highest_format || format >= 64 {
            return Err(NoFormat);
        }
        let lbaf = checked::u32(data, 128 + usize::from(format) * 4).ok_or(Short)?;
        let block_shift = (lbaf >> 16) as u8;
        if !(9..=12).contains(&block_shift) {
            return Err(BlockSize);
        }
        if lbaf & 0xffff != 0 {
            return Err(Metadata);
        }
        if checked::u8(data, 29).ok_or(Short)? & 7 != 0 {
            return Err(Protection);
        }
        let write_protected = checked::u8(data, 99).ok_or(Short)? & 1 != 0;
        Ok(Self {
            nsid,
            blocks,
            block_shift,
            write_protected,
        })
    }

    /// NSZE of a structure, whatever else it says.
    pub fn claimed_blocks(data: &[u8]) -> u64 {
        checked::u64(data, 0).unwrap_or(0)
    }

    /// Bytes of a block by a structure that [`Namespace::parse`] may refuse; 0 where it does not say.
    pub fn claimed_block_bytes(data: &[u8]) -> u32 {
        let flbas = checked::u8(data, 26).unwrap_or(0);
        let format = (flbas & 0xf) | (flbas >> 1 & 0x30);
        let shift =
            checked::u32(data, 128 + usize::from(format) * 4).map_or(0, |lbaf| lbaf >> 16 & 0xff);
        match shift {
            9..=31 => 1 << shift,
            _ => 0,
        }
    }

    /// Bytes of a block.
    pub const fn block_bytes(&self) -> u32 {
        1 << self.block_shift
    }

    /// Whether `count` blocks from `lba` on lie inside.
    pub const fn contains(&self, lba: u64, count: u32) -> bool {
        match lba.checked_add(count as u64) {
            Some(end) => end <= self.blocks,
            None => false,
        }
    }
}

/// The command set (CSI) in a list of namespace identification descriptors (figure 252 of 1.4, and type 4 of 2.0): 0 for
/// NVM, 1 for key-value, 2 for zoned. `None` where the list does not say.
pub fn command_set(data: &[u8]) -> Option<u8> {
    const CSI: u8 = 4;
    let mut rest = data.get(..IDENTIFY_BYTES).unwrap_or(data);
    loop {
        let (kind, length) = (checked::u8(rest, 0)?, checked::u8(rest, 1)?);
        match kind {
            // The list ends with a descriptor of length 0.
            _ if length == 0 => return None,
            CSI => return checked::u8(rest, 4),
            _ => rest = rest.get(4 + usize::from(length)..)?,
        }
    }
}

/// The identifiers in an active namespace list: ascending, ended by 0 or by the end of the page. A list that does not
/// ascend ends where it stops doing so.
pub fn active_namespaces(data: &[u8]) -> impl Iterator<Item = u32> + '_ {
    let mut last = 0;
    data.chunks_exact(4)
        .take(IDENTIFY_BYTES / 4)
        .map_while(|chunk| chunk.try_into().ok().map(u32::from_le_bytes))
        .take_while(move |nsid| {
            let ascends = *nsid > last;
            last = *nsid;
            ascends
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    fn controller() -> [u8; IDENTIFY_BYTES] {
        let mut data = [0; IDENTIFY_BYTES];
        data[0..2].copy_from_slice(&0x1b36u16.to_le_bytes());
        data[4..24].copy_from_slice(b"deadbeef            ");
        data[24..64].copy_from_slice(b"QEMU NVMe Ctrl                          ");
        data[64..72].copy_from_slice(b"8.2\x07    ");
        data[77] = 7;
        data[512] = 0x66;
        data[513] = 0x44;
        data[516..520].copy_from_slice(&256u32.to_le_bytes());
        data[525] = 7;
        data
    }

    fn namespace() -> [u8; IDENTIFY_BYTES] {
        let mut data = [0; IDENTIFY_BYTES];
        data[0..8].copy_from_slice(&1000u64.to_le_bytes());
        data[25] = 1;
        data[26] = 1;
        data[128 + 4 + 2] = 12;
        data
    }

    #[test]
    fn controller_fields() {
        let c = Controller::parse(&controller()).unwrap();
        assert_eq!((c.vid, c.mdts, c.nn), (0x1b36, 7, 256));
        assert_eq!(
            (c.serial.as_str(), c.model.as_str(), c.firmware.as_str()),
            ("deadbeef", "QEMU NVMe Ctrl", "8.2?")
        );
        assert!(c.takes_standard_entries() && c.has_write_cache());
        assert_eq!(c.max_transfer_bytes(0, 1 << 22), 1 << 19);
        assert_eq!(c.max_transfer_bytes(0, 1 << 18), 1 << 18);
        assert_eq!(Controller { mdts: 255, ..c }.max_transfer_bytes(15, 77), 77);
        assert_eq!(Controller { mdts: 0, ..c }.max_transfer_bytes(0, 77), 77);
        assert!(!Controller { sqes: 0x77, ..c }.takes_standard_entries());
        assert_eq!(Controller::parse(&[0; 4095]), None);
    }

    #[test]
    fn namespace_fields() {
        let n = Namespace::parse(3, &namespace()).unwrap();
        assert_eq!(
            (n.nsid, n.blocks, n.block_bytes(), n.write_protected),
            (3, 1000, 4096, false)
        );
        assert!(n.contains(999, 1) && n.contains(0, 1000));
        assert!(!n.contains(999, 2) && !n.contains(u64::MAX, 1) && !n.contains(1000, 1));
    }

    #[test]
    fn unusable_namespaces_say_why() {
        let with = |offset: usize, value: u8| {
            let mut data = namespace();
            data[offset] = value;
            Namespace::parse(1, &data)
        };
        assert_eq!(
            Namespace::parse(1, &[0; IDENTIFY_BYTES]),
            Err(NamespaceError::Inactive)
        );
        assert_eq!(with(26, 2), Err(NamespaceError::NoFormat));
        assert_eq!(with(26, 0x21), Err(NamespaceError::NoFormat));
        assert_eq!(with(26, 0), Err(NamespaceError::BlockSize));
        assert_eq!(with(134, 13), Err(NamespaceError::BlockSize));
        assert_eq!(with(132, 8), Err(NamespaceError::Metadata));
        assert_eq!(with(29, 1), Err(NamespaceError::Protection));
        assert!(with(99, 1).unwrap().write_protected);
        assert_eq!(Namespace::parse(1, &[]), Err(NamespaceError::Short));
    }

    #[test]
    fn the_command_set_is_found_behind_other_descriptors() {
        let mut data = [0; IDENTIFY_BYTES];
        assert_eq!(command_set(&data), None);
        data[..2].copy_from_slice(&[3, 16]);
        assert_eq!(command_set(&data), None);
        data[20..25].copy_from_slice(&[4, 1, 0, 0, 2]);
        assert_eq!(command_set(&data), Some(2));
        assert_eq!(command_set(&data[..24]), None);
        assert_eq!(command_set(&[1; IDENTIFY_BYTES]), None);
        assert_eq!(command_set(&[255; 300]), None);
        let namespace = namespace();
        assert_eq!(Namespace::claimed_blocks(&namespace), 1000);
        assert_eq!(Namespace::claimed_block_bytes(&namespace), 4096);
        assert_eq!(Namespace::claimed_block_bytes(&[0xff; IDENTIFY_BYTES]), 0);
        assert_eq!(Namespace::claimed_block_bytes(&[]), 0);
    }

    #[test]
    fn the_list_ends_at_zero_or_where_it_falls() {
        let list = |ids: &[u32]| {
            let bytes: Vec<u8> = ids.iter().flat_map(|id| id.to_le_bytes()).collect();
            active_namespaces(&bytes).collect::<Vec<_>>()
        };
        assert_eq!(list(&[1, 2, 7, 0, 9]), [1, 2, 7]);
        assert_eq!(list(&[3, 3, 4]), [3]);
        assert_eq!(list(&[]), []);
        assert_eq!(active_namespaces(&[1; 9000]).count(), 1);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(data in proptest::collection::vec(any::<u8>(), 4090..4100)) {
            let _ = Controller::parse(&data).map(|c| c.max_transfer_bytes(data[0], u32::MAX));
            if let Ok(n) = Namespace::parse(1, &data) {
                prop_assert!(n.block_bytes() >= 512 && n.block_bytes() <= 4096 && n.blocks > 0);
            }
            let _ = active_namespaces(&data).count();
        }
    }
}
