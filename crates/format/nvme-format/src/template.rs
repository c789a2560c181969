//! Which commands a provider may submit, as templates, and how many bytes each one moves.
//!
//! A template is a command with every field left zero that bears an address, an identifier or a layout: CID, FUSE,
//! PSDT, MPTR and the PRP entries. What may be set is a mask per opcode; an opcode without a mask is refused, so the
//! commands that hand memory to the device (queue creation, host memory buffer, doorbell buffers), change layouts
//! (FORMAT NVM, namespace management) or name other commands (ABORT) are refused by not being listed. The length is
//! computed here from the opcode and from what the device itself said of its namespaces, never taken from a caller.

use crate::identify::{IDENTIFY_BYTES, Namespace, cns};
use crate::{Command, admin, feature, io};

/// Which queue a command goes to: the two kinds have different opcodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueKind {
    /// The administration queue.
    Admin,
    /// An I/O queue of the NVM command set.
    Io,
}

/// The data a command moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transfer {
    /// None.
    Nothing,
    /// The device reads so many bytes of memory.
    ToDevice(u32),
    /// The device writes so many bytes of memory.
    FromDevice(u32),
}

impl Transfer {
    /// Bytes moved.
    pub const fn bytes(self) -> u32 {
        match self {
            Self::Nothing => 0,
            Self::ToDevice(bytes) | Self::FromDevice(bytes) => bytes,
        }
    }
}

/// Why a template is refused. The provider causes each of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TemplateError {
    /// It is not 64 bytes long.
    Size,
    /// The opcode is not one a provider may submit on this kind of queue.
    Opcode,
    /// A bit outside the opcode's mask is set.
    Bits,
    /// The identify structure, log page or feature is not one a provider may ask for.
    Selector,
    /// The namespace does not exist or cannot be used.
    Namespace,
    /// The blocks do not all lie in the namespace.
    LbaRange,
    /// The namespace is write protected.
    WriteProtected,
    /// The transfer is longer than the device or the broker takes.
    TooLong,
}

/// What the broker knows of the device, from the device itself.
#[derive(Clone, Copy, Debug)]
pub struct Limits<'a> {
    /// The namespaces in use.
    pub namespaces: &'a [Namespace],
    /// The longest transfer in bytes.
    pub max_transfer_bytes: u32,
}

/// The bits a provider may set in one command.
struct Mask {
    opcode: u8,
    nsid: u32,
    cdw: [u32; 6],
}

const ANY: u32 = u32::MAX;

/// Admin commands. CDW10 of GET LOG PAGE: LID (7:0), RAE (15), NUMDL (31:16). CDW10 of the feature commands: FID (7:0)
/// and, for GET, SEL (10:8).
const ADMIN: &[Mask] = &[
    Mask {
        opcode: admin::IDENTIFY,
        nsid: ANY,
        cdw: [0xff, 0, 0, 0, 0, 0],
    },
    Mask {
        opcode: admin::GET_LOG_PAGE,
        nsid: ANY,
        cdw: [0xffff_80ff, 0, 0, 0, 0, 0],
    },
    Mask {
        opcode: admin::GET_FEATURES,
        nsid: ANY,
        cdw: [0x7ff, ANY, 0, 0, 0, 0],
    },
    Mask {
        opcode: admin::SET_FEATURES,
        nsid: ANY,
        cdw: [0xff, ANY, 0, 0, 0, 0],
    },
];

/// I/O commands. CDW12 of READ, WRITE and WRITE ZEROES: NLB (15:0), FUA (30), LR (31); not DEAC (25), so that zeros stay
/// allocated. DATASET MANAGEMENT is not among them: its ranges lie in memory, and only the broker writes those ([`discard`]).
const IO: &[Mask] = &[
    Mask {
        opcode: io::FLUSH,
        nsid: ANY,
        cdw: [0; 6],
    },
    Mask {
        opcode: io::WRITE,
        nsid: ANY,
        cdw: [ANY, ANY, 0xc000_ffff, 0, 0, 0],
    },
    Mask {
        opcode: io::READ,
        nsid: ANY,
        cdw: [ANY, ANY, 0xc000_ffff, 0, 0, 0],
    },
    Mask {
        opcode: io::WRITE_ZEROES,
        nsid: ANY,
        cdw: [ANY, ANY, 0xc000_ffff, 0, 0, 0],
    },
];

/// Log pages without side effects beyond their own event: errors, health, firmware slots, commands supported.
const LOG_PAGES: &[u8] = &[0x01, 0x02, 0x03, 0x05];

