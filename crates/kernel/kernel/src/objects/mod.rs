//! The objects that the kernel itself serves.

mod attention;
mod audit;
mod bell;
mod console;
pub mod device;
mod inspect;
mod inspect_firmware;
mod medium;
mod memory;
mod process;
mod queue;
mod system;
mod time;
mod trace;
mod window;

use alloc::sync::{Arc, Weak};

use arrayvec::{ArrayString, ArrayVec};
use ipc::{KernelCall, KernelObject, Object, Process, Slot};
use plain_text::FilterMode;
use sabotage::sabotage;
use stub::{Refusal, Reply};

use crate::acpi::Machine;
use crate::spawn::{Grant, MAX_GRANTS};

/// A reply owed for method `M`.
type Owed<'a, M> = Reply<KernelCall<'a>, M>;

/// What the generated dispatch works on: an object shared by all of its handles.
struct Served<T>(Arc<T>);

/// A kernel object that the generated module `module` serves; `epoch` is a field of it, and `live` a method that says
/// whether it still works. `long`: its methods take looks while they read their parameters. `quick`: its method of that name
/// answers some calls at once, and `finish` does what that left.
macro_rules! kernel_object {
    ($type:ty, $module:ident, quick) => {
        $crate::objects::kernel_object!(@ $type, $module, { usize::MAX }; {
            #[inline]
            fn quick(&self, granted: u64, method: u16, words: &[u64; 4]) -> Option<ipc::Quick> {
                self.epoch.check(granted).ok()?;
                <$type>::quick(self, method, words)
            }
            fn finish(&self) {
                <$type>::finish(self);
            }
        });
    };
    ($type:ty, $module:ident, long from $bytes:expr) => {
        $crate::objects::kernel_object!(@ $type, $module, { $bytes });
    };
    ($type:ty, $module:ident $(, $live:ident)?) => {
        $crate::objects::kernel_object!(@ $type, $module, { usize::MAX } $(, $live)?);
    };
    (@ $type:ty, $module:ident, $long:block $(, $live:ident)? $(; { $($quick:item)* })?) => {
        impl ipc::KernelObject for $type {
            fn interface(&self) -> u64 {
                $module::INTERFACE_ID
            }
            fn epoch(&self) -> &cap::Epoch {
                &self.epoch
            }
            $(fn live(&self) -> Result<(), stub::Refusal> {
                <$type>::$live(self)
            })?
            $($($quick)*)?
            fn long_from(&self) -> usize {
                $long
            }
            fn call(
                self: alloc::sync::Arc<Self>,
                call: ipc::KernelCall<'_>,
                received: stub::Received<'_>,
            ) -> stub::Answered {
                $module::dispatch(&mut super::Served(self), received, call)
            }
            fn as_any(
                self: alloc::sync::Arc<Self>,
            ) -> alloc::sync::Arc<dyn core::any::Any + Send + Sync> {
                self
            }
        }
    };
}
use kernel_object;

/// Prepares what needs the machine.
pub fn initialise(machine: &Machine) {
    console::initialise(machine);
}

/// Handles a device interrupt. `false`: nobody owns the vector.
pub fn on_interrupt(cpu: u16, vector: u8) -> bool {
    console::on_interrupt(cpu, vector) || crate::devices::manager().on_interrupt(cpu, vector)
}

/// Lets go of what waits for a process that has ended.
pub fn forget_ended() {
    time::forget_ended();
}

/// Whom an own capability of a process serves. The process itself can be had in no other way than for its own call: a copy
/// of the handle elsewhere is refused.
struct Owner(Weak<Process>);

impl Owner {
    fn of(process: &Arc<Process>) -> Self {
        Self(Arc::downgrade(process))
    }

    /// The process, for a call of its own.
    fn called_by(&self, caller: &Arc<Process>) -> Result<Arc<Process>, Refusal> {
        self.0
            .upgrade()
            .filter(|own| Arc::ptr_eq(own, caller) || sabotage!(SERVE_STRANGERS))
            .ok_or(Refusal::WrongOwner)
    }
}

/// What `$result` holds, or the refusal of the call that `$reply` is owed to.
macro_rules! or_refuse {
    ($reply:ident, $result:expr) => {
        match $result {
            Ok(value) => value,
            Err(refusal) => return $reply.refuse(refusal),
        }
    };
}
use or_refuse;

