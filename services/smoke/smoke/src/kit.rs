//! Processes of a smoke, and words for what came of something.

use rt::Cap;
use sdk::process::process_handle::{Client, End};
use sdk::process::process_spawner::{Grant, Limits};
use sdk::{
    CapArg, EndpointFactory, Env, Error, Interface, Object, ProcessHandle, ProcessSpawner, Refusal,
    SystemInfo, Timer,
    alloc::{
        string::{String, ToString},
        vec::Vec,
    },
};

/// What every smoke program is granted.
pub struct Kit {
    /// The name of the program's image.
    image: &'static str,
    /// Starts roles.
    pub spawner: ProcessSpawner,
    /// Makes endpoints.
    pub endpoints: EndpointFactory,
    /// The clock.
    pub timer: Timer,
    /// Counts memory and processes.
    pub info: SystemInfo,
}

/// A capability for a role, with the name under which it finds it.
pub struct Given<'a> {
    name: &'a str,
    interface_id: u64,
    cap: CapArg,
}

/// A copy of a client's capability.
pub fn give<'a, I: Interface<Cap>>(name: &'a str, client: &I) -> Given<'a> {
    let handle = sdk::Object::handle(client.object());
    Given {
        name,
        interface_id: I::INTERFACE_ID,
        cap: CapArg::copy(handle),
    }
}

/// The interface id of a client type.
pub const fn interface_of<I: Interface<Cap>>() -> u64 {
    I::INTERFACE_ID
}

/// How a process ended.
pub struct Ended {
    /// `exited`, `panicked`, `faulted` or `killed`.
    pub kind: &'static str,
    /// Its exit code.
    pub code: i64,
    /// How many callers its backtrace names.
    pub callers: usize,
    /// Its panic message, or the fault.
    pub text: String,
}

impl Ended {
    /// The rule that a fault names: its text without the addresses.
    pub fn rule(&self) -> &str {
        self.text.split(": ").next().unwrap_or_default()
    }
}

/// `ok`, or the name of the refusal.
pub fn outcome<T>(result: &Result<T, Refusal>) -> &'static str {
    match result {
        Ok(_) => "ok",
        Err(refusal) => refusal.name(),
    }
}

/// The role that the program was started in; none for the smoke itself.
pub fn role(env: &Env) -> Option<&'static str> {
    env.arguments().next()
}

impl Kit {
    /// Finds what was granted. `image` is the program's own name in the boot package.
    ///
    /// # Errors
    /// What is missing.
    pub fn new(env: &Env, image: &'static str) -> Result<Self, Error> {
        Ok(Self {
            image,
            spawner: env.get("processSpawner")?,
            endpoints: env.get("endpointFactory")?,
            timer: env.get("timer")?,
            info: env.get("systemInfo")?,
        })
    }

