//! The order between unmapping and forgetting.

#[cfg(not(loom))]
use core::sync::atomic::{AtomicU64, Ordering};
#[cfg(loom)]
use loom::sync::atomic::{AtomicU64, Ordering};

/// Shows that a unit worked through everything that it was told before a certain point.
///
/// Implement it only for a type that the unit's owner alone makes, after the unit wrote the status of a wait descriptor
/// or command that it was given after [`FlushClock::begin`], and that cannot be copied: each proof is consumed.
pub trait WaitProof {}

/// What a unit was told to forget.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scope {
    /// Everything.
    Unit,
    /// Everything of one domain, by its number.
    Domain(u16),
    /// A run of pages of one domain.
    Run {
        /// The domain's number.
        domain: u16,
        /// First device address.
        iova: u64,
        /// Count of pages of 4 KiB.
        pages: u64,
    },
    /// One entry of an interrupt table.
    Entry {
        /// Whose table it is, as far as a unit has more than one.
        table: u16,
        /// The entry's number in it.
        index: u16,
    },
}

impl Scope {
    /// Whether it reaches all of a domain, or this run of it.
    const fn holds(self, domain: u16, run: Option<(u64, u64)>) -> bool {
        match (self, run) {
            (Self::Unit, _) => true,
            (Self::Domain(number), _) => number == domain,
            (
                Self::Run {
                    domain: number,
                    iova,
                    pages,
                },
                Some((start, count)),
            ) => number == domain && iova == start && count <= pages,
            (Self::Run { .. }, None) | (Self::Entry { .. }, _) => false,
        }
    }
}

/// The unit did not answer once, and is not believed again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stuck;

/// Bit of the clock that says that it stands still for good.
const STUCK: u64 = 1 << 63;

/// Counts what was unmapped below one unit.
///
/// An unmapping takes its turn after its entries are gone from the tables; a flush looks at the count before the unit is
/// told anything. So a receipt holds for exactly the unmappings that the unit could not have read its memory before.
#[derive(Debug)]
pub struct FlushClock {
    unit: u8,
    turn: AtomicU64,
}

impl FlushClock {
    /// A clock for the unit of this number.
    pub fn new(unit: u8) -> Self {
        Self {
            unit,
            turn: AtomicU64::new(0),
        }
    }

    /// Returns the unit's number.
    pub const fn unit(&self) -> u8 {
        self.unit
    }

    /// Takes the turn of an unmapping. Its entries must be gone from the tables by now.
    pub(crate) fn unmapped(&self) -> u64 {
        (self.turn.fetch_add(1, Ordering::AcqRel) & !STUCK) + 1
    }

    /// Begins a flush, before the unit is told anything of it.
    ///
    /// # Errors
    /// `Stuck`: the unit was given up.
    pub fn begin(&self, scope: Scope) -> Result<Pending, Stuck> {
        let turn = self.turn.load(Ordering::Acquire);
        match turn & STUCK {
            0 => Ok(Pending {
                unit: self.unit,
                scope,
                turn,
            }),
            _ => Err(Stuck),
        }
    }

    /// Gives the unit up: it did not answer in time. Nothing below it is ever forgotten from now on.
    pub fn give_up(&self) {
        self.turn.fetch_or(STUCK, Ordering::AcqRel);
    }

    /// Ends a flush that the unit was seen to have done.
    ///
    /// # Errors
    /// `Stuck`: the unit was given up meanwhile.
    pub fn finish(&self, pending: Pending, _proof: impl WaitProof) -> Result<IotlbReceipt, Stuck> {
        if pending.unit != self.unit || self.turn.load(Ordering::Acquire) & STUCK != 0 {
            return Err(Stuck);
        }
        Ok(IotlbReceipt(pending))
    }
}

/// A flush that the unit has not been seen to have done.
#[must_use = "a flush that is not finished frees nothing"]
#[derive(Debug)]
pub struct Pending {
    unit: u8,
    scope: Scope,
    turn: u64,
}

/// Shows that a unit forgot what was unmapped before a certain point. One receipt serves all that it holds for.
///
/// ```compile_fail,E0423
/// // Nobody outside makes one.
/// use domain_ledger::{FlushClock, IotlbReceipt, Scope};
/// let forged = IotlbReceipt(FlushClock::new(0).begin(Scope::Unit).unwrap());
/// ```
#[must_use = "what was unmapped stays out of use until its receipt is shown"]
#[derive(Debug)]
pub struct IotlbReceipt(Pending);

impl IotlbReceipt {
    /// Whether it holds for an unmapping of a domain: of one run, or of everything.
    pub(crate) const fn holds_for(
        &self,
        unit: u8,
        domain: u16,
        run: Option<(u64, u64)>,
        turn: u64,
    ) -> bool {
        self.0.unit == unit && self.0.scope.holds(domain, run) && turn <= self.0.turn
    }

    /// Whether it holds for an entry of an interrupt table.
    pub(crate) fn holds_for_entry(&self, unit: u8, entry: Scope, turn: u64) -> bool {
        let scope = self.0.scope == Scope::Unit || self.0.scope == entry;
        self.0.unit == unit && scope && turn <= self.0.turn
    }
}
