//! Futures put together, without a ring: what a poll gives and what is dropped when.

use std::cell::Cell;
use std::future::{Future, poll_fn, ready};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use sdk::tasks::{Either, Group, either, join, join_all};

/// Polls to the end, `most` times at most.
fn polled<F: Future>(future: F, most: usize) -> (F::Output, usize) {
    let mut future = pin!(future);
    for polls in 1..=most {
        if let Poll::Ready(output) = future
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
        {
            return (output, polls);
        }
    }
    panic!("not done after {most} polls");
}

/// Is done at its `polls`th poll.
async fn after(polls: usize) -> usize {
    let mut left = polls;
    poll_fn(|_| {
        left -= 1;
        if left == 0 {
            Poll::Ready(polls)
        } else {
            Poll::Pending
        }
    })
    .await
}

/// Counts when it is dropped.
struct Falls<'c>(&'c Cell<usize>);

impl Drop for Falls<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

#[test]
fn join_waits_for_both_and_polls_neither_after_its_end() {
    assert_eq!(polled(join(after(3), after(1)), 9), ((3, 1), 3));
    assert_eq!(polled(join(after(1), after(3)), 9), ((1, 3), 3));
    assert_eq!(
        polled(join(ready(1), join(after(2), after(4))), 9),
        ((1, (2, 4)), 4)
    );
}

#[test]
fn either_takes_the_one_that_is_done_and_drops_the_other() {
    let fallen = Cell::new(0);
    let slow = |polls| {
        let guard = Falls(&fallen);
        async move {
            let done = after(polls).await;
            drop(guard);
            done
        }
    };
    assert_eq!(polled(either(slow(2), slow(5)), 9), (Either::First(2), 2));
    assert_eq!(fallen.get(), 2);
    assert_eq!(polled(either(slow(5), slow(2)), 9), (Either::Second(2), 2));
    assert_eq!(polled(either(slow(2), slow(2)), 9), (Either::First(2), 2));
    assert_eq!(fallen.get(), 6);
}

#[test]
fn all_outputs_come_in_the_order_of_their_futures() {
    let outputs = polled(join_all([3, 1, 2].map(after)), 9).0;
    assert_eq!(outputs, [3, 1, 2]);
    assert!(
        polled(join_all(std::iter::empty::<std::future::Ready<u8>>()), 1)
            .0
            .is_empty()
    );
}

#[test]
fn a_group_gives_what_is_done_first_and_takes_more_meanwhile() {
    let order = async {
        let mut group = Group::new();
        group.add(after(5));
        group.add(after(2));
        let mut seen = vec![group.next().await];
        group.add(after(1));
        while !group.is_empty() {
            seen.push(group.next().await);
        }
        seen.push(group.next().await);
        seen
    };
    assert_eq!(polled(order, 9).0, [Some(2), Some(1), Some(5), None]);
}
