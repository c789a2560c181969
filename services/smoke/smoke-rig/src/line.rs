//! Waiting for what the kernel says in its log.

use sdk::{LogReader, Refusal, Timer};

/// Between two looks at the log.
const PAUSE_NS: u64 = 1_000_000;

/// Waits until the log has a line that begins with `head`, for as long as that takes.
///
/// # Errors
/// As `LogReader.read` and `Timer.sleep`.
pub fn wait_for_line(log: &LogReader, timer: &Timer, head: &str) -> Result<(), Refusal> {
    let mut from = 0;
    loop {
        let (next, count, is_there) = log.read(from, |results| {
            let records = results.records()?;
            let mut is_there = false;
            for record in records.iter() {
                is_there |= record.line()?.starts_with(head);
            }
            Ok::<_, Refusal>((results.next(), records.iter().count(), is_there))
        })??;
        if is_there {
            return Ok(());
        }
        if count == 0 {
            timer.sleep(timer.now()?.ns + PAUSE_NS)?;
        }
        from = next;
    }
}
