//! What a provider may set in a command, bit by bit and written down once more: a mask that grows is noticed here.

use nvme_format::identify::Namespace;
use nvme_format::template::{Limits, QueueKind, TemplateError, admit};

/// The bits that may be set, from the first to the last of each field, and the values of CDW10's low byte that may be asked for; `None`: it is no selector.
/// NVM Express base specification 2.0, sections 5.15 to 5.17, 5.27 and 7.1; NVM command set specification 1.0, 3.2.4, 3.2.6.
struct May {
    kind: QueueKind,
    opcode: u8,
    bits: &'static [(usize, usize)],
    selectors: Option<&'static [u8]>,
}

const MAY: &[May] = &[
    // GET LOG PAGE: namespace; LID, RAE, NUMDL.
    May {
        kind: QueueKind::Admin,
        opcode: 0x02,
        bits: &[(32, 63), (320, 327), (335, 335), (336, 351)],
        selectors: Some(&[0x01, 0x02, 0x03, 0x05]),
    },
    // IDENTIFY: namespace; CNS.
    May {
        kind: QueueKind::Admin,
        opcode: 0x06,
        bits: &[(32, 63), (320, 327)],
        selectors: Some(&[0, 1, 2, 3]),
    },
    // SET FEATURES: namespace; FID, not SV; CDW11.
    May {
        kind: QueueKind::Admin,
        opcode: 0x09,
        bits: &[(32, 63), (320, 327), (352, 383)],
        selectors: Some(&[0x06, 0x08, 0x09]),
    },
    // GET FEATURES: namespace; FID, SEL; CDW11.
    May {
        kind: QueueKind::Admin,
        opcode: 0x0a,
        bits: &[(32, 63), (320, 330), (352, 383)],
        selectors: Some(&[0x01, 0x02, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a, 0x0b]),
    },
    // FLUSH: namespace.
    May {
        kind: QueueKind::Io,
        opcode: 0x00,
        bits: &[(32, 63)],
        selectors: None,
    },
    // WRITE and READ: namespace; first block; count, FUA, LR.
    May {
        kind: QueueKind::Io,
        opcode: 0x01,
        bits: &[(32, 63), (320, 383), (384, 399), (414, 415)],
        selectors: None,
    },
    May {
        kind: QueueKind::Io,
        opcode: 0x02,
        bits: &[(32, 63), (320, 383), (384, 399), (414, 415)],
        selectors: None,
    },
    // WRITE ZEROES: the same, and not DEAC.
    May {
        kind: QueueKind::Io,
        opcode: 0x08,
        bits: &[(32, 63), (320, 383), (384, 399), (414, 415)],
        selectors: None,
    },
];

/// What came of a template with these bits set.
fn refusal(kind: QueueKind, opcode: u8, bits: &[usize]) -> Option<TemplateError> {
    let namespaces = [Namespace {
        nsid: 1,
        blocks: 1 << 40,
        block_shift: 9,
        write_protected: false,
    }];
    let limits = Limits {
        namespaces: &namespaces,
        max_transfer_bytes: u32::MAX,
    };
    let mut template = [0; 64];
    template[0] = opcode;
    for bit in bits {
        template[bit / 8] |= 1 << (bit % 8);
    }
    admit(kind, &template, &limits).err()
}

#[test]
fn each_bit_of_each_opcode_is_as_written_here() {
    for may in MAY {
        for bit in 8..512 {
            let allowed = may
                .bits
                .iter()
                .any(|(first, last)| (*first..=*last).contains(&bit));
            let refused = refusal(may.kind, may.opcode, &[bit]) == Some(TemplateError::Bits);
            assert_eq!(
                refused, !allowed,
                "{:?} {:#04x} bit {bit}",
                may.kind, may.opcode
            );
        }
    }
}

#[test]
fn each_selector_is_as_written_here() {
    for may in MAY {
        let Some(selectors) = may.selectors else {
            continue;
        };
        for selector in 0..=u8::MAX {
            let bits: Vec<usize> = (0..8)
                .filter(|bit| selector >> bit & 1 != 0)
                .map(|bit| 320 + bit)
                .collect();
            let wanted = (!selectors.contains(&selector)).then_some(TemplateError::Selector);
            assert_eq!(
                refusal(may.kind, may.opcode, &bits),
                wanted,
                "{:#04x} selector {selector:#04x}",
                may.opcode
            );
        }
    }
}

#[test]
fn no_other_opcode_is_taken() {
    for kind in [QueueKind::Admin, QueueKind::Io] {
        for opcode in 0..=u8::MAX {
            let listed = MAY
                .iter()
                .any(|may| may.kind == kind && may.opcode == opcode);
            let refused = refusal(kind, opcode, &[]) == Some(TemplateError::Opcode);
            assert_eq!(refused, !listed, "{kind:?} {opcode:#04x}");
        }
    }
}
