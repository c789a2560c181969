//! Who pays for what is allocated.
//!
//! Every allocation names its payer beside itself: the table of frames for runs, the block for the heap. So it is
//! charged once, with what was really taken, until it is given back, and whoever gives it back need not know the payer.

use alloc::sync::Arc;
use core::marker::PhantomData;
use core::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

use account::{Account, Kind};
use cpu::MAX_CPUS;
use ring_abi::Refusal;
use sabotage::sabotage;

#[cfg(sabotage)]
use crate::armed;

static ROOT: AtomicPtr<Account> = AtomicPtr::new(core::ptr::null_mut());
static SOURCE: AtomicPtr<()> = AtomicPtr::new(core::ptr::null_mut());
static CHOSEN: [AtomicPtr<Account>; MAX_CPUS] =
    [const { AtomicPtr::new(core::ptr::null_mut()) }; MAX_CPUS];
/// Bytes that the root account paid for somebody who could not.
static LENT: AtomicU64 = AtomicU64::new(0);

/// Memory that nobody pays for while it is not in use: what the heap keeps, spare stacks.
const NOBODY: *const Account = core::ptr::dangling();

/// Makes `root` pay for all that has no payer of its own: what was allocated before, and what the kernel itself does. The
/// caller has
/// charged it for what is in use already.
pub fn set_root(root: &Arc<Account>) {
    // The root never ends, so it stays.
    ROOT.store(Arc::as_ptr(root).cast_mut(), Ordering::Release);
}

/// Registers how to find the account of what runs on this CPU; null: the root pays.
///
/// # Safety
/// What it returns is null or lives until the CPU runs something else.
pub unsafe fn set_source(f: fn() -> *const Account) {
    SOURCE.store(f as *mut (), Ordering::Release);
}

/// Who pays for one allocation: a name that fits beside it, good for as long as it pays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payer(*const Account);

impl Payer {
    /// Nobody: whoever allocates says so by other means.
    pub(crate) const NOBODY: Self = Self(NOBODY);

    /// Who pays on this CPU now.
    #[inline]
    pub fn current() -> Self {
        let root = Self::root();
        if root.0.is_null() {
            // Early: a CPU may not know its number yet.
            return root;
        }
        let chosen = CHOSEN[cpu::index() % MAX_CPUS].load(Ordering::Relaxed);
        if !chosen.is_null() {
            return Self(chosen);
        }
        let source = SOURCE.load(Ordering::Relaxed);
        if !source.is_null() {
            // SAFETY: only `set_source` stores here, and it stores such a function.
            let source: fn() -> *const Account = unsafe { core::mem::transmute(source) };
            let found = source();
            if !found.is_null() {
                return Self(found);
            }
        }
        root
    }

    /// The root account; before there is one, nobody yet.
    pub fn root() -> Self {
        Self(ROOT.load(Ordering::Relaxed))
    }

    /// Whether this charge or allocation is the one that the sabotage kernel refuses.
    #[cfg(sabotage)]
    pub fn is_refused(self) -> bool {
        armed::is_this_one_at_boot() || (self.is_program() && armed::is_this_one())
    }

    /// Charges `bytes`.
    ///
    /// # Errors
    /// `OverBudget`; nothing is charged then.
    #[inline]
    pub fn take(self, bytes: u64) -> Result<(), Refusal> {
        #[cfg(sabotage)]
        if self.is_refused() {
            return Err(Refusal::OverBudget);
        }
        let Some(account) = self.account() else {
            return Ok(());
        };
        sabotage!(SKIP_QUOTA_CHECK => if self != Self::root() {
            account.take_beyond(Kind::Memory, bytes);
            return Ok(());
        });
        account.take(Kind::Memory, bytes)
    }

    /// Charges `bytes` that cannot be refused: to the root where this payer cannot. Who pays now.
    ///
    /// # Errors
    /// `OverBudget` when the root cannot either.
    #[inline]
    pub fn take_or_lend(self, bytes: u64) -> Result<Self, Refusal> {
        #[cfg(sabotage)]
        if armed::is_this_one_at_boot() {
            return Err(Refusal::OverBudget);
        }
        let paid = match self.account() {
            Some(account) => account.take(Kind::Memory, bytes),
            None => Ok(()),
        };
        if paid.is_ok() {
            Ok(self)
        } else {
            self.lend(bytes)
        }
    }

    #[cold]
    fn lend(self, bytes: u64) -> Result<Self, Refusal> {
        let root = Self::root();
        root.take(bytes)?;
        LENT.fetch_add(bytes, Ordering::Relaxed);
        Ok(root)
    }

    /// Gives back what was taken. What was allocated before there was a root is the root's.
    #[inline]
    pub fn give_back(self, bytes: u64) {
        let payer = if self.0.is_null() { Self::root() } else { self };
        if let Some(account) = payer.account() {
            let gone = account.give_back(Kind::Memory, bytes);
            // The account itself may go now; its name was used for the last time.
            drop(gone);
        }
    }

    #[inline]
    fn account<'a>(self) -> Option<&'a Account> {
        if self.0 == NOBODY {
            return None;
        }
        // SAFETY: the root lives for good; what `set_source` finds lives while it runs; what was chosen is borrowed; and an
        // account that pays for memory lives until that is given back, which happens once.
        unsafe { self.0.as_ref() }
    }

