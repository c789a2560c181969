//! Notices that a facet is gone: the place for each was made, and paid for, with the facet.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::ptr::null_mut;

use account::Part;
use memory::Keeper;
use ring_abi::{StatusWord, completion_flags};
use sabotage::sabotage;
use schema::process::endpoint::Lifetime;

use crate::finished::Finished;

/// What a server is told of a facet that is gone. The minter pays for it until the server has heard.
#[derive(Debug)]
pub(crate) struct Notice {
    cookie: u64,
    /// What minted the cookie: to a later incarnation it may mean another client.
    minted: u64,
    lifetime: Lifetime,
    /// Charged for the facet, until this goes or the account ends.
    _paid: Arc<dyn Keeper>,
    /// What of a lender's share it is.
    _part: Option<Part>,
    /// The one behind it, where it is in a list.
    next: *mut Self,
}

// SAFETY: `next` stands for a box in the same list, which only who holds the list follows.
unsafe impl Send for Notice {}
// SAFETY: nothing reaches `next` through a shared reference.
unsafe impl Sync for Notice {}

impl Notice {
    #[expect(clippy::disallowed_methods, reason = "room: its facet made it")]
    pub(crate) fn new(
        cookie: u64,
        minted: u64,
        lifetime: Lifetime,
        (paid, part): (Arc<dyn Keeper>, Option<Part>),
    ) -> Box<Self> {
        Box::new(Self {
            cookie,
            minted,
            lifetime,
            _paid: paid,
            _part: part,
            next: null_mut(),
        })
    }

    /// Whether the server of `incarnation` is to hear it: a cookie of its own, or one that means the same to all.
    pub(crate) const fn is_for(&self, incarnation: u64) -> bool {
        matches!(self.lifetime, Lifetime::Durable) || self.minted == incarnation
    }

    /// What the receiver gets.
    pub(crate) fn message(&self, incarnation: u64) -> Finished {
        let earlier = if self.minted == incarnation || sabotage!(NOTICE_TO_SUCCESSOR) {
            0
        } else {
            completion_flags::EARLIER
        };
        Finished {
            status: StatusWord {
                flags: completion_flags::DROPPED | earlier,
                ..StatusWord::default()
            }
            .pack(),
            cookie: self.cookie,
            reply: self.minted,
            ..Finished::default()
        }
    }
}

/// Notices in the order in which they came. Nothing here needs memory, and nothing walks.
#[derive(Debug)]
pub(crate) struct Notices {
    /// The next to be heard; null: none.
    first: *mut Notice,
    /// The one that came last; of no meaning while there is none.
    last: *mut Notice,
}

// SAFETY: the pointers stand for boxes that the list owns.
unsafe impl Send for Notices {}

impl Default for Notices {
    fn default() -> Self {
        Self {
            first: null_mut(),
            last: null_mut(),
        }
    }
}

impl Notices {
    pub(crate) fn push(&mut self, mut notice: Box<Notice>) {
        notice.next = null_mut();
        let notice = Box::into_raw(notice);
        if self.first.is_null() {
            self.first = notice;
        } else {
            // SAFETY: the last of a list that is not empty, which owns it.
            unsafe { (*self.last).next = notice };
        }
        self.last = notice;
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.first.is_null()
    }

    #[inline(always)]
    pub(crate) fn pop(&mut self) -> Option<Box<Notice>> {
        if self.first.is_null() {
            return None;
        }
        // SAFETY: `push` made it of a box, and it leaves the list with this.
        let first = unsafe { Box::from_raw(self.first) };
        self.first = first.next;
        Some(first)
    }
}

impl Drop for Notices {
    /// One by one: a long list would need a long stack.
    fn drop(&mut self) {
        while self.pop().is_some() {}
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use account::{Account, Charge, Kind, Limits};

    #[derive(Debug)]
    struct Paid(Option<Charge>);

    impl Keeper for Paid {
        fn has_ended(&self) -> bool {
            self.0.is_none()
        }
    }

    #[test]
    fn notices_are_heard_in_order_and_paid_for_until_then() {
        let limits = Limits {
            facets: 200_000,
            ..Limits::default()
        };
        let account = Account::root(&limits);
        let mint = |n| {
            Notice::new(
                n,
                0,
                Lifetime::Durable,
                (Arc::new(Paid(account.charge(Kind::Facets, 1).ok())), None),
            )
        };
        let mut list = Notices::default();
        let (mut next, mut heard) = (0, 0);
        for round in 0..200u64 {
            for _ in 0..round % 7 {
                list.push(mint(next));
                next += 1;
            }
            for _ in 0..round % 5 {
                if let Some(notice) = list.pop() {
                    assert_eq!(notice.cookie, heard);
                    heard += 1;
                }
            }
            assert_eq!(account.usage(Kind::Facets).used, next - heard);
        }
        while list.pop().is_some() {}
        (0..10).for_each(|n| list.push(mint(n)));
        for n in 0..10 {
            assert_eq!(list.pop().map(|notice| notice.cookie), Some(n));
        }
        assert!(list.pop().is_none());
        (0..100_000).for_each(|n| list.push(mint(n)));
        drop(list);
        assert_eq!(account.usage(Kind::Facets).used, 0);
    }
}
