//! A run queue against whoever changes the priority of a task that joins it or leaves it, in every interleaving that loom can find.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p sched --test races --release`
#![cfg(loom)]
#![allow(unsafe_code)]

#[path = "../../paging/tests/atomics/mod.rs"]
mod atomics;
#[allow(
    dead_code,
    unreachable_pub,
    reason = "the queue as it is, of which this needs a part"
)]
#[path = "../src/run_queue.rs"]
mod run_queue;

use std::sync::Arc;

use atomics::{AtomicU8, AtomicU32, Ordering};
use loom::sync::Mutex;
use loom::thread;
use run_queue::{End, Place, RunQueue};
use task::{ON, Taken};

/// What the queue knows of a task.
#[derive(Debug)]
struct Task {
    place: Place,
    priority: AtomicU8,
    on_cpu: AtomicU8,
    last_cpu: AtomicU32,
}

mod task {
    use std::ops::Deref;
    use std::ptr::NonNull;

    use super::Task;

    pub(crate) const ON: u8 = 1;

    #[derive(Debug)]
    pub(crate) struct Taken(NonNull<Task>);

    impl Taken {
        pub(crate) fn new(task: &Task) -> Self {
            Self(NonNull::from_ref(task))
        }
        pub(crate) const fn as_ptr(&self) -> *const Task {
            self.0.as_ptr()
        }
    }

    impl Deref for Taken {
        type Target = Task;
        fn deref(&self) -> &Task {
            // SAFETY: the model keeps its tasks to its end.
            unsafe { self.0.as_ref() }
        }
    }
}

const CPU: usize = 0;
const LOW: u8 = 4;
const HIGH: u8 = 9;

struct It {
    task: Task,
    queue: Mutex<RunQueue>,
}

// SAFETY: the links of the task are reached under the lock of the queue alone.
unsafe impl Sync for It {}
// SAFETY: as for Sync.
unsafe impl Send for It {}

impl It {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            task: Task {
                place: Place::default(),
                priority: AtomicU8::new(LOW),
                on_cpu: AtomicU8::new(0),
                last_cpu: AtomicU32::new(7),
            },
            queue: Mutex::new(RunQueue::new()),
        })
    }

    fn push(&self) {
        let mut queue = self.queue.lock().unwrap();
        queue.push(Taken::new(&self.task), CPU, End::Back);
    }

    fn pop(&self) -> bool {
        self.queue.lock().unwrap().pop(CPU).is_some()
    }

    /// As `sched::switch::reprioritised` does; whether it found the task in a queue or on a CPU.
    fn find(&self) -> bool {
        if let Some(cpu) = self.task.place.cpu()
            && self
                .queue
                .lock()
                .unwrap()
                .requeue(&self.task, cpu)
                .is_some()
        {
            return true;
        }
        self.task.on_cpu.load(Ordering::SeqCst) == ON
    }

    fn raise(&self) -> bool {
        self.task.priority.store(HIGH, Ordering::SeqCst);
        self.find()
    }

    fn waits_at(&self) -> u32 {
        self.queue.lock().unwrap().occupied()
    }
}

fn model(f: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(f);
}

fn beside(it: &Arc<It>, f: impl FnOnce(&It) + Send + 'static) -> thread::JoinHandle<()> {
    let it = it.clone();
    thread::spawn(move || f(&it))
}

#[test]
fn a_priority_that_changes_while_a_task_joins_is_the_one_it_waits_at() {
    model(|| {
        let it = It::new();
        let waker = beside(&it, It::push);
        it.raise();
        waker.join().unwrap();
        assert_eq!(it.waits_at(), 1 << HIGH, "it waits at another priority");
    });
}

#[test]
fn whoever_changes_a_priority_finds_the_task_that_is_being_taken() {
    model(|| {
        let it = It::new();
        it.push();
        let cpu = beside(&it, |it| assert!(it.pop()));
        assert!(it.raise(), "it is in no queue and on no CPU");
        cpu.join().unwrap();
        assert_eq!(it.waits_at(), 0);
        assert_eq!(it.task.last_cpu.load(Ordering::Relaxed), CPU as u32);
    });
}

#[test]
fn a_task_is_taken_once() {
    model(|| {
        let it = It::new();
        it.push();
        let first = beside(&it, |it| {
            it.pop();
        });
        it.raise();
        let second = it.pop();
        first.join().unwrap();
        assert!(!it.pop() && it.waits_at() == 0, "it is in a queue still");
        assert_eq!(it.task.place.cpu(), None);
        let _ = second;
    });
}

#[test]
#[should_panic(expected = "at another priority")]
fn looking_before_the_priority_is_written_is_found() {
    model(|| {
        let it = It::new();
        let waker = beside(&it, It::push);
        it.find();
        it.task.priority.store(HIGH, Ordering::SeqCst);
        waker.join().unwrap();
        assert_eq!(it.waits_at(), 1 << HIGH, "it waits at another priority");
    });
}
