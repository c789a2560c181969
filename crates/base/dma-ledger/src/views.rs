//! What a person who looks for a fault may see of a record: copies, never a way in.

use crate::audit::AuditFault;
use crate::pool::PoolInfo;
use crate::queue::QueueInfo;
use crate::record::FunctionRecord;

/// Entries times entries that [`FunctionRecord::audit_bounded`] compares at most.
const MAX_COMPARISONS: u64 = 1 << 16;

impl<F> FunctionRecord<F> {
    /// Returns every pool, in the order of their places.
    pub fn pools(&self) -> impl Iterator<Item = PoolInfo> {
        self.pools.iter().map(|(_, pool)| pool.info())
    }

    /// Returns every queue, in the order of their places.
    pub fn queues(&self) -> impl Iterator<Item = QueueInfo> {
        self.queues.iter().map(|(_, queue)| queue.info())
    }

    /// Recounts as [`Self::audit`] does, unless there is too much to count while others wait: then `None`.
    #[must_use]
    pub fn audit_bounded(&self) -> Option<Result<(), AuditFault>> {
        let totals = self.accounting();
        let entries = u64::from(totals.pinned)
            + u64::from(totals.mappings)
            + u64::from(totals.buffers)
            + self.queues().map(|q| u64::from(q.depth)).sum::<u64>();
        let comparisons = (u64::from(totals.buffers) + 1).saturating_mul(entries + 1);
        (comparisons <= MAX_COMPARISONS).then(|| self.audit())
    }
}
