//! Work side by side, as much at once as there is room for.
//!
//! Invariant: what runs at once never needs more than there is, but for what alone needs more; nothing waits for ever.

use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;

/// What is left to do, and what is free to do it with.
struct Left<'a, T> {
    waiting: Vec<&'a T>,
    free: u32,
}

/// Does `work` on every item, and has each result told, one at a time, as it comes. An item takes as many of the `room` as
/// `needs` says, and all of it where it needs more; the first that fits comes next.
pub fn side_by_side<T: Sync, R>(
    items: &[T],
    room: u32,
    needs: impl Fn(&T) -> u32 + Sync,
    work: impl Fn(&T) -> R + Sync,
    tell: impl FnMut(&T, R) + Send,
) {
    let left = Mutex::new(Left {
        waiting: items.iter().collect(),
        free: room,
    });
    let (freed, tell) = (Condvar::new(), Mutex::new(tell));
    let need = |item: &T| needs(item).clamp(1, room);
    let worker = || {
        while let Some(item) = next(&left, &freed, &need) {
            let result = work(item);
            (tell.lock().unwrap_or_else(PoisonError::into_inner))(item, result);
            left.lock().unwrap_or_else(PoisonError::into_inner).free += need(item);
            freed.notify_all();
        }
    };
    thread::scope(|scope| {
        for _ in 0..room {
            scope.spawn(worker);
        }
    });
}

/// The first item that fits, when it does; `None` where no item waits any more.
fn next<'a, T>(
    left: &Mutex<Left<'a, T>>,
    freed: &Condvar,
    need: &impl Fn(&T) -> u32,
) -> Option<&'a T> {
    let mut left = left.lock().unwrap_or_else(PoisonError::into_inner);
    while !left.waiting.is_empty() {
        let free = left.free;
        if let Some(at) = left.waiting.iter().position(|item| need(item) <= free) {
            let item = left.waiting.remove(at);
            left.free -= need(item);
            return Some(item);
        }
        left = freed.wait(left).unwrap_or_else(PoisonError::into_inner);
    }
    None
}

/// CPUs of this machine.
pub fn cpus() -> u32 {
    thread::available_parallelism().map_or(1, |count| count.get() as u32)
}

#[cfg(test)]
mod tests {
    use super::side_by_side;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    #[test]
    fn everything_is_done_once_and_never_more_at_once_than_there_is_room_for() {
        let items: Vec<u32> = (0..60).map(|n| n % 5).collect();
        let (busy, most) = (AtomicU32::new(0), AtomicU32::new(0));
        let mut told = 0;
        let taken = |need: u32| need.clamp(1, 3);
        side_by_side(
            &items,
            3,
            |need| *need,
            |need| {
                let now = busy.fetch_add(taken(*need), Ordering::SeqCst) + taken(*need);
                most.fetch_max(now, Ordering::SeqCst);
                std::thread::sleep(Duration::from_millis(1));
                busy.fetch_sub(taken(*need), Ordering::SeqCst);
                *need
            },
            |need, result| {
                assert_eq!(*need, result);
                told += 1;
            },
        );
        assert_eq!((told, most.load(Ordering::SeqCst)), (60, 3));
    }

    #[test]
    fn with_room_for_one_the_order_is_kept() {
        let items = [3, 1, 2];
        let mut told = Vec::new();
        side_by_side(&items, 1, |need| *need, |n| *n, |_, n| told.push(n));
        assert_eq!(told, items);
    }
}
