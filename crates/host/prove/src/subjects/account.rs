//! Accounts: what is used is what was charged, nothing is given twice, and what ended goes back to whom it came from.

use std::sync::{Arc, Weak};

use account::{Account, Kind, Limits, Opened};

use crate::explore::{Outcome, Subject, say};

const KINDS: [Kind; 2] = [Kind::Memory, Kind::Handles];

/// A tree of accounts.
pub struct Tree {
    nodes: Vec<Node>,
    most: usize,
    unit: u64,
}

struct Node {
    parent: Option<usize>,
    account: Weak<Account>,
    /// The account of the machine is held for good.
    root: Option<Arc<Account>>,
    opened: Option<Opened>,
    limits: [u64; 2],
    /// What was charged to it and not given back.
    own: [u64; 2],
}

impl Node {
    const fn is_ended(&self) -> bool {
        self.opened.is_none() && self.root.is_none()
    }
}

/// What is done with accounts. Amounts are in units.
#[derive(Clone, Copy, Debug)]
pub enum Op {
    /// One is opened below another, with so much memory and so many handles.
    Open(usize, u64, u64),
    /// One pays.
    Charge(usize, usize, u64),
    /// What it paid for is gone.
    GiveBack(usize, usize),
    /// It ends.
    End(usize),
}

impl Tree {
    /// A machine with so many units of memory and handles, and at most so many accounts.
    #[must_use]
    pub fn new(limits: [u64; 2], most: usize, unit: u64) -> Self {
        let limits = limits.map(|units| units.saturating_mul(unit));
        let root = Account::root(&Self::limits(limits));
        let node = Node {
            parent: None,
            account: Arc::downgrade(&root),
            root: Some(root),
            opened: None,
            limits,
            own: [0; 2],
        };
        Self {
            nodes: vec![node],
            most,
            unit,
        }
    }

    fn limits([memory, handles]: [u64; 2]) -> Limits {
        Limits {
            memory,
            handles,
            ..Limits::default()
        }
    }

    fn children(&self, at: usize) -> impl Iterator<Item = usize> + '_ {
        (0..self.nodes.len()).filter(move |child| self.nodes[*child].parent == Some(at))
    }

    /// What an account gave on: to those that live what they were given, to those that ended what they still pay for.
    fn given(&self, at: usize, kind: usize) -> u64 {
        let of = |child: usize| match self.nodes[child].is_ended() {
            true => self.used(child, kind),
            false => self.nodes[child].limits[kind],
        };
        self.children(at).map(of).sum()
    }

    fn used(&self, at: usize, kind: usize) -> u64 {
        self.nodes[at].own[kind] + self.given(at, kind)
    }

    fn has(&self, at: usize, kind: usize, amount: u64) -> bool {
        let sum = self.used(at, kind).checked_add(amount);
        !self.nodes[at].is_ended() && sum.is_some_and(|sum| sum <= self.nodes[at].limits[kind])
    }

    /// Whether somebody must still be able to name it.
    fn lives(&self, at: usize) -> bool {
        !self.nodes[at].is_ended()
            || self.used(at, 0) > 0
            || self.children(at).any(|child| self.lives(child))
    }

    fn open(&mut self, at: usize, limits: [u64; 2]) -> Outcome {
        let limits = limits.map(|units| units * self.unit);
        let can = (0..2).all(|kind| self.has(at, kind, limits[kind]));
        let opened = self.account(at).open(&Self::limits(limits));
        assert_eq!(
            opened.is_ok(),
            can,
            "an account gives what it has, and no more"
        );
        let Ok(opened) = opened else {
            return Outcome::Refused;
        };
        self.nodes.push(Node {
            parent: Some(at),
            account: Arc::downgrade(&opened),
            root: None,
            opened: Some(opened),
            limits,
            own: [0; 2],
        });
        Outcome::Done
    }

    fn account(&self, at: usize) -> Arc<Account> {
        match self.nodes[at].account.upgrade() {
            Some(account) => account,
            None => panic!(
                "account {at} is gone, and {:?} is charged to it",
                self.nodes[at].own
            ),
        }
    }
}

impl Subject for Tree {
    type Op = Op;

    fn ops(&self) -> Vec<Op> {
        let mut ops = Vec::new();
        for at in (0..self.nodes.len()).filter(|at| self.lives(*at)) {
            if self.nodes.len() < self.most {
                let some = [[0, 0], [1, 0], [2, 1], [1, 3], [u64::MAX / self.unit, 0]];
                ops.extend(some.map(|[memory, handles]| Op::Open(at, memory, handles)));
            }
            for kind in 0..2 {
                ops.extend([1, 2, u64::MAX / self.unit].map(|units| Op::Charge(at, kind, units)));
                if self.nodes[at].own[kind] > 0 {
                    ops.push(Op::GiveBack(at, kind));
                }
            }
            if at > 0 {
                ops.push(Op::End(at));
            }
        }
        ops
    }

    fn apply(&mut self, op: Op) -> Outcome {
        match op {
            Op::Open(at, memory, handles) => return self.open(at, [memory, handles]),
            Op::Charge(at, kind, units) => {
                let amount = units * self.unit;
                let taken = self.account(at).take(KINDS[kind], amount);
                assert_eq!(taken.is_ok(), self.has(at, kind, amount), "a limit is kept");
                if taken.is_err() {
                    return Outcome::Refused;
                }
                self.nodes[at].own[kind] += amount;
            }
            Op::GiveBack(at, kind) => {
                self.nodes[at].own[kind] -= self.unit;
                let last = self.account(at).give_back(KINDS[kind], self.unit);
                let expected = self.nodes[at].is_ended() && kind == 0 && self.used(at, 0) == 0;
                assert_eq!(
                    last.is_some(),
                    expected,
                    "the last memory of an ended account is told of, once"
                );
            }
            Op::End(at) => {
                if self.nodes[at].is_ended() {
                    return Outcome::Refused;
                }
                self.nodes[at].opened = None;
            }
        }
        Outcome::Done
    }

    fn check(&self) {
        for (at, node) in self.nodes.iter().enumerate() {
            assert_eq!(
                node.account.strong_count() > 0,
                self.lives(at),
                "account {at} lives as long as it pays"
            );
            let Some(account) = node.account.upgrade() else {
                continue;
            };
            assert_eq!(account.is_ended(), node.is_ended());
            for (kind, which) in KINDS.into_iter().enumerate() {
                let told = account.usage(which);
                let expected = (node.limits[kind], self.used(at, kind), self.given(at, kind));
                assert_eq!(
                    (told.limit, told.used, told.given),
                    expected,
                    "account {at}, {which:?}"
                );
                assert!(told.used <= told.limit, "more is used than there is");
            }
        }
        // Nothing was created or lost: what the machine uses is what was charged anywhere and what lies in open accounts.
        for kind in 0..2 {
            let charged: u64 = self.nodes.iter().map(|node| node.own[kind]).sum();
            let open = (1..self.nodes.len()).filter(|at| !self.nodes[*at].is_ended());
            let idle: u64 = open
                .map(|at| self.nodes[at].limits[kind] - self.used(at, kind))
                .sum();
            assert_eq!(self.used(0, kind), charged + idle);
        }
    }

    fn key(&self, to: &mut String) {
        for node in &self.nodes {
            let account = node.account.upgrade();
            say(to, &(node.parent, node.is_ended(), node.limits, node.own));
            let told =
                account.map(|account| KINDS.map(|kind| (account.usage(kind), account.is_ended())));
            say(to, &told);
        }
    }
}
