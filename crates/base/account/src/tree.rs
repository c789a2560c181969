//! Accounts in a tree: each is given what its parent has left.

use alloc::sync::Arc;
use core::ops::Deref;

use ring_abi::Refusal;
use sabotage::sabotage;
use spin::Mutex;

use crate::meter::Meter;
use crate::pot::{After, Pot};
use crate::{Bucket, Charge, KINDS, Kind, Limits};

/// How many accounts there may be from the root to an account: what ends passes through all of them.
pub const MAX_DEPTH: u8 = 32;

/// How much of one kind an account has and uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Use {
    /// What it was given.
    pub limit: u64,
    /// What it uses, given on included.
    pub used: u64,
    /// What it gave to accounts below and has not got back: of those that live what they were given, of those that
    /// ended what they still pay for.
    pub given: u64,
}

impl Use {
    /// What it uses itself.
    #[must_use]
    pub const fn own(&self) -> u64 {
        self.used.saturating_sub(self.given)
    }

    /// What it may still use.
    #[must_use]
    pub const fn left(&self) -> u64 {
        self.limit.saturating_sub(self.used)
    }
}

/// An account. It exists for as long as it pays for memory, whoever else has forgotten it.
#[derive(Debug)]
pub struct Account {
    parent: Option<Arc<Self>>,
    pots: [Pot; KINDS.len()],
    priority: u8,
    depth: u8,
    /// CPU time, in ticks of the clock: its own, and that of accounts below that have ended.
    spent: Meter,
    below: Meter,
    /// What bounds its CPU time, and whether that is its own alone.
    bucket: Option<Arc<Bucket>>,
    has_own_bucket: bool,
    /// The account itself, from its opening until it has ended and pays for no memory: what pays may name it without
    /// counting.
    anchor: Mutex<Option<Arc<Self>>>,
}

impl Account {
    /// Makes the root of a tree, out of nothing: the machine. It never ends.
    #[must_use]
    pub fn root(limits: &Limits) -> Arc<Self> {
        // The machine has all the time there is.
        let root = Self::build(None, limits, None);
        *root.anchor.lock() = Some(root.clone());
        root
    }

    fn build(parent: Option<Arc<Self>>, limits: &Limits, own: Option<Arc<Bucket>>) -> Arc<Self> {
        let depth = parent.as_ref().map_or(0, |p| p.depth + 1);
        let has_own_bucket = own.is_some();
        let above = || parent.as_ref().and_then(|p| p.bucket.clone());
        let bucket = own.or_else(above);
        Arc::new(Self {
            parent,
            bucket,
            has_own_bucket,
            pots: KINDS.map(|kind| Pot::new(limits.of(kind))),
            priority: limits.priority,
            depth,
            spent: Meter::default(),
            below: Meter::default(),
            anchor: Mutex::new(None),
        })
    }

    /// Opens an account below this one, out of its own.
    ///
    /// # Errors
    /// `OverBudget` for more of anything than is left, a higher priority than its own, or a tree too deep; nothing is
    /// taken then.
    pub fn open(self: &Arc<Self>, limits: &Limits) -> Result<Opened, Refusal> {
        if limits.priority > self.priority || self.depth >= MAX_DEPTH {
            return Err(Refusal::OverBudget);
        }
        let own = match limits.cpu {
            0 => None,
            cpu => Some(Bucket::open(self.bucket.as_ref(), cpu)?),
        };
        for (at, kind) in KINDS.iter().enumerate() {
            if let Err(refusal) = self.take(*kind, limits.of(*kind)) {
                for taken in &KINDS[..at] {
                    drop(self.give_back(*taken, limits.of(*taken)));
                }
                own.inspect(|own| own.end());
                return Err(refusal);
            }
        }
        for kind in KINDS {
            self.pot(kind).note_given(limits.of(kind));
        }
        let child = Self::build(Some(self.clone()), limits, own);
        *child.anchor.lock() = Some(child.clone());
        Ok(Opened(child))
    }

    const fn pot(&self, kind: Kind) -> &Pot {
        &self.pots[kind as usize]
    }

    /// Takes `amount` of a kind; [`Self::give_back`] gives it back.
    ///
    /// # Errors
    /// `OverBudget` beyond its limit, or when it has ended; nothing is taken then.
    #[inline]
    pub fn take(&self, kind: Kind, amount: u64) -> Result<(), Refusal> {
        self.pot(kind).take(amount)
    }

    /// Takes whatever the limit. Exists only in the sabotage kernel, where it shows that the smokes notice a limit that
    /// nobody keeps.
    #[cfg(sabotage)]
    pub fn take_beyond(&self, kind: Kind, amount: u64) {
        self.pot(kind).take_beyond(amount);
    }

