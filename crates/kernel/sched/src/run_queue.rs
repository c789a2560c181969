//! Runnable tasks of one CPU, first in first out within a priority.
//!
//! The links lie in the tasks, so that nothing here allocates, and a task whose priority changes while it waits is moved
//! without looking for it.

use core::cell::UnsafeCell;
use core::ptr::null;

pub use call_state::PRIORITIES;

use crate::Task;
use crate::atomics::{AtomicU32, Ordering};
use crate::task::{ON, Taken};

/// A task's place in a run queue.
#[derive(Debug)]
pub(crate) struct Place {
    /// Number of the CPU whose queue holds the task, plus 1; 0: none does. Changes under that queue's lock alone.
    cpu: AtomicU32,
    /// Reached under the lock of the queue that holds the task alone.
    links: UnsafeCell<Links>,
}

#[derive(Debug)]
struct Links {
    /// The neighbours in a ring.
    next: *const Task,
    previous: *const Task,
    level: usize,
}

impl Default for Place {
    /// In no queue.
    fn default() -> Self {
        Self {
            cpu: AtomicU32::new(0),
            links: UnsafeCell::new(Links {
                next: null(),
                previous: null(),
                level: 0,
            }),
        }
    }
}

impl Place {
    /// The CPU whose queue holds the task now.
    pub(crate) fn cpu(&self) -> Option<usize> {
        (self.cpu.load(Ordering::SeqCst) as usize).checked_sub(1)
    }
}

/// At which end of its priority a task joins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It has had its turn.
    Back,
    /// Its turn was cut short.
    Front,
}

/// The queue of one CPU. What is in it is [`Taken`], and so is what [`RunQueue::pop`] gives.
#[derive(Debug)]
pub(crate) struct RunQueue {
    first: [*const Task; PRIORITIES + 1],
    occupied: u32,
    /// How many there are of those whose budget is used up, and how many of them are still to be asked whether it is back.
    spent: u32,
    unasked: u32,
}

/// The level of those whose budget is used up: nobody is taken from it.
const SPENT: usize = PRIORITIES;
/// How many are set aside, or asked whether their budget is back, in one go.
const SET_ASIDE: usize = 8;

// SAFETY: the pointers stand for what is `Send`.
unsafe impl Send for RunQueue {}

/// The links of a task.
///
/// # Safety
/// The task is alive and in the queue whose lock the caller holds, or joins it now; no other borrow of its links is in
/// use.
#[allow(clippy::mut_from_ref)]
unsafe fn links<'a>(task: *const Task) -> &'a mut Links {
    // SAFETY: by the caller's promise.
    unsafe { &mut *(*task).place.links.get() }
}

impl RunQueue {
    pub(crate) const fn new() -> Self {
        Self {
            first: [null(); PRIORITIES + 1],
            occupied: 0,
            spent: 0,
            unasked: 0,
        }
    }

    /// Priorities at which somebody waits, one bit each.
    pub(crate) const fn occupied(&self) -> u32 {
        self.occupied
    }

    /// Queues a task, which is in no queue, on CPU `cpu`, whose queue this is. Returns the priority it waits at.
    pub(crate) fn push(&mut self, task: Taken, cpu: usize, end: End) -> u8 {
        // Whoever changes the priority writes it before it looks for the task's place: either it finds the task here,
        // or the new priority is read here.
        task.place.cpu.store(cpu as u32 + 1, Ordering::SeqCst);
        let priority = task.priority.load(Ordering::SeqCst);
        let level = usize::from(priority) % PRIORITIES;
        self.link(task, level, end);
        self.occupied |= 1 << level;
        priority
    }

    /// Puts a task, whose place says that it is here, into a ring.
    fn link(&mut self, task: Taken, level: usize, end: End) {
        let task = task.as_ptr();
        let first = self.first[level];
        // SAFETY: the task and its neighbours are taken; all are in this queue.
        unsafe {
            if first.is_null() {
                *links(task) = Links {
                    next: task,
                    previous: task,
                    level,
                };
            } else {
                let last = links(first).previous;
                *links(task) = Links {
                    next: first,
                    previous: last,
                    level,
                };
                links(last).next = task;
                links(first).previous = task;
            }
        }
        if first.is_null() || end == End::Front {
            self.first[level] = task;
        }
    }

