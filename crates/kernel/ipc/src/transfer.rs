//! Capabilities that travel with a message, as one transaction.

use alloc::vec::Vec;

use arrayvec::ArrayVec;
use frames::Grow;
use handles::Reservation;
use ring_abi::{MAX_TRANSFERS, Refusal, TRANSFER_BYTES};
use sabotage::sabotage;

use crate::area::Span;
use crate::bank::grave;
use crate::operation::Operation;
use crate::records::{Object, Outbound, Process, ReplyRight, Slot, Thread};
use crate::stop::Stop;

/// Reads and checks the transfer descriptors behind the message of an operation of `me`. Each is read once.
///
/// # Errors
/// `BadTransfer`, or why a capability no longer works; misuse when the descriptors lie outside the area.
#[inline(never)]
pub(crate) fn collect(
    me: &Thread,
    op: &Operation,
    message: Span,
    out: &mut Vec<Outbound>,
) -> Result<(), Stop> {
    let (area, count) = (&me.area, op.words[3]);
    if count == 0 {
        return Ok(());
    }
    if count > MAX_TRANSFERS as u64 {
        return Err(Refusal::BadTransfer.into());
    }
    let descriptors = area.behind(message, count as u32 * TRANSFER_BYTES as u32)?;
    out.grow(count as usize)?;
    let table = me.process.handles.lock();
    for i in 0..count as usize {
        let handle = area.word(descriptors, i * 2);
        let mode = area.word(descriptors, i * 2 + 1);
        let slot = table.slot(handle).map_err(|_| Refusal::BadTransfer)?;
        let object = slot.check()?;
        let doubled = out
            .iter()
            .any(|o| o.handle == handle && (o.moved || mode == 1));
        let copied_right =
            mode == 0 && matches!(object, Object::Reply(_)) && !sabotage!(COPY_REPLY_RIGHT);
        if mode > 1 || doubled || copied_right {
            return Err(Refusal::BadTransfer.into());
        }
        out.add(Outbound {
            handle,
            moved: mode == 1,
            slot: slot.clone(),
        })?;
    }
    Ok(())
}

const _: () = assert!(TRANSFER_BYTES == 2 * 8);

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
#[expect(clippy::disallowed_methods, reason = "stack: into an array")]
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
        match receiver.reserve(&mut table) {
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
    let mut gone = ArrayVec::<Slot, MAX_TRANSFERS>::new();
    let mut table = receiver.handles.lock();
    for (i, (place, slot)) in places.drain(..).zip(slots).enumerate() {
        // What has ended on its way is not found by whoever looks for it in tables.
        let ended = slot.object().ended();
        let slot = match ended.and_then(|why| grave(why, slot.interface())) {
            Some(grave) => {
                let _ = gone.try_push(slot);
                grave
            }
            None => slot,
        };
        // The reservation is this table's own, so the commit holds.
        if let Ok(handle) = table.commit(place, slot) {
            given(i, handle);
        }
    }
    drop(table);
}
