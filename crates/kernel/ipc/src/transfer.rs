//! Capabilities that travel with a message, as one transaction.

use alloc::vec::Vec;

use arrayvec::ArrayVec;
use handles::Reservation;
use ring_abi::{MAX_TRANSFERS, Refusal, TRANSFER_BYTES};
use sabotage::sabotage;

use crate::area::{Area, Misuse};
use crate::call::ReplyRight;
use crate::{Object, Process, Slot};

/// One capability on its way out.
#[derive(Debug)]
pub(crate) struct Outbound {
    /// The sender's handle.
    handle: u64,
    /// The sender loses it at delivery.
    moved: bool,
    slot: Slot,
}

/// Reads and checks `count` transfer descriptors behind a message. Each descriptor is read once.
pub(crate) fn collect(
    process: &Process,
    area: &Area,
    offset: u32,
    count: u64,
    out: &mut Vec<Outbound>,
) -> Result<Result<(), Refusal>, Misuse> {
    if count == 0 {
        return Ok(Ok(()));
    }
    if count > MAX_TRANSFERS as u64 {
        return Ok(Err(Refusal::BadTransfer));
    }
    area.check_span(offset, count as u32 * TRANSFER_BYTES as u32)?;
    let table = process.handles.lock();
    for i in 0..count as u32 {
        let at = offset + i * TRANSFER_BYTES as u32;
        let (handle, mode) = (area.read_word(at), area.read_word(at + 8));
        let Ok(slot) = table.slot(handle) else {
            return Ok(Err(Refusal::BadTransfer));
        };
        let object = match slot.check() {
            Ok(object) => object,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let doubled = out
            .iter()
            .any(|o| o.handle == handle && (o.moved || mode == 1));
        let copied_right =
            mode == 0 && matches!(object, Object::Reply(_)) && !sabotage!(COPY_REPLY_RIGHT);
        if mode > 1 || doubled || copied_right {
            return Ok(Err(Refusal::BadTransfer));
        }
        out.push(Outbound {
            handle,
            moved: mode == 1,
            slot: slot.clone(),
        });
    }
    Ok(Ok(()))
}

/// Takes the capabilities out of the sender's hands: removes moved ones from its table, all or none.
///
/// # Errors
/// `BadTransfer` when a moved handle is gone meanwhile; nothing changes then.
pub(crate) fn detach(sender: &Process, caps: &mut [Outbound]) -> Result<(), Refusal> {
    if caps.iter().any(|c| c.moved) {
        detach_moved(sender, caps)
    } else {
        Ok(())
    }
}

#[inline(never)]
fn detach_moved(sender: &Process, caps: &mut [Outbound]) -> Result<(), Refusal> {
    let mut copies = ArrayVec::<Slot, MAX_TRANSFERS>::new();
    {
        let mut table = sender.handles.lock();
        if caps
            .iter()
            .any(|c| c.moved && table.slot(c.handle).is_err())
        {
            return Err(Refusal::BadTransfer);
        }
        for c in caps.iter_mut().filter(|c| c.moved) {
            if sabotage!(KEEP_MOVED) {
                continue;
            }
            if let Ok(slot) = table.remove(c.handle) {
                // The capability itself travels, not the copy that stood for it.
                copies.push(core::mem::replace(&mut c.slot, slot));
            }
        }
    }
    drop(copies);
    // They leave the thread that got them with their calls, and with them goes what the calls lend.
    reply_rights(caps)
        .iter()
        .for_each(|right| right.pass_on(None));
    Ok(())
}

/// Names of the reply rights among capabilities on their way.
pub(crate) fn reply_rights(caps: &[Outbound]) -> ArrayVec<ReplyRight, MAX_TRANSFERS> {
    caps.iter()
        .filter_map(|c| match c.slot.object() {
            Object::Reply(right) => Some(right.clone()),
            _ => None,
        })
        .take(MAX_TRANSFERS)
        .collect()
}

/// The capabilities themselves, out of a list that keeps its room.
pub(crate) fn slots(caps: &mut Vec<Outbound>) -> impl Iterator<Item = Slot> {
    caps.drain(..).map(|c| c.slot)
}

/// Places for the capabilities of a message and its reply handle.
pub(crate) type Places = ArrayVec<Reservation, { MAX_TRANSFERS + 1 }>;

/// Reserves `count` places in a process's table, in an empty list: all or none.
///
/// # Errors
/// `OverBudget`, `Exhausted`.
pub(crate) fn reserve(
    receiver: &Process,
    count: usize,
    places: &mut Places,
) -> Result<(), Refusal> {
    let mut table = receiver.handles.lock();
    for _ in 0..count {
        match table.reserve() {
            Ok(place) => places.push(place),
            Err(refusal) => {
                places.drain(..).for_each(|p| table.rollback(p));
                return Err(refusal);
            }
        }
    }
    Ok(())
}

/// Gives reserved places back.
pub(crate) fn rollback(receiver: &Process, places: &mut Places) {
    let mut table = receiver.handles.lock();
    places.drain(..).for_each(|p| table.rollback(p));
}

/// Fills reserved places, in order, and tells `given` each handle and its number.
pub(crate) fn commit(
    receiver: &Process,
    places: &mut Places,
    slots: impl Iterator<Item = Slot>,
    mut given: impl FnMut(usize, u64),
) {
    let mut table = receiver.handles.lock();
    for (i, (place, slot)) in places.drain(..).zip(slots).enumerate() {
        // The reservation is this table's own, so the commit holds.
        if let Ok(handle) = table.commit(place, slot) {
            given(i, handle);
        }
    }
}
