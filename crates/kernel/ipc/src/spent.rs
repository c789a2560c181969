//! CPU time of a process, as its account counts it.

use crate::Process;

impl Process {
    /// CPU time of all its threads, past and present, up to now.
    pub fn cpu_ns(&self) -> u64 {
        sched::tsc_to_ns(sched::spent_by(self.account()))
    }

    /// CPU time of the processes below it that have ended.
    pub fn cpu_below_ns(&self) -> u64 {
        sched::tsc_to_ns(self.account().spent_below())
    }
}
