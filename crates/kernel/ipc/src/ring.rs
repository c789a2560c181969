//! What the kernel keeps of the ring of a thread: its own indices.

use ring_abi::{Completion, NEVER, Submission};
use sabotage::sabotage;

use crate::area::Area;
use crate::stop::Misuse;

/// What the kernel keeps of a ring. Shared indices are hints that are checked against it.
#[derive(Debug, Default)]
pub(crate) struct Ring {
    taken: u32,
    posted: u32,
    /// Accepted submissions without a completion: each has a completion slot reserved.
    outstanding: u32,
    /// The thread waits until this many completions are there.
    wanted: Option<u32>,
    /// Earliest deadline among what is outstanding, or earlier.
    deadline: u64,
    /// Some of what is outstanding may be followed by a trace.
    pub(crate) traced: bool,
}

impl Ring {
    /// Writes a completion. `true`: the thread that waits has what it wants.
    pub(crate) fn post(&mut self, area: &Area, completion: Completion) -> bool {
        area.post(self.posted, completion);
        self.posted = self.posted.wrapping_add(1);
        self.outstanding = self.outstanding.saturating_sub(1);
        match self.wanted {
            Some(wanted) => self.posted.wrapping_sub(area.completion_head()) >= wanted,
            None => false,
        }
    }

    /// Completions the program has not consumed.
    ///
    /// # Errors
    /// The program says that it consumed more than there were.
    pub(crate) fn available(&self, area: &Area) -> Result<u32, Misuse> {
        let n = self.posted.wrapping_sub(area.completion_head());
        if n <= area.completions() {
            Ok(n)
        } else {
            Err(Misuse(&"completion head beyond what was posted"))
        }
    }

    /// How many submissions are there up to `tail`, as far as completions for them fit.
    ///
    /// # Errors
    /// The tail or the completion head is where no correct program puts it.
    #[inline(always)]
    pub(crate) fn batch(&self, area: &Area, tail: u32) -> Result<u32, Misuse> {
        let waiting = tail.wrapping_sub(self.taken);
        if waiting > area.submissions() && !sabotage!(SKIP_TAIL_CHECK) {
            return Err(Misuse(&"submission tail beyond the ring"));
        }
        // What is outstanding completes meanwhile, which changes nothing; what the program consumes meanwhile makes room for
        // the next entry.
        let used = self.outstanding + self.available(area)?;
        Ok(waiting.min(area.completions().saturating_sub(used)))
    }

    /// Takes the next submission.
    #[inline(always)]
    pub(crate) fn take(&mut self, area: &Area) -> Submission {
        let submission = area.submission(self.taken);
        self.taken = self.taken.wrapping_add(1);
        self.outstanding += 1;
        // 0 stands for no deadline yet.
        let deadline = submission.deadline_ns.max(1);
        if deadline < self.deadline || self.deadline == 0 {
            self.deadline = deadline;
        }
        submission
    }

    /// Takes and completes the next submissions, `most` at most, as long as they are NOPs of which nothing is to be refused. How
    /// many there were. The program, which waits in the kernel, sees their completions together.
    #[inline(always)]
    pub(crate) fn take_nops(&mut self, area: &Area, most: u32) -> u32 {
        sabotage!(FAIL_ALLOC => return 0);
        let (slots, mut done) = (area.slots(), 0);
        while done < most
            && let Some(user_data) = slots.plain_nop(self.taken.wrapping_add(done))
        {
            let completion = Completion {
                user_data,
                ..Completion::default()
            };
            slots.write(self.posted.wrapping_add(done), completion);
            done += 1;
        }
        if done > 0 {
            self.taken = self.taken.wrapping_add(done);
            self.posted = self.posted.wrapping_add(done);
            area.publish_completions(self.posted);
        }
        done
    }

    /// Lets the program see how many submissions were taken.
    #[inline(always)]
    pub(crate) fn publish(&self, area: &Area) {
        area.publish_submission_head(self.taken);
    }

    /// The earliest deadline among what is outstanding, or an earlier time.
    #[inline(always)]
    pub(crate) const fn deadline(&self) -> u64 {
        if self.outstanding == 0 || self.deadline == 0 {
            NEVER
        } else {
            self.deadline
        }
    }

    /// Nothing that is outstanding has a deadline before `earliest`.
    pub(crate) const fn set_deadline(&mut self, earliest: u64) {
        self.deadline = earliest;
    }

    /// Something that is outstanding has this deadline.
    pub(crate) fn lower_deadline(&mut self, to: u64) {
        self.deadline = match self.deadline {
            0 => to,
            earliest => earliest.min(to),
        };
    }

    /// What its thread waits for: so many completions; `None`: it does not wait.
    #[inline(always)]
    pub(crate) const fn wait_for(&mut self, wanted: Option<u32>) {
        self.wanted = wanted;
    }
}