/// A new object as a capability, which who pays on this CPU pays for.
///
/// # Errors
/// `OverBudget`, `NoMemory`; the object is dropped then.
fn object<K: KernelObject>(object: K) -> Result<Slot, Refusal> {
    frames::arc(object).map(Object::kernel)
}

/// An object that the kernel makes before there is a process.
#[expect(clippy::disallowed_methods, reason = "boot: nothing else runs yet")]
fn at_boot<K>(object: K) -> Arc<K> {
    Arc::new(object)
}

/// What every process has of its own. Who pays on this CPU pays for it.
///
/// # Errors
/// `OverBudget`, `NoMemory`.
pub fn own(process: &Arc<Process>) -> Result<[Slot; 2], Refusal> {
    Ok([
        object(memory::Memory::of(process))?,
        object(process::Threads::of(process))?,
    ])
}

/// The name under which a process finds an own capability.
pub fn own_name(interface: u64) -> &'static str {
    if interface == schema::process::virtual_memory::INTERFACE_ID {
        "vm"
    } else {
        "threads"
    }
}

/// Everything the kernel has to give, by the names of the manifest's kernel sources.
#[expect(
    clippy::disallowed_methods,
    reason = "boot: what the first process gets"
)]
pub fn for_init() -> ArrayVec<Grant, MAX_GRANTS> {
    let named = [
        (
            "console",
            Object::kernel(console::Console::new(FilterMode::Text)),
        ),
        (
            "rawConsole",
            Object::kernel(console::Console::new(FilterMode::Raw)),
        ),
        ("logSink", Object::kernel(system::LogSink::new())),
        ("logReader", Object::kernel(system::LogReader::new())),
        ("timer", Object::kernel(time::Timer::new())),
        ("entropySource", Object::kernel(time::Entropy::new())),
        ("endpointFactory", Object::kernel(process::Endpoints::new())),
        ("processSpawner", Object::kernel(process::Spawner::new())),
        ("systemInfo", Object::kernel(system::Info::new())),
        ("processControl", Object::kernel(system::Control::new())),
        ("processTracer", Object::kernel(trace::Tracer::new())),
        ("systemControl", Object::kernel(system::Power::new())),
        ("deviceRegistry", Object::kernel(device::Registry::new())),
        ("bootPackage", Object::kernel(system::Package::new())),
        (
            "machineInspector",
            Object::kernel(inspect::Inspector::new()),
        ),
        ("bootMedium", Object::kernel(medium::Medium::new())),
        ("hardwareAuditLog", Object::kernel(audit::Log::new())),
        ("auditGate", Object::kernel(audit::Gate::new())),
        ("auditBroker", Object::kernel(audit::Broker::new())),
    ];
    named
        .into_iter()
        .map(|(name, slot)| Grant {
            name: ArrayString::from(name).unwrap_or_default(),
            interface: slot.interface(),
            slot,
        })
        .take(MAX_GRANTS)
        .collect()
}

/// Exit code of a machine whose first process ended otherwise than by exiting.
const INIT_LOST: u8 = 70;

/// Stops the machine when the first process ends: nothing could start anything any more.
pub fn watch_init(process: &Arc<Process>) {
    process.wait_with(|exit| {
        let how = match exit.kind {
            ipc::End::Exited => crate::power::halt(exit.code as u8),
            ipc::End::Panicked => "panicked",
            ipc::End::Faulted => "faulted",
            ipc::End::Killed => "was killed",
        };
        // Facts may be kept off the line; without this a person would see the machine go for no reason.
        let (text, callers) = exit
            .text()
            .split_once(ring_abi::CALLERS)
            .unwrap_or((exit.text(), ""));
        let text = text.strip_prefix("panicked ").unwrap_or(text);
        let gap = if text.is_empty() { "" } else { ": " };
        crate::panic::say(format_args!(
            "init {how}{gap}{}; nothing can run without it",
            text.escape_debug()
        ));
        if !callers.is_empty() {
            crate::panic::say(format_args!("init backtrace:{}", callers.escape_debug()));
        }
        crate::power::halt(INIT_LOST)
    });
}
