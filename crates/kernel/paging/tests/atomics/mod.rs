//! The atomics of a model. loom takes a sequentially consistent operation for one that acquires and releases; here fences make it
//! what it is.

#[allow(unused_imports, reason = "not every model needs all of them")]
pub use loom::sync::atomic::{AtomicBool, AtomicPtr, Ordering, fence};

/// Does `operation` between two fences, if it is to be sequentially consistent.
fn ordered<R>(order: Ordering, operation: impl FnOnce() -> R) -> R {
    let is_strict = order == Ordering::SeqCst;
    if is_strict {
        fence(Ordering::SeqCst);
    }
    let result = operation();
    if is_strict {
        fence(Ordering::SeqCst);
    }
    result
}

macro_rules! atomic {
    ($name:ident, $value:ty) => {
        #[derive(Debug)]
        pub struct $name(loom::sync::atomic::$name);

        #[allow(dead_code, reason = "not every model needs all of them")]
        impl $name {
            pub fn new(value: $value) -> Self {
                Self(loom::sync::atomic::$name::new(value))
            }
            pub fn load(&self, order: Ordering) -> $value {
                ordered(order, || self.0.load(order))
            }
            pub fn store(&self, value: $value, order: Ordering) {
                ordered(order, || self.0.store(value, order));
            }
            pub fn fetch_or(&self, value: $value, order: Ordering) -> $value {
                ordered(order, || self.0.fetch_or(value, order))
            }
            pub fn fetch_and(&self, value: $value, order: Ordering) -> $value {
                ordered(order, || self.0.fetch_and(value, order))
            }
        }
    };
}

atomic!(AtomicU8, u8);
atomic!(AtomicU32, u32);
atomic!(AtomicU64, u64);
