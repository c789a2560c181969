//! Device addresses that units keep for themselves.

use iommu::Units;
use iommu_format::{Cover, MAX_UNITS, Record, UnitState};

/// Notes for which functions a unit that is on reserves device addresses. One that does not say is not trusted with anything.
pub(super) fn reserve(
    record: &mut Record,
    units: &Units,
    states: &mut [UnitState; MAX_UNITS],
    scanned: &pci::Scanned,
) {
    let bridges = scanned.topology.numbers();
    let all = scanned.functions.iter().map(|one| one.info);
    for function in all.filter(pci_format::FunctionInfo::is_endpoint) {
        let Cover::Unit(number) = record.cover(function.bdf, &bridges) else {
            continue;
        };
        let Some(unit) = units.on(number) else {
            continue;
        };
        let noted = match unit.reserves(function.bdf.requester_id()) {
            Ok(false) => true,
            Ok(true) => record.reserve(function.bdf),
            Err(_) => false,
        };
        if let (false, Some(state)) = (noted, states.get_mut(usize::from(number))) {
            *state = UnitState::Failed;
        }
    }
}
