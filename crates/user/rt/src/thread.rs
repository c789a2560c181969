//! More threads.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU64, Ordering};

use ring_abi::{NO_HANDLE, PAGE_BYTES};
use schema::process::{thread_handle, thread_spawner};
use stub::{Interface, Object, Refusal};

use crate::heap::{READ_WRITE, virtual_memory};
use crate::{Cap, Env, Mutex, sys};

static SPAWNER: AtomicU64 = AtomicU64::new(NO_HANDLE);

/// Names the ThreadSpawner that threads come from.
pub(crate) fn set_spawner(env: &Env) {
    if let Ok(threads) = env.get::<thread_spawner::Client<Cap>>("threads") {
        SPAWNER.store(threads.object().handle(), Ordering::Release);
    }
}

core::arch::global_asm!(
    ".pushsection .text.capos_thread, \"ax\", @progbits",
    ".globl capos_thread_entry",
    ".type capos_thread_entry, @function",
    "capos_thread_entry:",
    // rdi is the argument.
    "xor ebp, ebp",
    "and rsp, -16",
    "call {run}",
    "ud2",
    ".popsection",
    run = sym run,
);

unsafe extern "C" {
    fn capos_thread_entry();
}

/// What a thread is made of.
#[derive(Clone, Copy, Debug)]
pub struct ThreadOptions {
    /// Bytes of stack, rounded up to pages. Below it lies a page that is not mapped.
    pub stack_bytes: u64,
    /// Its ring, message area, priority and processor.
    pub shape: thread_spawner::Shape,
}

impl Default for ThreadOptions {
    fn default() -> Self {
        Self {
            stack_bytes: 64 * 1024,
            shape: thread_spawner::Shape {
                submissions: 16,
                message_bytes: 8192,
                priority: 16,
                cpu: -1,
            },
        }
    }
}

struct Start(Box<dyn FnOnce() + Send>);

extern "C" fn run(start: *mut Start) -> ! {
    // SAFETY: `spawn_thread` made it for this thread alone.
    let start = unsafe { Box::from_raw(start) };
    (start.0)();
    sys::exit_thread(0)
}

/// A running thread. Without [`JoinHandle::join`] it runs on, and its stack stays.
#[derive(Debug)]
pub struct JoinHandle<T> {
    thread: thread_handle::Client<Cap>,
    result: Arc<Mutex<Option<T>>>,
    stack: (u64, u64),
}

impl<T> JoinHandle<T> {
    /// Waits for the end of the thread, frees its stack, and gives what it returned.
    ///
    /// # Errors
    /// The refusal of the wait; [`Refusal::Failed`] when the thread ended without a result.
    pub fn join(self) -> Result<T, Refusal> {
        self.thread.join()?;
        virtual_memory().unmap(self.stack.0, self.stack.1)?;
        self.result.lock().take().ok_or(Refusal::Failed)
    }
}

/// Starts a thread that runs `body`.
///
/// # Errors
/// The refusal of VirtualMemory or ThreadSpawner.
pub fn spawn_thread<T: Send + 'static>(
    options: ThreadOptions,
    body: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>, Refusal> {
    let page = PAGE_BYTES as u64;
    let bytes = options.stack_bytes.checked_next_multiple_of(page);
    let bytes = bytes.ok_or(Refusal::OutOfRange)?;
    let vm = virtual_memory();
    let whole = bytes.checked_add(page).ok_or(Refusal::OutOfRange)?;
    let guard = vm.map(whole, READ_WRITE)?.address;
    vm.unmap(guard, page)?;
    let stack = (guard + page, bytes);

    let result = Arc::new(Mutex::new(None));
    let theirs = Arc::clone(&result);
    let start = Start(Box::new(move || *theirs.lock() = Some(body())));
    let start = Box::into_raw(Box::new(start));
    let spawner: thread_spawner::Client<Cap> =
        Interface::from_object(Cap::borrowed(SPAWNER.load(Ordering::Acquire)));
    let entry = capos_thread_entry as *const () as u64;
    let spawned = spawner.spawn(entry, stack.0 + bytes, start as u64, &options.shape);
    match spawned {
        Ok(spawned) => Ok(JoinHandle {
            thread: spawned.thread,
            result,
            stack,
        }),
        Err(refusal) => {
            // SAFETY: no thread was started, so nobody else has it.
            drop(unsafe { Box::from_raw(start) });
            vm.unmap(stack.0, bytes)?;
            Err(refusal)
        }
    }
}