    /// Starts the program again in `role`.
    ///
    /// # Errors
    /// The kernel's.
    pub fn start(&self, role: &str, given: &[Given<'_>]) -> Result<ProcessHandle, Refusal> {
        self.start_within(role, &Limits::default(), &[], given)
    }

    /// Starts the program again in `role`, with limits of its own and further arguments.
    ///
    /// # Errors
    /// The kernel's.
    pub fn start_within(
        &self,
        role: &str,
        limits: &Limits,
        arguments: &[&str],
        given: &[Given<'_>],
    ) -> Result<ProcessHandle, Refusal> {
        let mut words: Vec<&str> = Vec::from([role]);
        words.extend(arguments);
        let mut grants = Vec::new();
        let mut transfers = Vec::new();
        for (transfer, given) in (0..).zip(given) {
            grants.push(Grant {
                name: given.name,
                interface_id: given.interface_id,
                transfer,
                handle: 0,
            });
            transfers.push(given.cap);
        }
        let started = self
            .spawner
            .spawn(role, self.image, &words, limits, &grants, &transfers)?;
        Ok(started.process)
    }

    /// Waits for the end of a process.
    ///
    /// # Errors
    /// The kernel's.
    pub fn ended(&self, process: &Client<impl Object>) -> Result<Ended, Refusal> {
        process.wait(|results| {
            let kind = match results.kind() {
                Ok(End::Exited) => "exited",
                Ok(End::Panicked) => "panicked",
                Ok(End::Faulted) => "faulted",
                Ok(End::Killed) => "killed",
                Err(refusal) => refusal.name(),
            };
            let text = results.text().unwrap_or_default();
            let (text, callers) = text.split_once(sdk::CALLERS).unwrap_or((text, ""));
            let (text, callers) = (text.to_string(), callers.split(" at ").count() - 1);
            Ended {
                kind,
                code: results.code(),
                text,
                callers,
            }
        })
    }

    /// Starts a role and waits for its end.
    ///
    /// # Errors
    /// The kernel's.
    pub fn run(&self, role: &str, given: &[Given<'_>]) -> Result<Ended, Refusal> {
        self.ended(&self.start(role, given)?)
    }

    /// The time in `ms` milliseconds.
    ///
    /// # Errors
    /// The kernel's.
    pub fn after_ms(&self, ms: u64) -> Result<u64, Refusal> {
        Ok(self.timer.now()?.ns + ms * 1_000_000)
    }

    /// Lets `ms` milliseconds pass.
    ///
    /// # Errors
    /// The kernel's.
    pub fn pause_ms(&self, ms: u64) -> Result<(), Refusal> {
        self.timer.sleep(self.after_ms(ms)?)
    }

    /// Free memory of the machine, in KiB.
    ///
    /// # Errors
    /// The kernel's.
    pub fn free_kib(&self) -> Result<u64, Refusal> {
        Ok(self.info.machine()?.free_kib)
    }

    /// How many capabilities a process holds.
    ///
    /// # Errors
    /// The kernel's; `NotFound` when there is no such process.
    pub fn handles_of(&self, id: u64) -> Result<u32, Refusal> {
        self.info.processes(id, |results| {
            let list = results.list()?;
            let found = list.iter().find(|process| process.id() == id);
            found
                .map(|process| process.handles())
                .ok_or(Refusal::NotFound)
        })?
    }
}

/// Waits, a millisecond at a time, until `is_done`. `false`: it did not come about within five seconds.
pub fn wait_until(kit: &Kit, is_done: impl FnMut() -> bool) -> bool {
    wait_for(kit, 5000, is_done)
}

/// Waits until something is so, `ms` milliseconds at most; whether it is.
pub fn wait_for(kit: &Kit, ms: u64, mut is_done: impl FnMut() -> bool) -> bool {
    let Ok(end) = kit.after_ms(ms) else {
        return false;
    };
    loop {
        if is_done() {
            return true;
        }
        let late = kit.timer.now().map_or(true, |now| now.ns > end);
        if late || kit.pause_ms(1).is_err() {
            return false;
        }
    }
}

/// The 32-bit word at `address`, as an atomic: for memory that other threads or processes change.
///
/// # Safety
/// `address` is 4-byte aligned, and either mapped for good or meant to fault.
pub unsafe fn memory_word<'a>(address: u64) -> &'a core::sync::atomic::AtomicU32 {
    // SAFETY: by the caller's promise.
    unsafe { core::sync::atomic::AtomicU32::from_ptr(address as *mut u32) }
}

/// The process of a name that lives, if one does.
///
/// # Errors
/// The kernel's.
pub fn process_named(info: &SystemInfo, name: &str) -> Result<Option<u64>, Refusal> {
    let mut from = 0;
    loop {
        let (next, found) = info.processes(from, |results| {
            let mut found = None;
            for process in results.list()?.iter() {
                if process.name()? == name {
                    found = Some(process.id());
                }
            }
            Ok::<_, Refusal>((results.next(), found))
        })??;
        if found.is_some() || next == 0 {
            return Ok(found);
        }
        from = next;
    }
}