    /// Gives back what [`Self::take`] took. If the account has ended, its parent has it.
    ///
    /// `Some`: the account has ended and this was the last memory it paid for. What is returned is the last that holds
    /// it, unless somebody counts: who named it without counting lets go of the name first.
    #[inline]
    pub fn give_back(&self, kind: Kind, amount: u64) -> Option<Arc<Self>> {
        match self.pot(kind).give_back(amount) {
            After::Open => None,
            After::Ended { last } => {
                if !(sabotage!(FORGIVE_ENDED) && kind as usize == Kind::Memory as usize) {
                    self.pass_on(kind, amount);
                }
                (last && kind as usize == Kind::Memory as usize)
                    .then(|| self.anchor.lock().take())?
            }
        }
    }

    /// Gives `amount` back to the parent, and on from there while accounts have ended.
    fn pass_on(&self, kind: Kind, amount: u64) {
        let mut next = self.parent.as_ref();
        while let Some(account) = next {
            account.pot(kind).note_returned(amount);
            match account.pot(kind).give_back(amount) {
                After::Open => break,
                After::Ended { last } => {
                    if last && kind as usize == Kind::Memory as usize {
                        // The account below still holds it.
                        drop(account.anchor.lock().take());
                    }
                }
            }
            next = account.parent.as_ref();
        }
    }

    /// Charges `amount` of a kind for as long as the value lives.
    ///
    /// # Errors
    /// As for [`Self::take`].
    pub fn charge(self: &Arc<Self>, kind: Kind, amount: u64) -> Result<Charge, Refusal> {
        Charge::new(self, kind, amount)
    }

    /// Counts CPU time that it used. Any CPU may, at any time.
    #[inline]
    pub fn spend(&self, ticks: u64) {
        if self.spent.add(ticks) {
            self.tell_parent(ticks);
        }
    }

    /// Time that an ended account used is its parent's, and so on while accounts have ended.
    #[cold]
    fn tell_parent(&self, ticks: u64) {
        let mut next = self.parent.as_ref();
        while let Some(account) = next {
            if !account.below.add(ticks) {
                break;
            }
            next = account.parent.as_ref();
        }
    }

    /// CPU time that it used itself so far, in ticks.
    #[must_use]
    pub fn spent(&self) -> u64 {
        self.spent.sum()
    }

    /// CPU time that accounts below it used which have ended, in ticks.
    #[must_use]
    pub fn spent_below(&self) -> u64 {
        self.below.sum()
    }

    /// Ends the account. What it does not use is its parent's.
    fn end(&self) {
        let spent = self.spent.end() + self.below.end();
        if spent > 0 {
            self.tell_parent(spent);
        }
        if let (Some(bucket), true) = (&self.bucket, self.has_own_bucket) {
            bucket.end();
        }
        for kind in KINDS {
            let Some((left, last)) = self.pot(kind).end() else {
                continue;
            };
            let forgiven = sabotage!(FORGIVE_ENDED) && kind as usize == Kind::Memory as usize;
            let left = left + if forgiven { self.usage(kind).own() } else { 0 };
            if left > 0 {
                self.pass_on(kind, left);
            }
            if last && kind as usize == Kind::Memory as usize {
                // Whoever ends it holds it.
                drop(self.anchor.lock().take());
            }
        }
    }

    /// Whether it has ended.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        self.pot(Kind::Memory).is_ended()
    }

    /// How much of a kind it has and uses. Exact while nothing is charged or given back meanwhile.
    #[must_use]
    pub fn usage(&self, kind: Kind) -> Use {
        let pot = self.pot(kind);
        Use {
            limit: pot.limit(),
            used: pot.used(),
            given: pot.given(),
        }
    }

    /// What bounds the CPU time of its threads; `None`: nothing.
    #[must_use]
    pub const fn bucket(&self) -> Option<&Arc<Bucket>> {
        self.bucket.as_ref()
    }

    /// The highest priority it may give a thread.
    #[must_use]
    pub const fn priority(&self) -> u8 {
        self.priority
    }

    /// The account it was opened from.
    #[must_use]
    pub const fn parent(&self) -> Option<&Arc<Self>> {
        self.parent.as_ref()
    }
}

/// An open account, which ends when this is dropped.
#[derive(Debug)]
pub struct Opened(Arc<Account>);

impl Opened {
    /// Ends the account, which has its effect once.
    pub fn end(&self) {
        self.0.end();
    }
}

impl Deref for Opened {
    type Target = Arc<Account>;
    fn deref(&self) -> &Arc<Account> {
        &self.0
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.0.end();
    }
}
