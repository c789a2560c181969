//! Receipts and proofs: values that say that something has really happened.

use crate::ids::FunctionId;

/// What showed that a device touches memory no more. The numbers are stable.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum ResetProof {
    /// NVMe: CSTS.RDY was read as 0 after CC.EN was cleared (NVMe Base 1.4, 3.1.6).
    CstsRdyZero = 1,
    /// Virtio: the device status was read as 0 after 0 was written (Virtio 1.2, 2.4).
    VirtioStatusZero = 2,
    /// A function-level reset was started and its waiting time has passed (PCIe Base 5.0, 6.6.2).
    FlrCompleted = 3,
}

/// What showed that no transaction of the function is under way. The numbers are stable.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum DrainProof {
    /// Device Status, Transactions Pending was read as 0 (PCIe Base 5.0, 7.5.3.5).
    TransactionsPendingZero = 1,
    /// The function has no PCI Express capability, so it has no such bit; bus mastering was read back as off.
    NoExpressCapability = 2,
}

/// Shows that one function has stopped, once.
///
/// Made only by [`crate::FunctionRecord::prove_reset`] from a [`ResetProof`], bound to the function, to the device
/// generation and to the very reset. It cannot be copied, and it is void as soon as the device runs or resets again.
///
/// ```compile_fail,E0451
/// // Nobody outside makes one.
/// use dma_ledger::{ResetProof, ResetReceipt};
/// fn forge(old: &ResetReceipt) -> ResetReceipt {
///     ResetReceipt { function: old.function(), generation: 2, reset: 2, proof: ResetProof::CstsRdyZero }
/// }
/// ```
///
/// ```compile_fail,E0599
/// fn copy(receipt: dma_ledger::ResetReceipt) -> (dma_ledger::ResetReceipt, dma_ledger::ResetReceipt) {
///     (receipt.clone(), receipt)
/// }
/// ```
#[must_use = "the device stays unusable until its receipt is used"]
#[derive(Debug, PartialEq, Eq)]
pub struct ResetReceipt {
    pub(crate) function: FunctionId,
    pub(crate) generation: u64,
    pub(crate) reset: u64,
    pub(crate) proof: ResetProof,
}

impl ResetReceipt {
    /// Returns the function that stopped.
    #[must_use]
    pub const fn function(&self) -> FunctionId {
        self.function
    }

    /// Returns the device generation it holds for.
    #[must_use]
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// Returns what was seen.
    #[must_use]
    pub const fn proof(&self) -> ResetProof {
        self.proof
    }
}

/// Shows that no CPU holds a translation to pages that were unmapped.
///
/// Implement it only for a type that the paging code alone makes, after every CPU that ran the address spaces has
/// answered, and that cannot be copied: each proof is consumed.
pub trait ShootdownProof {}
