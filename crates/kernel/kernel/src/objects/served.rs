//! What the objects that the kernel serves have in common.

use alloc::sync::{Arc, Weak};

use dma_ledger::{Claim, OwnerId};
use ipc::{KernelCall, KernelObject, Object, Process, Slot, Tie};
use sabotage::sabotage;
use stub::{Refusal, Reply};

/// A reply owed for method `M`.
pub(super) type Owed<'a, M> = Reply<KernelCall<'a>, M>;

/// What the generated dispatch works on: an object shared by all of its handles.
pub(super) struct Served<T>(pub(super) Arc<T>);

/// A kernel object that the generated module `module` serves; `epoch` is a field of it, and `live` a method that says
/// whether it still works, `ended` one that says whether the account has ended that paid for it; `tie`: its field of
/// that name says that. `about`: it stands for something, and its method of that name says for what. `long`: its methods take looks while they read their parameters. `quick`: its method of that name
/// answers some calls at once, and `finish` does what that left; `end` ends it. `claimed`: it derives from a claim, and has a
/// `tie`, an `about` and an `end`.
macro_rules! kernel_object {
    ($type:ty, $module:ident, quick $(, $tied:ident)?) => {
        $crate::objects::served::kernel_object!(@ $type, $module, { usize::MAX }; {
            #[inline]
            fn quick(&self, granted: u64, method: u16, words: &[u64; 4]) -> Option<ipc::Quick> {
                self.epoch.check(granted).ok()?;
                <$type>::quick(self, method, words)
            }
            fn finish(&self) {
                <$type>::finish(self);
            }
            $(fn has_ended(&self) -> bool {
                self.$tied.has_ended()
            }
            fn end(&self) {
                <$type>::end(self);
            })?
        });
    };
    ($type:ty, $module:ident, tie) => {
        $crate::objects::served::kernel_object!(@ $type, $module, { usize::MAX }; {
            fn has_ended(&self) -> bool {
                self.tie.has_ended()
            }
        });
    };
    ($type:ty, $module:ident, claimed) => {
        $crate::objects::served::kernel_object!($type, $module, claimed, long from usize::MAX);
    };
    ($type:ty, $module:ident, claimed, long from $bytes:expr) => {
        $crate::objects::served::kernel_object!(@ $type, $module, { $bytes }; {
            fn has_ended(&self) -> bool {
                self.tie.has_ended() && !sabotage::sabotage!(KEEP_ENDED_CLAIMS)
            }
            fn end(&self) {
                if sabotage::sabotage!(KEEP_ENDED_CLAIMS) {
                    return;
                }
                self.epoch.revoke();
                <$type>::end(self);
            }
            fn about(&self) -> ipc::About {
                <$type>::about(self)
            }
        });
    };
    ($type:ty, $module:ident, tie, about) => {
        $crate::objects::served::kernel_object!(@ $type, $module, { usize::MAX }; {
            fn has_ended(&self) -> bool {
                self.tie.has_ended()
            }
            fn about(&self) -> ipc::About {
                <$type>::about(self)
            }
        });
    };
    ($type:ty, $module:ident, about $(, $live:ident $(, $ended:ident)?)?) => {
        $crate::objects::served::kernel_object!(@ $type, $module, { usize::MAX } $(, $live $(, $ended)?)?; {
            fn about(&self) -> ipc::About {
                <$type>::about(self)
            }
        });
    };
    ($type:ty, $module:ident, long from $bytes:expr) => {
        $crate::objects::served::kernel_object!(@ $type, $module, { $bytes });
    };
    ($type:ty, $module:ident $(, $live:ident $(, $ended:ident)?)?) => {
        $crate::objects::served::kernel_object!(@ $type, $module, { usize::MAX } $(, $live $(, $ended)?)?);
    };
    (@ $type:ty, $module:ident, $long:block $(, $live:ident $(, $ended:ident)?)? $(; { $($quick:item)* })?) => {
        impl ipc::KernelObject for $type {
            fn interface(&self) -> u64 {
                $module::INTERFACE_ID
            }
            fn epoch(&self) -> &cap::Epoch {
                &self.epoch
            }
            $(fn live(&self) -> Result<(), stub::Refusal> {
                <$type>::$live(self)
            }
            $(fn has_ended(&self) -> bool {
                <$type>::$ended(self)
            })?)?
            $($($quick)*)?
            fn long_from(&self) -> usize {
                $long
            }
            fn call(
                self: alloc::sync::Arc<Self>,
                call: ipc::KernelCall<'_>,
                received: stub::Received<'_>,
            ) -> stub::Answered {
                $module::dispatch(&mut $crate::objects::served::Served(self), received, call)
            }
            fn as_any(
                self: alloc::sync::Arc<Self>,
            ) -> alloc::sync::Arc<dyn core::any::Any + Send + Sync> {
                self
            }
        }
    };
}
pub(super) use kernel_object;

/// Whom an own capability of a process serves. The process itself can be had in no other way than for its own call: a copy
/// of the handle elsewhere is refused.
pub(super) struct Owner(Weak<Process>);

impl Owner {
    pub(super) fn of(process: &Arc<Process>) -> Self {
        Self(Arc::downgrade(process))
    }

    /// The process, for a call of its own.
    pub(super) fn called_by(&self, caller: &Arc<Process>) -> Result<Arc<Process>, Refusal> {
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
pub(super) use or_refuse;

/// A new object as a capability, which who pays on this CPU pays for.
///
/// # Errors
/// `OverBudget`, `NoMemory`; the object is dropped then.
pub(super) fn object<K: KernelObject>(object: K) -> Result<Slot, Refusal> {
    frames::arc(object).map(Object::kernel)
}

/// A new object that derives from a claim. It ends with whoever's account pays for the claim, and with that of who asked for it.
///
/// # Errors
/// `OverBudget`, `NoMemory`; what `undo` gives back is given back then.
pub(super) fn claimed<K: KernelObject>(
    process: &Process,
    claim: &Claim,
    tie: &Arc<Tie>,
    make: impl FnOnce(Arc<Tie>) -> K,
    undo: impl FnOnce(),
) -> Result<Slot, Refusal> {
    if claim.owner() == OwnerId(process.id) {
        // One tie for all of a claim: most belong to who made it.
        return object(make(tie.clone()));
    }
    process.bank.object(make).inspect_err(|_| undo())
}

/// An object that the kernel makes before there is a process.
#[expect(clippy::disallowed_methods, reason = "boot: nothing else runs yet")]
pub(super) fn at_boot<K>(object: K) -> Arc<K> {
    Arc::new(object)
}
