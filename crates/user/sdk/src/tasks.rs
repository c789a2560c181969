//! Many things at once in one thread: futures over the thread's ring.
//!
//! Owns no thread, lock or queue of its own: a [`Tasks`] is a `Ring` and the loop that polls one future until it is done. Calls,
//! timers and bells are awaited; [`join`], [`join_all`], [`either`] and [`Group`] put them together. Invariant: what is dropped
//! before its end is cancelled, and what it still brings, handles included, is given back.
//!
//! ```ignore
//! let tasks = Tasks::new(8, 256)?;
//! let (timer, bell): (Timer, Bell) = (env.get("timer")?, env.get("bell")?);
//! let rung = tasks.run(async {
//!     let second = tasks.sleep_for(&timer, 1_000_000_000);
//!     match either(tasks.wait(&bell, 1), second).await {
//!         Either::First(bits) => bits.is_ok(),
//!         Either::Second(_) => false,
//!     }
//! });
//! ```

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::task::Wake;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::future::{Future, poll_fn};
use core::pin::{Pin, pin};
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::{Context, Poll, Waker};

use rt::{Cap, NEVER, Ring};
use schema::process::{bell, timer};
use stub::{Interface, Method, Refusal};

use crate::{Bell, Timer};

/// Futures of one thread, and the ring that carries their calls.
///
/// Everything is polled again whenever something completes: meant for dozens of things under way, not thousands.
pub struct Tasks {
    ring: RefCell<Ring>,
    /// Names each call, so that its completion finds it.
    next: Cell<u64>,
    /// A call found no slot since the last look: it begins when one is free.
    is_short: Cell<bool>,
}

/// One call under way. Dropping it gives the call up.
struct Ticket<'t> {
    tasks: &'t Tasks,
    user: u64,
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        // Of no effect where the completion was taken.
        self.tasks.ring.borrow_mut().abandon(self.user);
    }
}

/// Set when a future asks to be polled again without waiting for the ring.
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Release);
    }
}

impl Tasks {
    /// Room for `calls` calls under way at once, each with `bytes` bytes for its message and its reply. Further calls wait
    /// until one of them is done. There is one ring per thread: make one `Tasks`, and keep no `Ring` beside it.
    ///
    /// # Errors
    /// [`Refusal::OutOfRange`] when the thread's ring or message area is too small, or `bytes` is less than 80.
    pub fn new(calls: u16, bytes: u32) -> Result<Self, Refusal> {
        Ok(Self {
            ring: RefCell::new(Ring::new(calls, bytes)?),
            next: Cell::new(1),
            is_short: Cell::new(false),
        })
    }

    /// Runs `future` to its end. While nothing of it can go on, the thread waits in the kernel.
    ///
    /// # Panics
    /// When `future` waits for something that no call of this thread brings, so that it could never go on. To be woken by
    /// another thread, wait for a bell.
    pub fn run<F: Future>(&self, future: F) -> F::Output {
        let mut future = pin!(future);
        let woken = Arc::new(Woken(AtomicBool::new(true)));
        let waker = Waker::from(Arc::clone(&woken));
        let mut context = Context::from_waker(&waker);
        loop {
            while woken.0.swap(false, Ordering::Acquire) {
                if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
                    return output;
                }
            }
            let mut ring = self.ring.borrow_mut();
            // Another future may have given its slot back after one that found none was polled.
            if self.is_short.replace(false) && ring.free() > 0 {
                woken.0.store(true, Ordering::Release);
                continue;
            }
            assert!(
                ring.in_flight() > 0,
                "a task waits, and nothing under way could let it go on"
            );
            ring.wait(1, NEVER);
            ring.set_aside();
            woken.0.store(true, Ordering::Release);
        }
    }

    /// Calls method `M` through `client` and lets `read` look at its results. The call begins when it is first awaited.
    ///
    /// # Errors
    /// The refusal of the call; [`Refusal::BadMessage`] when its parameters do not fit into the bytes of a call.
    pub async fn call<M: Method, R>(
        &self,
        client: &impl Interface<Cap>,
        params: M::Params<'_>,
        read: impl FnOnce(M::Results<'_, Cap>) -> R,
    ) -> Result<R, Refusal> {
        self.call_by::<M, R>(NEVER, client, params, read).await
    }

    /// Calls method `M` as [`Tasks::call`] does, and gives up at the absolute time `deadline_ns`.
    ///
    /// # Errors
    /// As [`Tasks::call`], and [`Refusal::TimedOut`].
    pub async fn call_by<M: Method, R>(
        &self,
        deadline_ns: u64,
        client: &impl Interface<Cap>,
        params: M::Params<'_>,
        read: impl FnOnce(M::Results<'_, Cap>) -> R,
    ) -> Result<R, Refusal> {
        let ticket = poll_fn(|_| self.begin::<M>(deadline_ns, client, params)).await?;
        let mut read = Some(read);
        poll_fn(|_| {
            let mut ring = self.ring.borrow_mut();
            let Some(completion) = ring.take(ticket.user) else {
                return Poll::Pending;
            };
            // It is there: a future that is done is not polled again.
            let read = read.take().expect("polled after its end");
            Poll::Ready(completion.read::<M, R>(read))
        })
        .await
    }

    /// Hands a call to the ring; while no slot is free it is pending.
    fn begin<M: Method>(
        &self,
        deadline_ns: u64,
        client: &impl Interface<Cap>,
        params: M::Params<'_>,
    ) -> Poll<Result<Ticket<'_>, Refusal>> {
        let user = self.next.get();
        let mut ring = self.ring.borrow_mut();
        match ring.call::<M>(client.object(), params, user, deadline_ns) {
            Err(Refusal::QueueFull) => {
                self.is_short.set(true);
                Poll::Pending
            }
            Err(refusal) => Poll::Ready(Err(refusal)),
            Ok(()) => {
                self.next.set(user.wrapping_add(1));
                Poll::Ready(Ok(Ticket { tasks: self, user }))
            }
        }
    }

    /// Sleeps until the absolute time `until_ns`.
    ///
    /// # Errors
    /// The refusal of the Timer.
    pub async fn sleep(&self, timer: &Timer, until_ns: u64) -> Result<(), Refusal> {
        let params = timer::SleepParams { until_ns };
        self.call::<timer::call::Sleep, _>(timer, params, |()| ())
            .await
    }

    /// Sleeps for so many nanoseconds from the moment when this is first awaited.
    ///
    /// # Errors
    /// The refusal of the Timer.
    pub async fn sleep_for(&self, timer: &Timer, ns: u64) -> Result<(), Refusal> {
        let until_ns = timer.now()?.ns.saturating_add(ns);
        self.sleep(timer, until_ns).await
    }

    /// Waits until one of the bits of `mask` is rung at `bell`, and takes those that are.
    ///
    /// # Errors
    /// The refusal of the bell.
    pub async fn wait(&self, bell: &Bell, mask: u64) -> Result<u64, Refusal> {
        let params = bell::WaitParams { mask };
        self.call::<bell::call::Wait, _>(bell, params, |rung| rung.bits)
            .await
    }

    /// Calls under way, those that were given up and have not ended included.
    pub fn under_way(&self) -> usize {
        self.ring.borrow().in_flight()
    }
}

