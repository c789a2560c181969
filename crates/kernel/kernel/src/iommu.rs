//! Remapping units: what firmware says of them, what they say themselves, and the choice of the DMA backend.

use acpi_tables::{Dmar, Ivrs};
use audit_format::{Event, Kind};
use cpu::Lock;
use iommu::{Status, Units};
use iommu_format::{
    Activation, Backend, Coverage, Decision, Discovery, Policy, Prerequisite, Probe, Record, decide,
};

use crate::acpi::{Machine, state_refused};

/// What is kept for as long as the system runs.
struct Kept {
    record: Record,
    units: Units,
    coverage: Coverage,
    decision: Decision,
}

static KEPT: Lock<Option<Kept>> = Lock::new(None);

/// What holds of the ten things that direct DMA needs. Nothing programs a unit's tables, so there is no domain, nothing
/// bound to one, and nothing settled about its invalidation; what there is, is the way back.
const ACTIVATION: Activation = Activation::NONE.with(Prerequisite::BounceFallback);

/// Reads tables and units, decides, and states why. Before the device manager examines anything.
pub fn choose(
    machine: &Machine,
    config: &pci::Config,
    scanned: &pci::Scanned,
    manifest: Option<&[u8]>,
) {
    let bridges = scanned.topology.numbers();
    let mut record = {
        let dmar = machine.dmar.as_ref().map(|copied| match copied {
            Ok(bytes) => Dmar::parse(bytes).inspect_err(state_refused),
            Err(error) => Err(*error),
        });
        let ivrs = machine.ivrs.as_ref().map(|copied| match copied {
            Ok(bytes) => Ivrs::parse(bytes).inspect_err(state_refused),
            Err(error) => Err(*error),
        });
        Record::new(dmar, ivrs, &bridges)
    };
    let units = Units::look(
        &mut record,
        config,
        crate::devices::map,
        &crate::ranges::in_memory,
    );
    let masters = scanned
        .functions
        .iter()
        .filter(|one| one.info.is_endpoint());
    let coverage = record.coverage(masters.map(|one| one.info.bdf), &bridges);
    crate::log::state(&|sink| iommu::write_table(sink, &record));
    if record.discovery == Discovery::Listed {
        for (number, unit) in record.units.iter().enumerate() {
            crate::log::state(&|sink| iommu::write_unit(sink, number, unit));
        }
        crate::log::state(&|sink| iommu::write_coverage(sink, coverage));
    }
    // A manifest that init will refuse has no say either.
    let manifest = manifest.and_then(|bytes| manifest::read(bytes).ok());
    let policy = Policy::from_ordinal(manifest.map(|manifest| manifest.dma as u16));
    let decision = decide(policy, Probe::of(&record), ACTIVATION);
    crate::fact!(
        "dma.backend",
        chosen = decision.backend.name(),
        reason = decision.reason(),
        policy = decision.policy.name(),
        iommu = decision.probe.label(),
        missing = decision.missing.map_or("none", Prerequisite::name)
    );
    let backend = match decision.backend {
        Backend::Bounce => 1,
        Backend::Direct => 2,
    };
    crate::audit::record(Event::new(Kind::Backend).detail(backend));
    *KEPT.lock() = Some(Kept {
        record,
        units,
        coverage,
        decision,
    });
}

/// Runs `f` on the record.
pub fn with_record<R>(f: impl FnOnce(&Record, Coverage) -> R) -> Option<R> {
    KEPT.lock()
        .as_ref()
        .map(|kept| f(&kept.record, kept.coverage))
}

/// What was decided, and why.
pub fn decision() -> Option<Decision> {
    KEPT.lock().as_ref().map(|kept| kept.decision)
}

/// What a verified unit's registers say now.
pub fn status(unit: usize) -> Option<Status> {
    KEPT.lock().as_ref()?.units.status(unit)
}
