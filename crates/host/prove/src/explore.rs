//! Every state that can be reached, each once.

use std::collections::{BTreeMap, HashSet};
use std::fmt::{Debug, Write};
use std::hash::{DefaultHasher, Hash, Hasher};

/// What became of an operation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// It was done.
    Done,
    /// The code refused it.
    Refused,
}

impl<T, E> From<&Result<T, E>> for Outcome {
    fn from(result: &Result<T, E>) -> Self {
        match result {
            Ok(_) => Self::Done,
            Err(_) => Self::Refused,
        }
    }
}

/// Production code, and what must be remembered to judge it. What is wrong is a panic.
pub trait Subject {
    /// An operation. Its name up to its arguments is its kind.
    type Op: Copy + Debug;

    /// What may be tried in this state, by whoever uses the code, well or badly.
    fn ops(&self) -> Vec<Self::Op>;

    /// Does it, and judges what it came to.
    fn apply(&mut self, op: Self::Op) -> Outcome;

    /// Judges the state.
    fn check(&self);

    /// Writes down everything that what happens next can depend on.
    fn key(&self, to: &mut String);
}

/// Where an exploration ends that would not end by itself.
#[derive(Clone, Copy, Debug)]
pub struct Most {
    /// Operations in a row.
    pub depth: u16,
}

impl Most {
    /// No end but the code's own: every state that there is.
    pub const ALL: Self = Self { depth: u16::MAX };
}

/// Whether explorations may take a minute (`PROVE=deep`), as those of `cargo xtask prove` may, or seconds.
#[must_use]
pub fn is_deep() -> bool {
    std::env::var_os("PROVE").is_some_and(|value| value == "deep")
}

/// What an exploration came to.
#[derive(Debug)]
pub struct Found {
    /// States, the first one included.
    pub states: usize,
    /// Operations that were tried, each in a state of its own.
    pub transitions: u64,
    /// Operations in a row that lead to the state that is farthest away.
    pub depth: u16,
    /// There are no more states: the end was the code's own.
    pub is_all: bool,
    /// For each kind of operation how often it was done, and refused.
    pub kinds: BTreeMap<String, [u64; 2]>,
}

impl Found {
    /// Says what was found, in the line that `cargo xtask prove` reads.
    pub fn say(&self, subject: &str, widths: &str) {
        let end = match self.is_all {
            true => "all".to_owned(),
            false => format!("to depth {}", self.depth),
        };
        println!(
            "@prove.exhaustive subject={subject} widths=\"{widths}\" states={} transitions={} depth={} end=\"{end}\"",
            self.states, self.transitions, self.depth
        );
    }
}

/// Whether explorations of one subject show anything: each kind of operation was done in one of them.
///
/// # Panics
/// With the name of one that never was.
pub fn each_was_done(subject: &str, found: &[Found]) {
    let mut kinds = BTreeMap::<&str, [u64; 2]>::new();
    for (kind, [done, refused]) in found.iter().flat_map(|found| &found.kinds) {
        let sum = kinds.entry(kind).or_default();
        *sum = [sum[0] + done, sum[1] + refused];
    }
    for (kind, [done, refused]) in kinds {
        assert!(
            done > 0,
            "{subject}: {kind} was never done, and refused {refused} times"
        );
    }
}

/// The name of an operation without its arguments.
pub(crate) fn kind(op: &impl Debug) -> String {
    let mut text = format!("{op:?}");
    let end = text
        .find(|c: char| !c.is_alphanumeric())
        .unwrap_or(text.len());
    text.truncate(end);
    text
}

/// One state: how it was reached first.
#[derive(Clone, Copy)]
struct Node<Op> {
    parent: u32,
    op: Option<Op>,
    depth: u16,
}

/// Prints the way to a state in which something was wrong.
struct Story<'a, Op: Debug> {
    path: &'a [Op],
    op: Op,
}

impl<Op: Debug> Drop for Story<'_, Op> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the shortest way there:");
            for op in self.path {
                eprintln!("  {op:?}");
            }
            eprintln!("  {:?}   <- here", self.op);
        }
    }
}

