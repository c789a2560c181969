//! How processes and threads end, and who waits for that.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use account::Account;
use cpu::Lock;
use frames::Grow;
use ring_abi::Refusal;
use schema::process::{process_handle as wire, thread_handle as thread};
use stub::{Deferred, Late};

use crate::queue::{Place, Queue};

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It called `exit`.
    Exited,
    /// It panicked; the text says why.
    Panicked,
    /// It did what no correct program does; the text names the rule.
    Faulted,
    /// Somebody ended it.
    Killed,
}

/// How and why a process ended.
#[derive(Clone, Debug)]
pub struct Exit {
    /// The kind of end.
    pub kind: End,
    /// Exit code.
    pub code: i64,
    /// Panic message or fault; `None` where nobody could pay for it.
    text: Option<Arc<str>>,
}

impl Exit {
    /// Panic message or fault, as far as there was memory to keep it.
    pub fn text(&self) -> &str {
        self.text.as_deref().unwrap_or("")
    }

    /// The answer to `ProcessHandle.wait`.
    fn told(&self) -> wire::WaitReply<'_> {
        let kind = match self.kind {
            End::Exited => wire::End::Exited,
            End::Panicked => wire::End::Panicked,
            End::Faulted => wire::End::Faulted,
            End::Killed => wire::End::Killed,
        };
        wire::WaitReply {
            kind,
            code: self.code,
            text: self.text(),
        }
    }
}

/// Longest text of an end that is kept.
const TEXT_BYTES: u64 = 1024;
/// Most that such a text takes beside its bytes.
const TEXT_EXTRA: u64 = 128;

/// The end of a process, once it is decided, and who waits for it. `P` is the right to answer somebody late.
#[derive(Debug)]
pub(crate) struct Exits<P> {
    state: Lock<State<P>>,
}

#[derive(Debug)]
struct State<P> {
    exit: Option<Exit>,
    /// Memory for the text, however much the process has used up by then: given back just before.
    last_words: Vec<u8>,
    finished: bool,
    waiters: Queue<Deferred<P, wire::call::Wait>>,
    /// Where waiters that gave up are looked for next.
    swept: Place,
    watcher: Option<fn(&Exit)>,
}

impl<P: Late> Exits<P> {
    /// Nothing has ended.
    ///
    /// # Errors
    /// `NoMemory`, `OverBudget`.
    pub(crate) fn new() -> Result<Self, Refusal> {
        let mut last_words = Vec::new();
        last_words.grow((TEXT_BYTES + TEXT_EXTRA) as usize)?;
        Ok(Self {
            state: Lock::new(State {
                exit: None,
                last_words,
                finished: false,
                waiters: Queue::new(),
                swept: Place::FIRST,
                watcher: None,
            }),
        })
    }

    /// Why the process ends. The first reason given stands; `account` pays for its text.
    pub(crate) fn decide(&self, account: &Arc<Account>, kind: End, code: i64, text: &str) {
        let mut state = self.state.lock();
        if state.exit.is_none() {
            // What was set aside for it when the process was made.
            state.last_words = Vec::new();
            let text = keep(account, text);
            state.exit = Some(Exit { kind, code, text });
        }
    }

    /// Everything is gone. Returns what is to be told, and to whom.
    pub(crate) fn finish(&self) -> (Exit, Told<P>) {
        let mut state = self.state.lock();
        state.finished = true;
        let exit = state.exit.get_or_insert(Exit {
            kind: End::Exited,
            code: 0,
            text: None,
        });
        let exit = exit.clone();
        let told = Told {
            waiters: core::mem::take(&mut state.waiters),
            watcher: state.watcher,
        };
        (exit, told)
    }

    /// Whether everything is gone.
    pub(crate) fn is_finished(&self) -> bool {
        self.state.lock().finished
    }

    /// Calls `f` when everything is gone, from the last thread.
    pub(crate) fn watch(&self, f: fn(&Exit)) {
        let exit = {
            let mut state = self.state.lock();
            if !state.finished {
                state.watcher = Some(f);
                return;
            }
            state.exit.clone()
        };
        if let Some(exit) = exit {
            f(&exit);
        }
    }

    /// Answers when everything is gone.
    pub(crate) fn wait(&self, later: Deferred<P, wire::call::Wait>) {
        let exit = {
            let mut guard = self.state.lock();
            let state = &mut *guard;
            if !state.finished {
                state.waiters.sweep(&mut state.swept, Deferred::is_live);
                let queued = state.waiters.push(later);
                drop(guard);
                if let Err(later) = queued {
                    later.refuse(Refusal::OverBudget);
                }
                return;
            }
            state.exit.clone()
        };
        if let Some(exit) = exit {
            later.send(exit.told());
        }
    }
}

/// A copy of the text, counted, so that whoever hears of it needs no copy.
fn keep(account: &Arc<Account>, text: &str) -> Option<Arc<str>> {
    let kept = text.get(..text.floor_char_boundary(TEXT_BYTES as usize))?;
    if kept.is_empty() {
        return None;
    }
    let _paying = frames::paid_by(account);
    let bytes = kept.len() as u64 + TEXT_EXTRA;
    // room: made here
    frames::with_room(bytes, || Arc::<str>::from(kept)).ok()
}

/// Who waits for the end of a process.
#[derive(Debug)]
pub(crate) struct Told<P> {
    waiters: Queue<Deferred<P, wire::call::Wait>>,
    watcher: Option<fn(&Exit)>,
}

impl<P: Late> Told<P> {
    /// Tells them.
    pub(crate) fn tell(mut self, exit: &Exit) {
        while let Some(waiter) = self.waiters.pop() {
            waiter.send(exit.told());
            let _ = sched::point();
        }
        if let Some(f) = self.watcher {
            f(exit);
        }
    }
}

/// The end of a thread, and who waits for it.
#[derive(Debug)]
pub(crate) struct Joins<P> {
    ended: AtomicBool,
    code: AtomicI64,
    joiners: Lock<Joiners<P>>,
}

#[derive(Debug)]
struct Joiners<P> {
    waiting: Queue<Deferred<P, thread::call::Join>>,
    /// Where those that gave up are looked for next.
    swept: Place,
}

impl<P: Late> Joins<P> {
    /// It has not ended.
    pub(crate) const fn new() -> Self {
        Self {
            ended: AtomicBool::new(false),
            code: AtomicI64::new(0),
            joiners: Lock::new(Joiners {
                waiting: Queue::new(),
                swept: Place::FIRST,
            }),
        }
    }

    /// It has ended, with this code: tells whoever waits.
    pub(crate) fn end(&self, code: i64) {
        self.code.store(code, Ordering::Release);
        let mut waiting = {
            let mut joiners = self.joiners.lock();
            self.ended.store(true, Ordering::Release);
            core::mem::take(&mut joiners.waiting)
        };
        while let Some(later) = waiting.pop() {
            later.send(thread::JoinReply { code });
            let _ = sched::point();
        }
    }

    /// Answers when it has ended.
    pub(crate) fn join(&self, later: Deferred<P, thread::call::Join>) {
        let (later, ended) = {
            let mut guard = self.joiners.lock();
            let joiners = &mut *guard;
            if self.ended.load(Ordering::Acquire) {
                (later, true)
            } else {
                joiners.waiting.sweep(&mut joiners.swept, Deferred::is_live);
                match joiners.waiting.push(later) {
                    Ok(()) => return,
                    Err(later) => (later, false),
                }
            }
        };
        if ended {
            let code = self.code.load(Ordering::Acquire);
            later.send(thread::JoinReply { code });
        } else {
            later.refuse(Refusal::OverBudget);
        }
    }
}
