//! Block devices (Virtio 1.2, 5.2): features, configuration, and the one request header.

/// `size_max` holds the most bytes of one segment.
pub const F_SIZE_MAX: u64 = 1 << 1;
/// `seg_max` holds the most segments of one request.
pub const F_SEG_MAX: u64 = 1 << 2;
/// There is a geometry.
pub const F_GEOMETRY: u64 = 1 << 4;
/// The disk cannot be written.
pub const F_RO: u64 = 1 << 5;
/// `blk_size` holds the best request size.
pub const F_BLK_SIZE: u64 = 1 << 6;
/// There is a write cache, and a command to empty it.
pub const F_FLUSH: u64 = 1 << 9;
/// There is a topology.
pub const F_TOPOLOGY: u64 = 1 << 10;
/// Sectors can be discarded.
pub const F_DISCARD: u64 = 1 << 13;
/// Sectors can be made zeros.
pub const F_WRITE_ZEROES: u64 = 1 << 14;

/// Offsets in the device-specific configuration (5.2.4).
pub mod config {
    /// Sectors of 512 bytes, 64 bits; read as two halves of 32.
    pub const CAPACITY: u64 = 0;
    /// 32 bits. Needs `F_SIZE_MAX`.
    pub const SIZE_MAX: u64 = 8;
    /// 32 bits. Needs `F_SEG_MAX`.
    pub const SEG_MAX: u64 = 12;
    /// 32 bits, in bytes. Needs `F_BLK_SIZE`.
    pub const BLK_SIZE: u64 = 20;
    /// 32 bits, in sectors. Needs `F_DISCARD`.
    pub const MAX_DISCARD_SECTORS: u64 = 36;
    /// 32 bits, in sectors. Needs `F_WRITE_ZEROES`.
    pub const MAX_WRITE_ZEROES_SECTORS: u64 = 48;
    /// Bytes of it that are ever looked at: up to the end of what is said of zeros.
    pub const BYTES: u64 = 60;
}

/// Bytes of a sector, whatever the block size (5.2.2).
pub const SECTOR_BYTES: u64 = 512;
/// Bytes of a request's header.
pub const HEADER_BYTES: usize = 16;
/// Bytes of a segment that says what to discard or to make zeros of (5.2.6).
pub const RANGE_BYTES: usize = 16;
/// Bytes of a disk's name (5.2.6, `VIRTIO_BLK_T_GET_ID`).
pub const ID_BYTES: u64 = 20;

/// Status byte: done.
pub const S_OK: u8 = 0;
/// Status byte: an error of the device.
pub const S_IOERR: u8 = 1;
/// Status byte: not supported.
pub const S_UNSUPP: u8 = 2;

/// What a request does. The numbers are those of the header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Kind {
    /// Read sectors.
    In = 0,
    /// Write sectors.
    Out = 1,
    /// Empty the write cache.
    Flush = 4,
    /// Read the disk's name.
    GetId = 8,
}

/// A request, without anything that bears an address or a length.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Request {
    /// What.
    pub kind: Kind,
    /// First sector; 0 where there is none.
    pub sector: u64,
}

impl Request {
    /// The header, as the device reads it and as a provider's template is.
    pub const fn to_bytes(self) -> [u8; HEADER_BYTES] {
        let kind = (self.kind as u32).to_le_bytes();
        let s = self.sector.to_le_bytes();
        [
            kind[0], kind[1], kind[2], kind[3], 0, 0, 0, 0, s[0], s[1], s[2], s[3], s[4], s[5],
            s[6], s[7],
        ]
    }
}

/// What is done to sectors without data. The numbers are those of the header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Clear {
    /// Forget them.
    Discard = 11,
    /// Make them zeros, which stay allocated.
    Zero = 13,
}