/// What one of two futures gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Either<A, B> {
    /// The first was done, at the latest together with the second.
    First(A),
    /// The second was done.
    Second(B),
}

/// Awaits two futures at once, until both are done.
pub async fn join<A: Future, B: Future>(a: A, b: B) -> (A::Output, B::Output) {
    let (mut a, mut b) = (pin!(a), pin!(b));
    let (mut from_a, mut from_b) = (None, None);
    poll_fn(move |context| {
        if from_a.is_none() {
            from_a = ready(a.as_mut().poll(context));
        }
        if from_b.is_none() {
            from_b = ready(b.as_mut().poll(context));
        }
        match (from_a.take(), from_b.take()) {
            (Some(a), Some(b)) => Poll::Ready((a, b)),
            (a, b) => {
                (from_a, from_b) = (a, b);
                Poll::Pending
            }
        }
    })
    .await
}

/// Awaits two futures at once, until one is done; the other is given up.
pub async fn either<A: Future, B: Future>(a: A, b: B) -> Either<A::Output, B::Output> {
    let (mut a, mut b) = (pin!(a), pin!(b));
    poll_fn(move |context| {
        if let Poll::Ready(a) = a.as_mut().poll(context) {
            return Poll::Ready(Either::First(a));
        }
        b.as_mut().poll(context).map(Either::Second)
    })
    .await
}

/// Awaits all futures at once and gives what they gave, in their order.
pub async fn join_all<F: Future>(futures: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    let mut group = Group::new();
    let mut outputs: Vec<Option<F::Output>> = Vec::new();
    for (index, future) in futures.into_iter().enumerate() {
        outputs.push(None);
        group.add(async move { (index, future.await) });
    }
    while let Some((index, output)) = group.next().await {
        outputs[index] = Some(output);
    }
    outputs.into_iter().flatten().collect()
}

/// Futures of one kind, awaited at once: whichever is done first comes first, and more may be added meanwhile.
pub struct Group<F>(Vec<Pin<Box<F>>>);

impl<F: Future> Group<F> {
    /// Without any.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds a future. It begins when the group is awaited next and none before it is done.
    pub fn add(&mut self, future: F) {
        self.0.push(Box::pin(future));
    }

    /// What the next one that is done gave; `None` when there are no more. Those that are not done stay.
    pub async fn next(&mut self) -> Option<F::Output> {
        poll_fn(|context| {
            let mut done = None;
            for (index, future) in self.0.iter_mut().enumerate() {
                if let Poll::Ready(output) = future.as_mut().poll(context) {
                    done = Some((index, output));
                    break;
                }
            }
            match done {
                Some((index, output)) => {
                    drop(self.0.remove(index));
                    Poll::Ready(Some(output))
                }
                None if self.0.is_empty() => Poll::Ready(None),
                None => Poll::Pending,
            }
        })
        .await
    }

    /// How many are not done.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// All are done.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<F: Future> Default for Group<F> {
    fn default() -> Self {
        Self::new()
    }
}

fn ready<T>(poll: Poll<T>) -> Option<T> {
    match poll {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}
