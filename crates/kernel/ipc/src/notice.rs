//! Notices that a facet is gone: the place for each was made, and paid for, with the facet.

use alloc::boxed::Box;

use account::Charge;
use ring_abi::{StatusWord, completion_flags};
use sabotage::sabotage;

use crate::Finished;

/// What a server is told of a facet that is gone. The minter pays for it until the server has heard.
#[derive(Debug)]
pub(crate) struct Notice {
    cookie: u64,
    /// What minted the cookie: to a later incarnation it may mean another client.
    minted: u64,
    durable: bool,
    _charge: Charge,
    next: Option<Box<Self>>,
}

impl Notice {
    pub(crate) fn new(cookie: u64, minted: u64, durable: bool, charge: Charge) -> Box<Self> {
        Box::new(Self {
            cookie,
            minted,
            durable,
            _charge: charge,
            next: None,
        })
    }

    /// Whether the server of `incarnation` is to hear it: a cookie of its own, or one that means the same to all.
    pub(crate) const fn is_for(&self, incarnation: u64) -> bool {
        self.durable || self.minted == incarnation
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

/// Notices in the order in which they came. Nothing here needs memory.
#[derive(Debug, Default)]
pub(crate) struct Notices {
    /// The next to be heard first.
    out: Option<Box<Notice>>,
    /// The last that came first.
    came: Option<Box<Notice>>,
}

impl Notices {
    pub(crate) fn push(&mut self, mut notice: Box<Notice>) {
        notice.next = self.came.take();
        self.came = Some(notice);
    }

    #[inline(always)]
    pub(crate) fn pop(&mut self) -> Option<Box<Notice>> {
        if self.out.is_none() {
            self.came.as_ref()?;
            self.turn();
        }
        let mut first = self.out.take()?;
        self.out = first.next.take();
        Some(first)
    }

    /// Takes out those that `is` names, in order; the others stay in theirs.
    pub(crate) fn split_off(&mut self, is: impl Fn(&Notice) -> bool) -> Self {
        let (mut taken, mut kept) = (Self::default(), Self::default());
        while let Some(notice) = self.pop() {
            if is(&notice) {
                taken.push(notice);
            } else {
                kept.push(notice);
            }
        }
        *self = kept;
        taken
    }

    #[cold]
    fn turn(&mut self) {
        while let Some(mut notice) = self.came.take() {
            self.came = notice.next.take();
            notice.next = self.out.take();
            self.out = Some(notice);
        }
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
    use account::{Account, Kind, Limits};

    #[test]
    fn notices_are_heard_in_order_and_paid_for_until_then() {
        let limits = Limits {
            facets: 200_000,
            ..Limits::default()
        };
        let account = Account::root(&limits);
        let mint = |n| Notice::new(n, 0, true, account.charge(Kind::Facets, 1).unwrap());
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
        let mut even = list.split_off(|notice| notice.cookie % 2 == 0);
        for n in (0..10).step_by(2) {
            assert_eq!(even.pop().map(|notice| notice.cookie), Some(n));
            assert_eq!(list.pop().map(|notice| notice.cookie), Some(n + 1));
        }
        assert!(even.pop().is_none() && list.pop().is_none());
        (0..100_000).for_each(|n| list.push(mint(n)));
        drop(list);
        assert_eq!(account.usage(Kind::Facets).used, 0);
    }
}