    /// Whether a program caused it: neither the kernel itself nor nobody pays.
    #[cfg(sabotage)]
    pub(crate) fn is_program(self) -> bool {
        self != Self::root() && self != Self::NOBODY
    }

    /// Whom a pointer names that [`Self::as_ptr`] gave.
    pub(crate) const fn of(account: *const Account) -> Self {
        Self(account)
    }

    pub(crate) const fn as_ptr(self) -> *mut Account {
        self.0.cast_mut()
    }

    /// As a word, to keep beside what is paid for.
    pub fn to_word(self) -> u64 {
        self.0.expose_provenance() as u64
    }

    /// From such a word.
    ///
    /// # Safety
    /// It came from [`Self::to_word`], and what that payer pays for was not given back yet.
    pub unsafe fn from_word(word: u64) -> Self {
        Self(core::ptr::with_exposed_provenance(word as usize))
    }
}

/// While it lives, what the task allocates that made it is paid for by somebody chosen, also where it goes on after
/// a switch: see [`put_choice_aside`].
#[derive(Debug)]
#[must_use]
pub struct Paying<'a> {
    before: Choice,
    _account: PhantomData<&'a Account>,
}

/// Whether accounts are kept yet: there is a root.
#[inline]
pub(crate) fn is_accounted() -> bool {
    !ROOT.load(Ordering::Relaxed).is_null()
}

/// Whom the task that runs, or the interrupt that came to it, has chosen to pay; null: nobody.
#[derive(Debug)]
#[must_use]
pub struct Choice(*mut Account);

/// This CPU's choice; none before there is a root, when a CPU may not know its number yet.
#[inline]
fn chosen() -> Option<&'static AtomicPtr<Account>> {
    is_accounted().then(|| &CHOSEN[cpu::index() % MAX_CPUS])
}

/// Puts the choice of what runs on this CPU aside before something else runs on it.
#[inline]
pub fn put_choice_aside() -> Choice {
    let Some(chosen) = chosen() else {
        return Choice(core::ptr::null_mut());
    };
    // Written by this CPU alone.
    let before = chosen.load(Ordering::Relaxed);
    chosen.store(core::ptr::null_mut(), Ordering::Relaxed);
    Choice(before)
}

impl Choice {
    /// Takes up the choice again, on whatever CPU this is by now.
    #[inline]
    pub fn take_up(self) {
        if let Some(chosen) = chosen() {
            chosen.store(self.0, Ordering::Relaxed);
        }
    }
}

fn choose<'a>(account: *const Account) -> Paying<'a> {
    let before = put_choice_aside();
    Choice(account.cast_mut()).take_up();
    Paying {
        before,
        _account: PhantomData,
    }
}

/// Makes `account` pay for what is allocated here.
pub fn paid_by(account: &Arc<Account>) -> Paying<'_> {
    choose(Arc::as_ptr(account))
}

/// Makes the root pay for what is allocated here: what all share, and what belongs to no process.
pub fn paid_by_kernel() -> Paying<'static> {
    choose(ROOT.load(Ordering::Relaxed))
}

/// Makes nobody pay for what is allocated here. Exists only in the sabotage kernel.
#[cfg(sabotage)]
pub fn paid_by_nobody() -> Paying<'static> {
    choose(NOBODY)
}

/// Ends the boot unless the kernel was chosen to pay: an interrupt is not the doing of what it came to. Exists only in the
/// sabotage kernel, for what no figure shows.
#[cfg(sabotage)]
pub fn assert_kernel_pays() {
    let chosen = CHOSEN[cpu::index() % MAX_CPUS].load(Ordering::Relaxed);
    let root = ROOT.load(Ordering::Relaxed);
    assert!(
        chosen == root,
        "an interrupt at the cost of what it came to"
    );
}

impl Drop for Paying<'_> {
    fn drop(&mut self) {
        Choice(self.before.0).take_up();
    }
}

/// Bytes that the root paid for others since the start.
pub fn lent() -> u64 {
    LENT.load(Ordering::Relaxed)
}

/// A charge for memory that is kept elsewhere, and given back with this.
#[derive(Debug)]
pub struct Payment {
    payer: Payer,
    bytes: u64,
}

// SAFETY: the payer lives until the payment is given back, wherever that is.
unsafe impl Send for Payment {}
// SAFETY: as for Send; nothing is reached through a shared payment.
unsafe impl Sync for Payment {}

/// Charges `bytes` to who pays now.
///
/// # Errors
/// `OverBudget`.
pub fn pay(bytes: u64) -> Result<Payment, Refusal> {
    let payer = Payer::current();
    payer.take(bytes)?;
    Ok(Payment { payer, bytes })
}

impl Payment {
    /// Takes `bytes` out: whoever names the payer beside what they are for gives them back.
    pub(crate) fn split(&mut self, bytes: u64) -> Option<Payer> {
        self.bytes = self.bytes.checked_sub(bytes)?;
        Some(self.payer)
    }

    /// Takes back what [`Self::split`] took.
    pub(crate) fn join(&mut self, bytes: u64) {
        self.bytes += bytes;
    }
}

impl Drop for Payment {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.payer.give_back(self.bytes);
        }
    }
}