/// Checks a request of `bytes` bytes of sectors from `sector` on, and gives its header and the one segment behind it.
///
/// # Errors
/// `Kind` for what was not negotiated; `ReadOnly`, `Length`, `Range`.
pub fn clear(
    what: Clear,
    sector: u64,
    bytes: u32,
    limits: &Limits,
) -> Result<[u8; HEADER_BYTES + RANGE_BYTES], TemplateError> {
    let known = match what {
        Clear::Discard => limits.discard,
        Clear::Zero => limits.zero,
    };
    if !known {
        return Err(TemplateError::Kind);
    }
    if limits.read_only {
        return Err(TemplateError::ReadOnly);
    }
    let sectors = bytes / SECTOR_BYTES as u32;
    if sectors == 0 || !u64::from(bytes).is_multiple_of(SECTOR_BYTES) {
        return Err(TemplateError::Length);
    }
    let end = sector.checked_add(u64::from(sectors));
    if end.is_none_or(|end| end > limits.sectors) {
        return Err(TemplateError::Range);
    }
    // Type, reserved, sector (0); then sector, count, flags (0: they stay allocated).
    let mut request = [0; HEADER_BYTES + RANGE_BYTES];
    let fields = (what as u32).to_le_bytes().into_iter().enumerate();
    let sector = sector.to_le_bytes().into_iter().zip(16..);
    let sectors = sectors.to_le_bytes().into_iter().zip(24..);
    for (at, byte) in fields.chain(sector.chain(sectors).map(|(byte, at)| (at, byte))) {
        if let Some(place) = request.get_mut(at) {
            *place = byte;
        }
    }
    Ok(request)
}

/// What a request is checked against: what the device said, kept where the device cannot change it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Sectors of the disk.
    pub sectors: u64,
    /// It cannot be written.
    pub read_only: bool,
    /// It has a cache to empty.
    pub flush: bool,
    /// It discards sectors.
    pub discard: bool,
    /// It makes zeros of sectors.
    pub zero: bool,
}

/// Why a template is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TemplateError {
    /// It has another size than a header.
    Size,
    /// It asks for something else than the four kinds, or for what was not negotiated.
    Kind,
    /// A bit is set that means nothing here.
    Bits,
    /// The sum of the segments is not what the kind moves.
    Length,
    /// Sectors past the end of the disk.
    Range,
    /// A write to a disk that cannot be written.
    ReadOnly,
}

/// Reads a template, and checks it and the bytes of its segments.
///
/// # Errors
/// [`TemplateError`].
pub fn admit(template: &[u8], bytes: u64, limits: &Limits) -> Result<Request, TemplateError> {
    let request = parse(template, limits)?;
    check_length(request, bytes, limits)?;
    Ok(request)
}

/// Reads a template alone.
///
/// # Errors
/// [`TemplateError`], but for `Length` and `Range`.
pub fn parse(template: &[u8], limits: &Limits) -> Result<Request, TemplateError> {
    let header: &[u8; HEADER_BYTES] = template.try_into().map_err(|_| TemplateError::Size)?;
    let [
        k0,
        k1,
        k2,
        k3,
        r0,
        r1,
        r2,
        r3,
        s0,
        s1,
        s2,
        s3,
        s4,
        s5,
        s6,
        s7,
    ] = *header;
    let kind = match u32::from_le_bytes([k0, k1, k2, k3]) {
        0 => Kind::In,
        1 => Kind::Out,
        4 if limits.flush => Kind::Flush,
        8 => Kind::GetId,
        _ => return Err(TemplateError::Kind),
    };
    let sector = u64::from_le_bytes([s0, s1, s2, s3, s4, s5, s6, s7]);
    let no_sector = matches!(kind, Kind::Flush | Kind::GetId);
    if [r0, r1, r2, r3] != [0; 4] || (no_sector && sector != 0) {
        return Err(TemplateError::Bits);
    }
    if kind == Kind::Out && limits.read_only {
        return Err(TemplateError::ReadOnly);
    }
    Ok(Request { kind, sector })
}

