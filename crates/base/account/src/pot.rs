//! One kind of resource in one account: how much there is and how much of it is used.

use core::sync::atomic::{AtomicU64, Ordering};

use ring_abi::Refusal;

/// What an account holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Kind {
    /// Memory in bytes, as the allocators really take it.
    Memory,
    /// Capabilities: places of a handle table.
    Handles,
    /// Threads.
    Threads,
    /// Endpoints.
    Endpoints,
    /// Facets, each until its notice was heard.
    Facets,
}

/// Every kind, in the order of their numbers.
pub const KINDS: [Kind; 5] = [
    Kind::Memory,
    Kind::Handles,
    Kind::Threads,
    Kind::Endpoints,
    Kind::Facets,
];

/// How much of each kind an account may use, and the highest priority it may give a thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of memory.
    pub memory: u64,
    /// Capabilities.
    pub handles: u64,
    /// Threads.
    pub threads: u64,
    /// Endpoints.
    pub endpoints: u64,
    /// Facets.
    pub facets: u64,
    /// Thousandths of a CPU, [`crate::WHOLE_CPU`] to one; 0: no budget but that of the account above.
    pub cpu: u64,
    /// Highest priority.
    pub priority: u8,
}

impl Limits {
    /// The limit of one kind.
    #[must_use]
    pub const fn of(&self, kind: Kind) -> u64 {
        match kind {
            Kind::Memory => self.memory,
            Kind::Handles => self.handles,
            Kind::Threads => self.threads,
            Kind::Endpoints => self.endpoints,
            Kind::Facets => self.facets,
        }
    }
}

/// The account has ended: set in the word of what is used, so that a charge and an end cannot pass each other.
const ENDED: u64 = 1 << 63;

/// What giving back did to a pot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    /// The account goes on.
    Open,
    /// The account has ended: what came back is its parent's.
    Ended {
        /// It was the last of this kind.
        last: bool,
    },
}

#[derive(Debug)]
pub(crate) struct Pot {
    limit: u64,
    /// What is used, given on included, and [`ENDED`].
    word: AtomicU64,
    /// The part of it that was given to accounts below.
    given: AtomicU64,
}

impl Pot {
    pub(crate) const fn new(limit: u64) -> Self {
        Self {
            // The top bit is taken.
            limit: if limit < ENDED { limit } else { ENDED - 1 },
            word: AtomicU64::new(0),
            given: AtomicU64::new(0),
        }
    }

    pub(crate) const fn limit(&self) -> u64 {
        self.limit
    }

    pub(crate) fn used(&self) -> u64 {
        self.word.load(Ordering::Relaxed) & !ENDED
    }

    pub(crate) fn given(&self) -> u64 {
        self.given.load(Ordering::Relaxed)
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.word.load(Ordering::Relaxed) & ENDED != 0
    }

    #[inline]
    pub(crate) fn take(&self, amount: u64) -> Result<(), Refusal> {
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            // A word with `ENDED` is above every limit.
            let sum = word.checked_add(amount).filter(|sum| *sum <= self.limit);
            let Some(sum) = sum else {
                return Err(Refusal::OverBudget);
            };
            match self
                .word
                .compare_exchange_weak(word, sum, Ordering::AcqRel, Ordering::Relaxed)
            {
                Ok(_) => return Ok(()),
                Err(now) => word = now,
            }
        }
    }

    /// Takes whatever the limit: what the sabotage point "skip-quota-check" does.
    #[cfg(sabotage)]
    pub(crate) fn take_beyond(&self, amount: u64) {
        self.word.fetch_add(amount, Ordering::AcqRel);
    }

    #[inline]
    pub(crate) fn give_back(&self, amount: u64) -> After {
        let before = self.word.fetch_sub(amount, Ordering::AcqRel);
        debug_assert!(before & !ENDED >= amount, "more came back than was taken");
        if before & ENDED == 0 {
            After::Open
        } else {
            After::Ended {
                last: before == ENDED | amount,
            }
        }
    }

    /// Notes that `amount` of what was taken is used by an account below.
    pub(crate) fn note_given(&self, amount: u64) {
        self.given.fetch_add(amount, Ordering::Relaxed);
    }

    /// Notes that an account below gave `amount` back.
    pub(crate) fn note_returned(&self, amount: u64) {
        self.given.fetch_sub(amount, Ordering::Relaxed);
    }

    /// Takes nothing any more. What was not used, and whether nothing is; `None` if it had ended before.
    pub(crate) fn end(&self) -> Option<(u64, bool)> {
        let before = self.word.fetch_or(ENDED, Ordering::AcqRel);
        (before & ENDED == 0).then_some((self.limit.saturating_sub(before), before == 0))
    }
}
