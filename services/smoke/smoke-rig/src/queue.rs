//! One command at a time through a queue, and what came of it.

use sdk::alloc::vec::Vec;
use sdk::device::device_queue::{Command, Completion, Segment};
use sdk::{DeviceQueue, Refusal, Timer};

use crate::outcome;

/// No source: the queue raises no interrupt, and its owner looks at it again and again.
pub const POLLED: u16 = 0xffff;

/// How long a command may take, on a slow machine.
const PATIENCE_NS: u64 = 10_000_000_000;
/// Between two looks at a queue.
const PAUSE_NS: u64 = 500_000;
/// Completions of one look.
const BATCH: u16 = 64;

/// Submits one command. `Ok`: the broker took it.
///
/// # Errors
/// Why it did not.
pub fn submit(
    queue: &DeviceQueue,
    cookie: u64,
    template: &[u8],
    segments: &[Segment],
) -> Result<(), Refusal> {
    let one = Command {
        cookie,
        template,
        segments,
    };
    queue.submit(&[one])?.refusal.map_or(Ok(()), Err)
}

/// What a command came to that the broker is expected not to take.
pub fn tried(queue: &DeviceQueue, template: &[u8], segments: &[Segment]) -> &'static str {
    outcome(&submit(queue, 99, template, segments))
}

/// The completions that there are now, in the order in which they came.
///
/// # Errors
/// As `DeviceQueue.complete`.
pub fn completed(queue: &DeviceQueue) -> Result<Vec<Completion>, Refusal> {
    queue.complete(BATCH, |results| {
        let list = results.completions()?;
        list.iter().map(|completion| completion.value()).collect()
    })?
}

/// Waits for `count` completions.
///
/// # Errors
/// `TimedOut` after ten seconds, and as [`completed`].
pub fn completions(
    queue: &DeviceQueue,
    timer: &Timer,
    count: usize,
) -> Result<Vec<Completion>, Refusal> {
    let give_up = timer.now()?.ns + PATIENCE_NS;
    let mut all = Vec::new();
    loop {
        all.extend(completed(queue)?);
        let now = timer.now()?.ns;
        if all.len() >= count {
            return Ok(all);
        }
        if now > give_up {
            return Err(Refusal::TimedOut);
        }
        timer.sleep(now + PAUSE_NS)?;
    }
}

/// Waits for the completion with this cookie; others that come before it are dropped.
///
/// # Errors
/// The refusal that it carries, `TimedOut` after ten seconds, and as [`completed`].
pub fn completion(queue: &DeviceQueue, timer: &Timer, cookie: u64) -> Result<Completion, Refusal> {
    loop {
        let mut all = completions(queue, timer, 1)?.into_iter();
        if let Some(one) = all.find(|one| one.cookie == cookie) {
            return one.refusal.map_or(Ok(one), Err);
        }
    }
}