/// Features that GET FEATURES answers in the completion alone.
const READABLE_FEATURES: &[u8] = &[
    feature::ARBITRATION,
    feature::POWER_MANAGEMENT,
    feature::TEMPERATURE_THRESHOLD,
    feature::ERROR_RECOVERY,
    feature::VOLATILE_WRITE_CACHE,
    feature::NUMBER_OF_QUEUES,
    feature::INTERRUPT_COALESCING,
    feature::INTERRUPT_VECTOR,
    feature::WRITE_ATOMICITY,
    feature::ASYNC_EVENT,
];

/// Features that SET FEATURES changes without a data buffer and without any effect on where, how much or whether the
/// device touches memory.
const WRITABLE_FEATURES: &[u8] = &[
    feature::VOLATILE_WRITE_CACHE,
    feature::INTERRUPT_COALESCING,
    feature::INTERRUPT_VECTOR,
];

/// Checks a template and computes what the command will move.
///
/// # Errors
/// [`TemplateError`].
pub fn admit(
    kind: QueueKind,
    template: &[u8],
    limits: &Limits<'_>,
) -> Result<(Command, Transfer), TemplateError> {
    let command = Command::parse(template).ok_or(TemplateError::Size)?;
    let masks = match kind {
        QueueKind::Admin => ADMIN,
        QueueKind::Io => IO,
    };
    let mask = masks
        .iter()
        .find(|m| m.opcode == command.opcode)
        .ok_or(TemplateError::Opcode)?;
    let owned = u64::from(command.flags)
        | u64::from(command.cid)
        | u64::from(command.cdw2)
        | u64::from(command.cdw3)
        | command.mptr
        | command.prp1
        | command.prp2;
    let outside = command
        .cdw
        .iter()
        .zip(mask.cdw)
        .any(|(word, allowed)| word & !allowed != 0);
    if owned != 0 || outside || command.nsid & !mask.nsid != 0 {
        return Err(TemplateError::Bits);
    }
    let transfer = match kind {
        QueueKind::Admin => admin_transfer(&command)?,
        QueueKind::Io => io_transfer(&command, limits)?,
    };
    if transfer.bytes() > limits.max_transfer_bytes {
        return Err(TemplateError::TooLong);
    }
    Ok((command, transfer))
}

fn admin_transfer(command: &Command) -> Result<Transfer, TemplateError> {
    let selector = command.cdw[0] as u8;
    let (listed, transfer) = match command.opcode {
        admin::IDENTIFY => (
            selector <= cns::NAMESPACE_DESCRIPTORS,
            Transfer::FromDevice(IDENTIFY_BYTES as u32),
        ),
        admin::GET_LOG_PAGE => {
            let dwords = (command.cdw[0] >> 16) + 1;
            (
                LOG_PAGES.contains(&selector),
                Transfer::FromDevice(dwords * 4),
            )
        }
        admin::GET_FEATURES => (READABLE_FEATURES.contains(&selector), Transfer::Nothing),
        admin::SET_FEATURES => (WRITABLE_FEATURES.contains(&selector), Transfer::Nothing),
        _ => return Err(TemplateError::Opcode),
    };
    if listed {
        Ok(transfer)
    } else {
        Err(TemplateError::Selector)
    }
}

/// Makes the command for a FLUSH, or a READ, WRITE or WRITE ZEROES of `bytes` bytes from `lba` on, by the rules that a template
/// is checked by. The transfer is computed from the command, so that it differs from `bytes` where that is no whole number of blocks.
///
/// # Errors
/// [`TemplateError`].
#[inline]
pub fn form(
    opcode: u8,
    nsid: u32,
    lba: u64,
    bytes: u32,
    limits: &Limits<'_>,
) -> Result<(Command, Transfer), TemplateError> {
    let namespace = limits.namespace(nsid)?;
    let command = if opcode == io::FLUSH {
        Command::flush(nsid)
    } else {
        let blocks = (bytes >> namespace.block_shift).max(1);
        Command::transfer(opcode, nsid, lba, blocks).ok_or(TemplateError::TooLong)?
    };
    let transfer = in_namespace(&command, namespace)?;
    if transfer.bytes() > limits.max_transfer_bytes {
        return Err(TemplateError::TooLong);
    }
    Ok((command, transfer))
}

