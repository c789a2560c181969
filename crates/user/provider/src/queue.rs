//! Batches at a device queue.

use arrayvec::ArrayVec;
use provider_core::{Data, Direction};
use sdk::device::device_queue::{self, Segment};
use sdk::{DeviceQueue, Refusal};

/// The most commands of one `DeviceQueue.submit`: what fits a message area of 8 KiB beside everything else.
pub const BATCH: usize = 16;

/// The most completions of one `DeviceQueue.complete`.
pub const COMPLETIONS: usize = 64;

/// A command to be submitted.
#[derive(Clone, Copy, Debug)]
pub struct Item<'t> {
    /// Comes back with the completion.
    pub cookie: u64,
    /// The device's own command, with everything zero that is the broker's.
    pub template: &'t [u8],
    /// Where its data lies; `None` where there is none.
    pub data: Option<Data>,
}

/// A completion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Done {
    /// The command's.
    pub cookie: u64,
    /// The device's status and result, or why the command came to nothing.
    pub outcome: Result<(u16, u32), Refusal>,
}

/// Submits one batch as one call: how many commands were taken, and why not the next one.
///
/// # Errors
/// `Revoked` and the like: the queue is gone.
pub fn submit<'t>(
    queue: &DeviceQueue,
    items: impl Iterator<Item = Item<'t>> + Clone,
) -> Result<(usize, Option<Refusal>), Refusal> {
    let segments: ArrayVec<Option<Segment>, BATCH> = items
        .clone()
        .take(BATCH)
        .map(|item| {
            item.data.map(|data| Segment {
                buffer: data.buffer,
                offset: data.offset,
                length: data.length,
                direction: match data.direction {
                    Direction::ToDevice => device_queue::Direction::ToDevice,
                    Direction::FromDevice => device_queue::Direction::FromDevice,
                },
            })
        })
        .collect();
    let commands: ArrayVec<device_queue::Command<'_>, BATCH> = items
        .zip(&segments)
        .map(|(item, segment)| device_queue::Command {
            cookie: item.cookie,
            template: item.template,
            segments: segment.as_slice(),
        })
        .collect();
    let submitted = queue.submit(&commands)?;
    let accepted = usize::from(submitted.accepted).min(commands.len());
    Ok((accepted, submitted.refusal))
}

/// Takes up to [`COMPLETIONS`] completions.
///
/// # Errors
/// `Corrupt` when the device contradicts itself, `Revoked` and the like.
pub fn take(queue: &DeviceQueue) -> Result<ArrayVec<Done, COMPLETIONS>, Refusal> {
    queue.complete(COMPLETIONS as u16, |results| {
        let list = results.completions()?;
        list.iter()
            .take(COMPLETIONS)
            .map(|completion| {
                let completion = completion.value()?;
                let outcome = match completion.refusal {
                    Some(refusal) => Err(refusal),
                    None => Ok((completion.status, completion.result)),
                };
                Ok(Done {
                    cookie: completion.cookie,
                    outcome,
                })
            })
            .collect()
    })?
}
