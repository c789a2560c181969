//! What remapping units write, and their walk over whatever lies in memory.

use iommu_tables::{amd, vtd, walk};

const PAGE: u64 = 4096;

/// An even first byte: the rest is records, 16 bytes each. An odd one: the rest is memory from address 0 on, which units
/// of both vendors walk.
pub fn iommu(data: &[u8]) -> bool {
    let Some((selector, rest)) = data.split_first() else {
        return false;
    };
    match selector & 1 {
        0 => records(rest),
        _ => walks(rest),
    }
}

fn word(bytes: &[u8], at: u64) -> Option<u64> {
    let at = usize::try_from(at).ok()?;
    let eight = bytes.get(at..at.checked_add(8)?)?;
    Some(u64::from_le_bytes(eight.try_into().ok()?))
}

/// Whether one of them says anything.
fn records(bytes: &[u8]) -> bool {
    let mut any = false;
    for record in bytes.chunks_exact(16) {
        let words = [word(record, 0).unwrap_or(0), word(record, 8).unwrap_or(0)];
        if let Some(fault) = vtd::FaultRecord::read(words) {
            any = true;
            assert!(!fault.reason.name().is_empty());
            match fault.fault {
                vtd::Fault::Memory { iova, .. } => assert!(iova.is_multiple_of(PAGE)),
                vtd::Fault::Interrupt { .. } => assert!(fault.reason.of_interrupt()),
            }
        }
        if let Some(event) = amd::Event::read(words) {
            any = true;
            assert!(event.iova.is_multiple_of(PAGE) && !event.kind.name().is_empty());
        }
        let status = vtd::FaultStatus(words[0] as u32);
        assert!(status.first() < 256);
        let capability = vtd::Capability(words[0]);
        let extended = vtd::ExtendedCapability(words[1]);
        if let Ok(found) = vtd::RemappingFeatures::read(capability, extended) {
            assert!(found.domains >= 2 && found.fault_records.1 >= 1);
        }
        if let Some(entry) = vtd::ContextEntry::read(words) {
            assert!(entry.domain.get() != 0);
        }
    }
    any
}

/// Whether some request reaches memory.
fn walks(bytes: &[u8]) -> bool {
    let read = |at| word(bytes, at);
    let unit = walk::VtdUnit {
        root_table: 0,
        physical_bits: 46,
        widest: 48,
        depths: 0b110,
        large: (true, true),
    };
    let mut any = false;
    for source in [0u16, 8, 0x101] {
        for iova in [0u64, 0x1000, 0x20_0000, 1 << 30, 1 << 39, u64::MAX] {
            for want in [walk::Want::Read, walk::Want::Write] {
                match walk::vtd(&unit, &read, source, iova, want) {
                    Ok(physical) => {
                        any = true;
                        assert!(physical < 1 << 46 && physical % PAGE == iova % PAGE);
                    }
                    Err(reason) => assert_ne!(vtd::FaultReason(reason).name(), "unknown"),
                }
                any |= walk::amd(0, &read, source, iova, want).is_ok();
            }
        }
    }
    any
}