    /// Queues a task, which is in no queue, among those whose budget is used up.
    pub(crate) fn push_spent(&mut self, task: Taken, cpu: usize) {
        task.place.cpu.store(cpu as u32 + 1, Ordering::SeqCst);
        self.link(task, SPENT, End::Back);
        self.spent += 1;
    }

    /// Whether there is anybody whose budget is used up.
    pub(crate) const fn has_spent(&self) -> bool {
        self.spent > 0
    }

    /// Sets those aside who would come next and whose budget is used up: some of them. Whether there were any.
    pub(crate) fn set_aside(&mut self, is_out: impl Fn(&Task) -> bool) -> bool {
        let mut any = false;
        for _ in 0..SET_ASIDE {
            let Some(level) = self.occupied.checked_ilog2() else {
                break;
            };
            let task = self.first[level as usize];
            // SAFETY: the first of an occupied level is in this queue, and taken.
            unsafe {
                if !is_out(&*task) {
                    break;
                }
                self.unlink(task);
                self.link(Taken::new(&*task), SPENT, End::Back);
            }
            self.spent += 1;
            any = true;
        }
        any
    }

    /// Asks some of those whose budget was used up whether it is back, each once in a period, and queues those again where it
    /// is. Returns the highest priority of these, and whether more are to be asked.
    pub(crate) fn take_back(
        &mut self,
        cpu: usize,
        is_out: impl Fn(&Task) -> bool,
    ) -> (Option<u8>, bool) {
        if self.unasked == 0 {
            self.unasked = self.spent;
        }
        let mut highest = None;
        for _ in 0..SET_ASIDE.min(self.unasked as usize) {
            self.unasked -= 1;
            let task = self.first[SPENT];
            if task.is_null() {
                self.unasked = 0;
                break;
            }
            // SAFETY: it is in this queue, and taken.
            let task = unsafe {
                self.unlink(task);
                Taken::new(&*task)
            };
            if is_out(&task) {
                self.link(task, SPENT, End::Back);
            } else {
                self.spent -= 1;
                highest = highest.max(Some(self.push(task, cpu, End::Back)));
            }
        }
        (highest, self.unasked > 0)
    }

    /// Takes the task at `task` out of its ring.
    ///
    /// # Safety
    /// The task is in this queue.
    unsafe fn unlink(&mut self, task: *const Task) {
        // SAFETY: by the caller's promise; its neighbours are in this queue too.
        let level = unsafe {
            let (next, previous, level) = {
                let of = links(task);
                (of.next, of.previous, of.level)
            };
            links(previous).next = next;
            links(next).previous = previous;
            if self.first[level] == task {
                self.first[level] = if core::ptr::eq(next, task) {
                    null()
                } else {
                    next
                };
            }
            level
        };
        if level != SPENT && self.first[level].is_null() {
            self.occupied &= !(1 << level);
        }
    }

    /// Takes out the task that comes first. It counts as being on CPU `cpu`, whose queue this is, from here on.
    pub(crate) fn pop(&mut self, cpu: usize) -> Option<Taken> {
        let level = self.occupied.checked_ilog2()? as usize;
        let task = self.first[level];
        // SAFETY: the first of an occupied level is in this queue, and taken.
        let task = unsafe {
            self.unlink(task);
            Taken::new(&*task)
        };
        task.last_cpu.store(cpu as u32, Ordering::Relaxed);
        task.on_cpu.store(ON, Ordering::Relaxed);
        // Last: whoever finds it in no queue finds it on this CPU.
        task.place.cpu.store(0, Ordering::SeqCst);
        Some(task)
    }

    /// Puts a task at the place of the priority that it has now. `None`: it is not in this queue, that of CPU `cpu`.
    pub(crate) fn requeue(&mut self, task: &Task, cpu: usize) -> Option<u8> {
        if task.place.cpu() != Some(cpu) {
            return None;
        }
        // SAFETY: it is in this queue, whose lock the caller holds.
        if unsafe { links(task) }.level == SPENT {
            // It has its priority when its budget is back.
            return None;
        }
        // SAFETY: as before.
        let task = unsafe {
            self.unlink(task);
            Taken::new(task)
        };
        Some(self.push(task, cpu, End::Back))
    }
}
