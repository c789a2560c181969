//! Which refusals are worth a record.

use ring_abi::Refusal;

/// Whether a refusal is one of authority: about who may, whether still, and where the bounds are. Those are recorded.
#[must_use]
pub const fn concerns_authority(refusal: Refusal) -> bool {
    matches!(
        refusal,
        Refusal::BadHandle
            | Refusal::Stale
            | Refusal::Revoked
            | Refusal::WrongOwner
            | Refusal::WrongKind
            | Refusal::WrongState
            | Refusal::OverBudget
            | Refusal::OutOfRange
            | Refusal::ForeignBuffer
            | Refusal::Quarantined
            | Refusal::TemplateRefused
            | Refusal::LengthMismatch
            | Refusal::WindowRefused
    )
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::concerns_authority;
    use ring_abi::Refusal;
    use std::collections::BTreeSet;

    #[test]
    fn each_refusal_is_recorded_or_not_as_written_here() {
        let recorded: BTreeSet<&str> = (1..=u8::MAX)
            .filter_map(Refusal::from_code)
            .filter(|refusal| concerns_authority(*refusal))
            .map(Refusal::name)
            .collect();
        let expected = BTreeSet::from([
            "badHandle",
            "stale",
            "revoked",
            "wrongOwner",
            "wrongKind",
            "wrongState",
            "overBudget",
            "outOfRange",
            "foreignBuffer",
            "quarantined",
            "templateRefused",
            "lengthMismatch",
            "windowRefused",
        ]);
        assert_eq!(recorded, expected);
    }
}