/// Visits every state that operations lead to, in the order of their distance, and judges each.
///
/// # Panics
/// Where something is wrong, with the shortest way there.
pub fn explore<T: Subject>(start: impl Fn() -> T, most: Most) -> Found {
    explore_in(|with| with(&mut start()), most)
}

/// A subject that lives while somebody uses it.
type User<'a, Op> = &'a mut dyn FnMut(&mut dyn Subject<Op = Op>);

/// As [`explore`], for what borrows from things that `start` makes and takes away again.
///
/// # Panics
/// As [`explore`].
pub fn explore_in<Op: Copy + Debug>(start: impl Fn(User<'_, Op>), most: Most) -> Found {
    let mut walk = Walk {
        nodes: vec![Node {
            parent: 0,
            op: None,
            depth: 0,
        }],
        known: HashSet::new(),
        text: String::new(),
        found: Found {
            states: 1,
            transitions: 0,
            depth: 0,
            is_all: true,
            kinds: BTreeMap::new(),
        },
    };
    start(&mut |first| {
        first.check();
        let key = walk.key_of(first);
        walk.known.insert(key);
    });
    let mut at = 0;
    while let Some(node) = walk.nodes.get(at).copied() {
        if node.depth >= most.depth {
            walk.found.is_all = false;
            break;
        }
        let path = path_to(&walk.nodes, at);
        let mut next = Some(0);
        while let Some(from) = next {
            start(&mut |subject| next = walk.expand(subject, (at, node.depth), &path, from));
        }
        at += 1;
    }
    walk.found
}

/// How far an exploration has come.
struct Walk<Op> {
    nodes: Vec<Node<Op>>,
    known: HashSet<u128>,
    text: String,
    found: Found,
}

impl<Op: Copy + Debug> Walk<Op> {
    fn key_of(&mut self, subject: &dyn Subject<Op = Op>) -> u128 {
        self.text.clear();
        subject.key(&mut self.text);
        // Two hashes of 64 bits: among a million states two that differ look alike once in 2^88 runs.
        let half = |salt: u64| {
            let mut hasher = DefaultHasher::new();
            (salt, self.text.as_str()).hash(&mut hasher);
            u128::from(hasher.finish())
        };
        half(1) << 64 | half(2)
    }

    /// Brings a subject into a state, and tries there what can be tried, from one operation on. Where one has led elsewhere,
    /// gives the number of the next, for a subject that is made anew; `None`: there are no more.
    fn expand(
        &mut self,
        subject: &mut dyn Subject<Op = Op>,
        (at, depth): (usize, u16),
        path: &[Op],
        from: usize,
    ) -> Option<usize> {
        for op in path {
            let _ = subject.apply(*op);
        }
        let here = self.key_of(subject);
        for (number, op) in subject.ops().into_iter().enumerate().skip(from) {
            let story = Story { path, op };
            let outcome = subject.apply(op);
            subject.check();
            drop(story);
            self.found.transitions += 1;
            let count = self.found.kinds.entry(kind(&op)).or_default();
            count[usize::from(outcome == Outcome::Refused)] += 1;
            let there = self.key_of(subject);
            if there == here {
                continue;
            }
            if self.known.insert(there) {
                self.found.states += 1;
                self.found.depth = self.found.depth.max(depth + 1);
                self.nodes.push(Node {
                    parent: at as u32,
                    op: Some(op),
                    depth: depth + 1,
                });
            }
            return Some(number + 1);
        }
        None
    }
}

fn path_to<Op: Copy>(nodes: &[Node<Op>], mut at: usize) -> Vec<Op> {
    let mut path = Vec::new();
    while let Some(op) = nodes[at].op {
        path.push(op);
        at = nodes[at].parent as usize;
    }
    path.reverse();
    path
}

/// Adds what a value says of itself to a key.
pub(crate) fn say(to: &mut String, value: &dyn Debug) {
    let written = write!(to, "{value:?};");
    assert!(written.is_ok(), "a text takes everything");
}