/// Blocks of `bytes` bytes in a namespace.
///
/// # Errors
/// [`TemplateError::Namespace`]; [`TemplateError::LbaRange`] for what is no whole number of blocks, or none.
fn whole_blocks(namespace: &Namespace, bytes: u32) -> Result<u32, TemplateError> {
    let blocks = bytes >> namespace.block_shift;
    match blocks << namespace.block_shift == bytes && blocks > 0 {
        true => Ok(blocks),
        false => Err(TemplateError::LbaRange),
    }
}

/// Makes WRITE ZEROES of `bytes` bytes of blocks from `lba` on.
///
/// # Errors
/// [`TemplateError`]; `TooLong` for more than 65,536 blocks.
pub fn zero(
    nsid: u32,
    lba: u64,
    bytes: u32,
    limits: &Limits<'_>,
) -> Result<Command, TemplateError> {
    let namespace = limits.namespace(nsid)?;
    let blocks = whole_blocks(namespace, bytes)?;
    let command = Command::transfer(io::WRITE_ZEROES, nsid, lba, blocks);
    let command = command.ok_or(TemplateError::TooLong)?;
    in_namespace(&command, namespace)?;
    Ok(command)
}

/// Makes DATASET MANAGEMENT that deallocates `bytes` bytes of blocks from `lba` on, and the words of its one range; the
/// address of these is still missing.
///
/// # Errors
/// [`TemplateError`].
pub fn discard(
    nsid: u32,
    lba: u64,
    bytes: u32,
    limits: &Limits<'_>,
) -> Result<(Command, [u64; 2]), TemplateError> {
    let namespace = limits.namespace(nsid)?;
    let blocks = whole_blocks(namespace, bytes)?;
    if !namespace.contains(lba, blocks) {
        return Err(TemplateError::LbaRange);
    }
    if namespace.write_protected {
        return Err(TemplateError::WriteProtected);
    }
    Ok((Command::deallocate(nsid, 0), Command::range(lba, blocks)))
}

impl Limits<'_> {
    #[inline]
    fn namespace(&self, nsid: u32) -> Result<&Namespace, TemplateError> {
        let mut namespaces = self.namespaces.iter();
        let found = namespaces.find(|n| n.nsid == nsid);
        found.ok_or(TemplateError::Namespace)
    }
}

fn io_transfer(command: &Command, limits: &Limits<'_>) -> Result<Transfer, TemplateError> {
    in_namespace(command, limits.namespace(command.nsid)?)
}

