//! What a case is run on, and what comes of it.

use std::fmt::Debug;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Result, ensure};
use save_bridge::serve::Store;
use save_core::{
    Anchors, Facet, Key, LedgerName, Limits, Name, Profile, Refusal, RetryKey, Scope, Tenant,
    Writer,
};

use crate::Proxy;

/// Makes a way to the store, through the proxy.
pub type Maker = Box<dyn Fn() -> Store + Send + Sync>;

/// A store under test.
pub struct Rig {
    /// A way to it.
    pub make: Maker,
    /// What stands before it; nothing before a store in this process.
    pub proxy: Option<Proxy>,
    /// Where a write's condition stands.
    pub conditions: Conditions,
    drawn: AtomicU64,
    start: u128,
}

/// Where a condition stands, for a proxy that takes it off.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Conditions {
    /// In a header or the address.
    InHead,
    /// There, and under a signature that is checked.
    Signed,
    /// In the body.
    InBody,
}

/// Fewer versions and shorter pages, so that the ends are met.
pub const LIMITS: Limits = Limits {
    kept_versions: 3,
    page: 3,
    ..Limits::USUAL
};

impl Rig {
    /// A store, reached through a proxy.
    #[must_use]
    pub fn new(make: Maker, proxy: Option<Proxy>, conditions: Conditions) -> Self {
        Self {
            make,
            proxy,
            conditions,
            drawn: AtomicU64::new(0),
            start: save_bridge::random::random().unwrap_or(1),
        }
    }

    fn draw(&self) -> [u8; 16] {
        let drawn = self.drawn.fetch_add(1, Ordering::Relaxed);
        self.start.wrapping_add(drawn.into()).to_le_bytes()
    }

    /// A tenant that nobody else has.
    pub fn scope(&self) -> Scope {
        Scope {
            tenant: Tenant(self.draw()),
            profile: Profile([7; 16]),
        }
    }

    /// A retry key that nobody else has.
    pub fn call(&self) -> RetryKey {
        RetryKey(self.draw())
    }

    /// A facet that has seen nothing.
    pub fn facet(&self, scope: Scope) -> Facet<Store> {
        self.facet_by(
            scope,
            Writer {
                schema: 1,
                epoch: 1,
            },
        )
    }

    /// A facet of that writer.
    pub fn facet_by(&self, scope: Scope, writer: Writer) -> Facet<Store> {
        Facet::mint((self.make)(), scope, LIMITS, writer, Anchors::default())
    }

    /// Lets everything through again.
    pub fn heal(&self) {
        if let Some(proxy) = &self.proxy {
            proxy.heal();
        }
    }
}

/// A name that is one.
pub fn name(text: &str) -> Name {
    Name::new(text).expect("it is a name")
}

/// The record of most cases.
pub fn key() -> Key {
    Key::checkpoint(name("slot-1"))
}

/// The ledger of most cases.
pub fn ledger() -> LedgerName {
    LedgerName(name("trades"))
}

/// Makes a call until it is answered, as an application does.
///
/// # Errors
/// What is not answered by asking again.
pub fn until<T>(mut work: impl FnMut() -> Result<T, Refusal>) -> Result<T, Refusal> {
    let mut last = Refusal::Damaged;
    for _ in 0..40 {
        match work() {
            Err(refusal @ Refusal::Unavailable { .. }) => last = refusal,
            end => return end,
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    Err(last)
}

/// One question to a store.
#[derive(Clone, Copy)]
pub struct Case {
    /// What it is called.
    pub name: &'static str,
    /// Fails if the store does not do what it should.
    pub run: fn(&Rig) -> Result<()>,
    /// What it needs.
    pub needs: Needs,
}

/// What a case cannot do without.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Needs {
    /// A store.
    Store,
    /// A store behind a proxy.
    Proxy,
}

/// How a case ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// As it should.
    Passed,
    /// Otherwise.
    Failed(String),
    /// It was not run.
    Untested,
}

/// How many ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// As they should.
    pub passed: usize,
    /// Otherwise.
    pub failed: usize,
    /// Not run.
    pub untested: usize,
    /// Failed, and known to fail on that server.
    pub known: usize,
}

impl Tally {
    /// Adds another's.
    pub const fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.untested += other.untested;
        self.known += other.known;
    }
}

/// How much of the suite.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Length {
    /// Each fault once, at the first requests of a call.
    Short,
    /// All.
    Whole,
}

/// Runs cases and says how each ended. Those in `known` may fail.
pub fn run(
    rig: &Rig,
    cases: &[Case],
    known: &[&str],
    mut tell: impl FnMut(&Case, &Outcome),
) -> Tally {
    let mut tally = Tally::default();
    for case in cases {
        let outcome = match case.needs == Needs::Proxy && rig.proxy.is_none() {
            true => Outcome::Untested,
            false => match (case.run)(rig) {
                Ok(()) => Outcome::Passed,
                Err(error) => Outcome::Failed(format!("{error:#}")),
            },
        };
        rig.heal();
        match outcome {
            Outcome::Passed => tally.passed += 1,
            Outcome::Failed(_) if known.contains(&case.name) => tally.known += 1,
            Outcome::Failed(_) => tally.failed += 1,
            Outcome::Untested => tally.untested += 1,
        }
        tell(case, &outcome);
    }
    tally
}

/// Fails unless both are the same.
///
/// # Errors
/// One that shows both.
pub fn same<T: PartialEq + Debug>(found: T, wanted: T) -> Result<()> {
    ensure!(found == wanted, "{found:?}, not {wanted:?}");
    Ok(())
}
