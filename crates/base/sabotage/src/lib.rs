//! The sabotage points: where the sabotage kernel, the same sources built with `--cfg sabotage`, leaves one thing out
//! when it is chosen by name, to show that a smoke notices.
//!
//! Owns the table of points and the one word that says which of them was chosen.
//!
//! Invariant: never anything but `false` outside a build with `--cfg sabotage`, where this crate holds no changeable
//! state either. A name that is not in the table does not compile, in either build.
//!
//! ```
//! use sabotage::sabotage;
//!
//! # let fits = true;
//! if !fits && !sabotage!(SKIP_LENGTH_CHECK) {
//!     panic!("refused");
//! }
//! ```

#![no_std]
#![forbid(unsafe_code)]

mod table;

use core::fmt;

pub use table::{POINTS, points};

/// One point. Equal only to itself; the constants of [`points`] are all there are.
#[derive(Clone, Copy, Debug)]
pub struct Point {
    index: u16,
    name: &'static str,
    sentence: &'static str,
}

impl Point {
    /// Its name, as `sabotage=` on the kernel's command line takes it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// What is done, or left undone, while it is chosen: one sentence.
    #[must_use]
    pub const fn sentence(&self) -> &'static str {
        self.sentence
    }

    /// Whether it lies in a service. The kernel tells services of such a point and has no use for it itself.
    #[must_use]
    pub fn is_in_service(&self) -> bool {
        let kinds = [
            "service-", "net-", "dhcp-", "http-", "store-", "volume-", "save-", "saves-",
            "capsule-", "desk-", "vault-", "block-", "tls-", "ssh-", "ext-",
        ];
        kinds.iter().any(|kind| self.name.starts_with(kind))
    }

    /// The point of a name, or `None` if there is no such point.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        POINTS.iter().find(|point| point.name == name).copied()
    }
}

impl PartialEq for Point {
    fn eq(&self, other: &Self) -> bool {
        self.index == other.index
    }
}

impl Eq for Point {}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// Whether a point of [`points`] was chosen: `if !fits && !sabotage!(SKIP_LENGTH_CHECK)`.
///
/// `sabotage!(POINT => expression)` is for what production must not even contain: a statement that does the expression
/// if the point was chosen, and whose text a production build throws away.
#[cfg(not(sabotage))]
#[macro_export]
macro_rules! sabotage {
    ($point:ident) => {{
        const _: $crate::Point = $crate::points::$point;
        false
    }};
    ($point:ident => $action:expr) => {{
        const _: $crate::Point = $crate::points::$point;
    }};
}

/// Whether a point of [`points`] was chosen: `if !fits && !sabotage!(SKIP_LENGTH_CHECK)`.
///
/// `sabotage!(POINT => expression)` is for what production must not even contain: a statement that does the expression
/// if the point was chosen, and whose text a production build throws away.
#[cfg(sabotage)]
#[macro_export]
macro_rules! sabotage {
    ($point:ident) => {
        $crate::is_chosen($crate::points::$point)
    };
    ($point:ident => $action:expr) => {
        if $crate::is_chosen($crate::points::$point) {
            $action
        }
    };
}

#[cfg(sabotage)]
mod choice {
    use core::sync::atomic::{AtomicU16, Ordering};

    use super::{POINTS, Point};

    /// The index of the chosen point; 0 is none.
    static CHOSEN: AtomicU16 = AtomicU16::new(0);

    /// Chooses a point, in place of the one before.
    pub fn choose(point: Point) {
        CHOSEN.store(point.index, Ordering::Relaxed);
    }

    /// Whether a point was chosen.
    #[inline]
    #[must_use]
    pub fn is_chosen(point: Point) -> bool {
        CHOSEN.load(Ordering::Relaxed) == point.index
    }

    /// The point that was chosen.
    #[must_use]
    pub fn chosen() -> Option<Point> {
        POINTS.iter().copied().find(|point| is_chosen(*point))
    }
}

#[cfg(sabotage)]
pub use choice::{choose, chosen, is_chosen};