#[inline]
fn in_namespace(command: &Command, namespace: &Namespace) -> Result<Transfer, TemplateError> {
    if command.opcode == io::FLUSH {
        return Ok(Transfer::Nothing);
    }
    let lba = u64::from(command.cdw[0]) | u64::from(command.cdw[1]) << 32;
    let blocks = (command.cdw[2] & 0xffff) + 1;
    if !namespace.contains(lba, blocks) {
        return Err(TemplateError::LbaRange);
    }
    // At most 65536 blocks of 4096 bytes: 2^28.
    let bytes = blocks << namespace.block_shift;
    match command.opcode {
        io::READ => Ok(Transfer::FromDevice(bytes)),
        io::WRITE | io::WRITE_ZEROES if namespace.write_protected => {
            Err(TemplateError::WriteProtected)
        }
        io::WRITE => Ok(Transfer::ToDevice(bytes)),
        io::WRITE_ZEROES => Ok(Transfer::Nothing),
        _ => Err(TemplateError::Opcode),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NAMESPACES: &[Namespace] = &[
        Namespace {
            nsid: 1,
            blocks: 1000,
            block_shift: 9,
            write_protected: false,
        },
        Namespace {
            nsid: 4,
            blocks: 1 << 40,
            block_shift: 12,
            write_protected: true,
        },
    ];
    const LIMITS: Limits<'_> = Limits {
        namespaces: NAMESPACES,
        max_transfer_bytes: 1 << 20,
    };

    fn on_io(command: Command) -> Result<Transfer, TemplateError> {
        admit(QueueKind::Io, &command.to_bytes(), &LIMITS).map(|(_, transfer)| transfer)
    }

    fn on_admin(command: Command) -> Result<Transfer, TemplateError> {
        admit(QueueKind::Admin, &command.to_bytes(), &LIMITS).map(|(_, transfer)| transfer)
    }

    fn read(nsid: u32, lba: u64, blocks: u32) -> Command {
        Command::transfer(io::READ, nsid, lba, blocks).unwrap()
    }

    #[test]
    fn what_has_no_data_stays_in_its_namespace() {
        let zeros = |nsid, lba, bytes| zero(nsid, lba, bytes, &LIMITS).map(|command| command.cdw);
        assert_eq!(zeros(1, 992, 4096), Ok([992, 0, 7, 0, 0, 0]));
        let ranges = |nsid, lba, bytes| discard(nsid, lba, bytes, &LIMITS).map(|(_, range)| range);
        assert_eq!(ranges(1, 992, 4096), Ok([8 << 32, 992]));
        for (nsid, lba, bytes, error) in [
            (2, 0, 512, TemplateError::Namespace),
            (1, 0, 0, TemplateError::LbaRange),
            (1, 0, 511, TemplateError::LbaRange),
            (1, 0, 513, TemplateError::LbaRange),
            (1, 1000, 512, TemplateError::LbaRange),
            (1, 999, 1024, TemplateError::LbaRange),
            (1, u64::MAX, 512, TemplateError::LbaRange),
            (4, 0, 4096, TemplateError::WriteProtected),
        ] {
            assert_eq!(zeros(nsid, lba, bytes), Err(error), "{nsid} {lba} {bytes}");
            assert_eq!(ranges(nsid, lba, bytes), Err(error), "{nsid} {lba} {bytes}");
        }
        assert_eq!(
            zeros(1, 0, (65_537 * 512) as u32),
            Err(TemplateError::TooLong)
        );
        // By template, too; but the ranges of DATASET MANAGEMENT are nobody's but the broker's.
        let template = Command::transfer(io::WRITE_ZEROES, 1, 0, 8).unwrap();
        assert_eq!(on_io(template), Ok(Transfer::Nothing));
        assert_eq!(on_io(Command::deallocate(1, 0)), Err(TemplateError::Opcode));
    }

    #[test]
    fn lengths_come_from_the_namespace() {
        assert_eq!(on_io(read(1, 0, 8)), Ok(Transfer::FromDevice(4096)));
        assert_eq!(on_io(read(4, 7, 8)), Ok(Transfer::FromDevice(32_768)));
        let write = Command::transfer(io::WRITE, 1, 999, 1).unwrap();
        assert_eq!(on_io(write), Ok(Transfer::ToDevice(512)));
        assert_eq!(on_io(Command::flush(1)), Ok(Transfer::Nothing));
        assert_eq!(on_io(read(1, 999, 2)), Err(TemplateError::LbaRange));
        assert_eq!(on_io(read(1, u64::MAX, 1)), Err(TemplateError::LbaRange));
        assert_eq!(on_io(read(4, 0, 257)), Err(TemplateError::TooLong));
        assert_eq!(on_io(read(2, 0, 1)), Err(TemplateError::Namespace));
        assert_eq!(on_io(read(0, 0, 1)), Err(TemplateError::Namespace));
        assert_eq!(
            on_io(Command::flush(u32::MAX)),
            Err(TemplateError::Namespace)
        );
        assert_eq!(
            on_io(Command { nsid: 4, ..write }),
            Err(TemplateError::WriteProtected)
        );
    }

    /// A command that is formed is the one whose template would have been taken, and is refused where that would have been.
    #[test]
    fn forming_and_admitting_agree() {
        for nsid in [0, 1, 2, 4, u32::MAX] {
            for opcode in [io::FLUSH, io::READ, io::WRITE, 9] {
                for lba in [0, 991, 999, 1000, u64::MAX] {
                    for blocks in [1u32, 8, 9, 2048, 2049, 65_536] {
                        let shift = if nsid == 4 { 12 } else { 9 };
                        let formed = form(opcode, nsid, lba, blocks << shift, &LIMITS);
                        let template = match opcode {
                            io::FLUSH => Command::flush(nsid),
                            _ => Command::transfer(opcode, nsid, lba, blocks).unwrap(),
                        };
                        let admitted = admit(QueueKind::Io, &template.to_bytes(), &LIMITS);
                        match (formed, admitted) {
                            (Ok(formed), Ok(admitted)) => assert_eq!(formed, admitted),
                            // Which of two reasons comes first may differ.
                            (formed, admitted) => assert!(formed.is_err() && admitted.is_err()),
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn bytes_that_are_no_blocks_show_in_the_transfer() {
        for bytes in [1, 511, 513, 4097] {
            let (_, transfer) = form(io::READ, 1, 0, bytes, &LIMITS).unwrap();
            assert_ne!(transfer.bytes(), bytes);
        }
        let (_, transfer) = form(io::READ, 1, 0, 0, &LIMITS).unwrap();
        assert_eq!(transfer, Transfer::FromDevice(512), "nothing is no block");
    }

    #[test]
    fn admin_lengths() {
        for cns in 0..4 {
            assert_eq!(
                on_admin(Command::identify(cns, 1, 0)),
                Ok(Transfer::FromDevice(4096))
            );
        }
        assert_eq!(
            on_admin(Command::identify(0x10, 1, 0)),
            Err(TemplateError::Selector)
        );
        let log = |cdw10| {
            on_admin(Command {
                opcode: admin::GET_LOG_PAGE,
                cdw: [cdw10, 0, 0, 0, 0, 0],
                ..Command::default()
            })
        };
        assert_eq!(log(127 << 16 | 2), Ok(Transfer::FromDevice(512)));
        assert_eq!(log(0xffff_0001), Ok(Transfer::FromDevice(262_144)));
        assert_eq!(
            log(127 << 16 | 7),
            Err(TemplateError::Selector),
            "telemetry"
        );
        assert_eq!(log(127 << 16 | 1 << 8 | 2), Err(TemplateError::Bits));
        let set = |fid: u8| {
            on_admin(Command {
                opcode: admin::SET_FEATURES,
                cdw: [u32::from(fid), 1, 0, 0, 0, 0],
                ..Command::default()
            })
        };
        assert_eq!(set(feature::VOLATILE_WRITE_CACHE), Ok(Transfer::Nothing));
        for fid in [
            feature::NUMBER_OF_QUEUES,
            feature::HOST_MEMORY_BUFFER,
            feature::LBA_RANGE_TYPE,
            0x16,
        ] {
            assert_eq!(set(fid), Err(TemplateError::Selector));
        }
    }

    #[test]
    fn what_hands_memory_over_or_changes_layouts_is_refused() {
        for opcode in (0..=255u8).filter(|o| !ADMIN.iter().any(|m| m.opcode == *o)) {
            assert_eq!(
                on_admin(Command {
                    opcode,
                    ..Command::default()
                }),
                Err(TemplateError::Opcode)
            );
        }
        assert!(!ADMIN.iter().any(|m| {
            [
                admin::CREATE_IO_CQ,
                admin::CREATE_IO_SQ,
                admin::DELETE_IO_CQ,
                admin::DELETE_IO_SQ,
                admin::ABORT,
                admin::DOORBELL_BUFFER_CONFIG,
                admin::FORMAT_NVM,
            ]
            .contains(&m.opcode)
        }));
        for opcode in (3..=255u8).filter(|opcode| *opcode != io::WRITE_ZEROES) {
            assert_eq!(
                on_io(Command {
                    opcode,
                    nsid: 1,
                    ..Command::default()
                }),
                Err(TemplateError::Opcode)
            );
        }
    }

    #[test]
    fn every_bit_outside_the_mask_is_refused() {
        let good = read(1, 5, 8).to_bytes();
        assert!(admit(QueueKind::Io, &good, &LIMITS).is_ok());
        let mut refused = 0;
        for bit in 0..512 {
            let mut template = good;
            template[bit / 8] ^= 1 << (bit % 8);
            let result = admit(QueueKind::Io, &template, &LIMITS);
            let broker_owned = (8..32).contains(&bit) || (64..320).contains(&bit);
            let reserved = (400..414).contains(&bit) || bit >= 416;
            if broker_owned || reserved {
                assert_eq!(result.unwrap_err(), TemplateError::Bits, "bit {bit}");
                refused += 1;
            }
        }
        assert_eq!(refused, 24 + 256 + 14 + 96);
        assert_eq!(
            admit(QueueKind::Io, &good[..63], &LIMITS).unwrap_err(),
            TemplateError::Size
        );
    }

    proptest! {
        #[test]
        fn no_template_passes_with_an_address_or_over_the_limit(
            bytes in proptest::collection::vec(prop_oneof![4 => Just(0u8), 1 => any::<u8>()], 64),
            opcode in 0..12u8,
            nsid in 0..5u8,
            admin_queue in any::<bool>(),
        ) {
            let mut bytes = bytes;
            bytes[0] = opcode;
            bytes[4..8].copy_from_slice(&u32::from(nsid).to_le_bytes());
            let kind = if admin_queue { QueueKind::Admin } else { QueueKind::Io };
            if let Ok((command, transfer)) = admit(kind, &bytes, &LIMITS) {
                prop_assert!(transfer.bytes() <= LIMITS.max_transfer_bytes);
                prop_assert_eq!((command.prp1, command.prp2, command.mptr, command.cid, command.flags), (0, 0, 0, 0, 0));
            }
        }
    }
}
