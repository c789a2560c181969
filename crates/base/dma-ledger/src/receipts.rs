//! Receipts and proofs: values that say that something has really happened.

use crate::ids::{FunctionId, QueueId};

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
    /// A device without any reset: its only DMA engine, which the broker alone starts, was read as idle.
    EngineIdle = 4,
    /// A device whose reset bit clears itself: the bit was read as 0 after 1 was written, and the rest was not all ones.
    ResetBitClear = 5,
    /// gVNIC: the admin queue's page number was read as 0 after 0 was written, from a device that is still there.
    AdminQueueReleased = 6,
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

/// What showed that a device has let go of one queue, and of every command in it. The numbers are stable.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum QueueProof {
    /// NVMe: DELETE I/O SUBMISSION QUEUE completed successfully; every command of that queue was completed or aborted
    /// before (NVMe Base 1.4, 5.6).
    SubmissionQueueDeleted = 1,
    /// Virtio: `queue_reset` read as 0 again after 1 was written (Virtio 1.2, 4.1.4.3.1; VIRTIO_F_RING_RESET).
    VirtqueueReset = 2,
}

/// Shows that one queue has stopped while the rest of its device runs on, once.
///
/// Made only by [`crate::FunctionRecord::prove_queue_stopped`], bound to the queue, to the reset of the device and to
/// the very reset of the queue. It frees the pins of that queue's commands and of nothing else.
///
/// ```compile_fail,E0451
/// use dma_ledger::{QueueId, QueueProof, QueueReceipt};
/// fn forge(queue: QueueId) -> QueueReceipt {
///     QueueReceipt { queue, reset: 1, stop: 1, proof: QueueProof::SubmissionQueueDeleted }
/// }
/// ```
///
/// ```compile_fail,E0382
/// use dma_ledger::*;
/// fn twice<F>(record: &mut FunctionRecord<F>, receipt: QueueReceipt) {
///     let _ = record.finish_queue_reset(receipt);
///     let _ = record.finish_queue_reset(receipt);
/// }
/// ```
#[must_use = "the queue stays unusable until its receipt is used"]
#[derive(Debug, PartialEq, Eq)]
pub struct QueueReceipt {
    pub(crate) queue: QueueId,
    pub(crate) reset: u64,
    pub(crate) stop: u64,
    pub(crate) proof: QueueProof,
}

impl QueueReceipt {
    /// Returns the queue that stopped.
    #[must_use]
    pub const fn queue(&self) -> QueueId {
        self.queue
    }

    /// Returns what was seen.
    #[must_use]
    pub const fn proof(&self) -> QueueProof {
        self.proof
    }
}

/// Shows that no CPU holds a translation to pages that were unmapped.
///
/// Implement it only for a type that the paging code alone makes, after every CPU that ran the address spaces has
/// answered, and that cannot be copied: each proof is consumed.
pub trait ShootdownProof {}

/// Shows that no device holds a translation to pages that were unmapped, or that none ever translates: the function lies
/// below no unit that is on.
///
/// Implement it only for a type that is made from a unit's own receipt, after the unit has forgotten the mapping, or for
/// a function that no unit serves; and that cannot be copied: each proof is consumed.
pub trait TranslationProof {}