/// Checks how many bytes the segments of a request have.
///
/// # Errors
/// `Length`, `Range`.
pub fn check_length(request: Request, bytes: u64, limits: &Limits) -> Result<(), TemplateError> {
    match request.kind {
        Kind::Flush if bytes == 0 => Ok(()),
        Kind::GetId if bytes == ID_BYTES => Ok(()),
        Kind::Flush | Kind::GetId => Err(TemplateError::Length),
        Kind::In | Kind::Out => {
            if bytes == 0 || !bytes.is_multiple_of(SECTOR_BYTES) {
                return Err(TemplateError::Length);
            }
            let end = request.sector.checked_add(bytes / SECTOR_BYTES);
            if end.is_none_or(|end| end > limits.sectors) {
                return Err(TemplateError::Range);
            }
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DISK: Limits = Limits {
        sectors: 100,
        read_only: false,
        flush: true,
        discard: true,
        zero: true,
    };

    fn of(kind: Kind, sector: u64) -> [u8; 16] {
        Request { kind, sector }.to_bytes()
    }

    #[test]
    fn good_requests_pass_and_read_back() {
        for (kind, sector, bytes) in [
            (Kind::In, 0, 512),
            (Kind::In, 99, 512),
            (Kind::Out, 0, 51200),
            (Kind::Flush, 0, 0),
            (Kind::GetId, 0, 20),
        ] {
            let read = admit(&of(kind, sector), bytes, &DISK);
            assert_eq!(read, Ok(Request { kind, sector }));
        }
        assert_eq!(
            of(Kind::GetId, 0x0102)[..10],
            [8, 0, 0, 0, 0, 0, 0, 0, 2, 1]
        );
    }

    #[test]
    fn each_rule_has_its_refusal() {
        let check =
            |template: &[u8], bytes, limits: &Limits| admit(template, bytes, limits).unwrap_err();
        assert_eq!(check(&[0; 15], 512, &DISK), TemplateError::Size);
        assert_eq!(check(&[0; 17], 512, &DISK), TemplateError::Size);
        assert_eq!(check(&[], 512, &DISK), TemplateError::Size);
        for kind in [2u8, 3, 5, 6, 7, 9, 10, 11, 13, 14, 15, 16, 255] {
            let mut template = of(Kind::In, 0);
            template[0] = kind;
            assert_eq!(check(&template, 512, &DISK), TemplateError::Kind);
        }
        for at in 4..8 {
            let mut template = of(Kind::In, 0);
            template[at] = 1;
            assert_eq!(check(&template, 512, &DISK), TemplateError::Bits);
        }
        for kind in [Kind::Flush, Kind::GetId] {
            assert_eq!(check(&of(kind, 1), 20, &DISK), TemplateError::Bits);
        }
        for (kind, bytes) in [
            (Kind::In, 0),
            (Kind::In, 511),
            (Kind::Out, 513),
            (Kind::Flush, 512),
            (Kind::GetId, 0),
            (Kind::GetId, 512),
        ] {
            assert_eq!(check(&of(kind, 0), bytes, &DISK), TemplateError::Length);
        }
        for (sector, bytes) in [
            (100, 512),
            (99, 1024),
            (0, 51712),
            (u64::MAX, 512),
            (u64::MAX - 1, 1024),
        ] {
            assert_eq!(
                check(&of(Kind::In, sector), bytes, &DISK),
                TemplateError::Range
            );
        }
        let fixed = Limits {
            read_only: true,
            flush: false,
            ..DISK
        };
        assert_eq!(
            check(&of(Kind::Out, 0), 512, &fixed),
            TemplateError::ReadOnly
        );
        assert_eq!(check(&of(Kind::Flush, 0), 0, &fixed), TemplateError::Kind);
        assert!(admit(&of(Kind::In, 0), 512, &fixed).is_ok());
    }

    #[test]
    fn what_has_no_data_stays_on_the_disk() {
        let request = clear(Clear::Discard, 0x42, 1024, &DISK).unwrap();
        assert_eq!(
            request[..16],
            [11, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
        );
        assert_eq!(
            request[16..],
            [0x42, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0]
        );
        let what = |what, limits: &Limits| clear(what, 99, 512, limits);
        assert_eq!(what(Clear::Zero, &DISK).unwrap()[..1], [13]);
        for (sector, bytes, error) in [
            (0, 0, TemplateError::Length),
            (0, 511, TemplateError::Length),
            (0, 513, TemplateError::Length),
            (100, 512, TemplateError::Range),
            (99, 1024, TemplateError::Range),
            (u64::MAX, 512, TemplateError::Range),
        ] {
            assert_eq!(clear(Clear::Zero, sector, bytes, &DISK), Err(error));
        }
        let plain = Limits {
            discard: false,
            ..DISK
        };
        assert_eq!(what(Clear::Discard, &plain), Err(TemplateError::Kind));
        let plain = Limits {
            zero: false,
            ..DISK
        };
        assert_eq!(what(Clear::Zero, &plain), Err(TemplateError::Kind));
        let fixed = Limits {
            read_only: true,
            ..DISK
        };
        assert_eq!(what(Clear::Zero, &fixed), Err(TemplateError::ReadOnly));
    }

    proptest! {
        /// Whatever is admitted writes back to the very template, and stays on the disk.
        #[test]
        fn what_is_admitted_is_whole(template in proptest::collection::vec(any::<u8>(), 0..20), bytes in 0u64..60_000) {
            if let Ok(request) = admit(&template, bytes, &DISK) {
                prop_assert_eq!(&request.to_bytes()[..], &template[..]);
                prop_assert!(request.sector * 512 + bytes <= 51200);
            }
        }
    }
}
