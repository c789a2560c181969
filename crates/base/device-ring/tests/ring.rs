//! The page against lists, and each end against an other end that writes what it likes.
#![cfg(not(any(loom, sabotage)))]

use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::atomic::Ordering;

use device_ring::{
    Broken, Command, Completion, ENTRIES, Full, KernelEnd, Memory, Opcode, ProviderEnd, Unfit,
    WORDS,
};
use proptest::prelude::*;
use ring_abi::Refusal;

/// Words that anybody may write; each is read at most once between two resets.
#[derive(Clone)]
struct Page {
    words: Rc<Vec<Cell<u64>>>,
    reads: Rc<Vec<Cell<u32>>>,
}

impl Page {
    fn new(words: usize) -> Self {
        Self {
            words: Rc::new(vec![Cell::new(0); words]),
            reads: Rc::new(vec![Cell::new(0); words]),
        }
    }
}

impl Memory for Page {
    fn words(&self) -> usize {
        self.words.len()
    }

    fn load(&self, word: usize, _: Ordering) -> u64 {
        self.reads[word].set(self.reads[word].get() + 1);
        self.words[word].get()
    }

    fn store(&self, word: usize, value: u64, _: Ordering) {
        self.words[word].set(value);
    }

    fn fence(&self) {}
}

fn ends() -> (Page, ProviderEnd<Page>, KernelEnd<Page>) {
    let page = Page::new(WORDS);
    let provider = ProviderEnd::new(page.clone()).unwrap();
    let kernel = KernelEnd::new(page.clone()).unwrap();
    (page, provider, kernel)
}

fn command(cookie: u64) -> Command {
    Command {
        cookie,
        opcode: Opcode::Read as u8,
        unit: 1,
        slot: 3,
        generation: 9,
        block: cookie << 4,
        offset: 512,
        length: 4096,
    }
}

/// The first word of the place of command `n`, and where the counts are.
const fn place(n: usize) -> usize {
    16 + n * 4
}
const MADE: usize = 8;
const COMPLETIONS_TAKEN: usize = 272;

#[test]
fn less_than_a_page_is_no_ring() {
    let short = Page::new(400);
    assert_eq!(ProviderEnd::new(short.clone()).err(), Some(Unfit::Memory));
    assert_eq!(KernelEnd::new(short).err(), Some(Unfit::Memory));
}

#[test]
fn an_entry_that_changes_after_it_was_taken_changes_nothing() {
    let (page, mut provider, mut kernel) = ends();
    provider.push(&command(7)).unwrap();
    provider.show();
    let taken = kernel.take().unwrap();
    for word in 0..4 {
        page.words[place(0) + word].set(u64::MAX);
    }
    assert_eq!(taken, Some(command(7)));
    for word in 0..4 {
        assert_eq!(page.reads[place(0) + word].get(), 1, "read once");
    }
}

#[test]
fn counts_that_cannot_be_break_the_ring_and_move_nothing() {
    let (page, mut provider, mut kernel) = ends();
    for made in [u64::from(ENTRIES) + 1, u64::MAX, 1 << 63] {
        page.words[MADE].set(made);
        assert_eq!(kernel.take(), Err(Broken));
    }
    page.words[MADE].set(0);
    provider.push(&command(1)).unwrap();
    provider.show();
    assert_eq!(kernel.take(), Ok(Some(command(1))));
    // Nothing was completed, so nothing can have been taken.
    page.words[COMPLETIONS_TAKEN].set(1);
    assert_eq!(kernel.look_for_room(), Err(Broken));
}

#[test]
fn a_full_half_says_so_and_goes_on_after_a_kick() {
    let (_, mut provider, mut kernel) = ends();
    for cookie in 0..ENTRIES {
        provider.push(&command(cookie.into())).unwrap();
    }
    assert_eq!(provider.push(&command(0)), Err(Full::Full));
    provider.show();
    assert_eq!(kernel.take(), Ok(Some(command(0))));
    kernel.show();
    provider.push(&command(64)).unwrap();

    let done = |cookie| Completion {
        cookie,
        outcome: Ok((0, 0)),
    };
    assert_eq!(kernel.look_for_room(), Ok(ENTRIES));
    for cookie in 0..u64::from(ENTRIES) {
        kernel.push(&done(cookie)).unwrap();
    }
    assert_eq!(kernel.push(&done(99)), Err(Full::Full));
    kernel.show();
    assert_eq!(provider.take(), Ok(Some(done(0))));
    assert_eq!(kernel.look_for_room(), Ok(0));
    provider.give_back();
    assert_eq!(kernel.look_for_room(), Ok(1));
}

#[test]
fn opcodes_have_their_numbers_and_no_others() {
    let known: Vec<_> = (0..=255).filter_map(Opcode::from_number).collect();
    use Opcode::{Discard, Flush, Read, Write, WriteThrough, Zero};
    assert_eq!(known, [Read, Write, Flush, WriteThrough, Discard, Zero]);
    assert!(
        known
            .iter()
            .all(|one| Opcode::from_number(*one as u8) == Some(*one))
    );
    for one in known {
        let has_data = matches!(one, Read | Write | WriteThrough);
        assert_eq!(one.direction().is_some(), has_data, "{one:?}");
        assert_eq!(one.is_clear(), matches!(one, Discard | Zero), "{one:?}");
    }
}

#[test]
fn bare_is_bare_in_every_bit() {
    let bare = Command {
        cookie: 5,
        opcode: Opcode::Flush as u8,
        unit: 1,
        ..Command::default()
    };
    assert!(bare.is_bare());
    for bit in (72..256).filter(|bit| !(80..96).contains(bit)) {
        let mut words = bare.words();
        words[bit / 64] ^= 1 << (bit % 64);
        assert!(!Command::from_words(words).is_bare(), "bit {bit}");
    }
}

proptest! {
    #[test]
    fn every_256_bits_are_a_command(words in any::<[u64; 4]>()) {
        prop_assert_eq!(Command::from_words(words).words(), words);
    }

    #[test]
    fn completions_read_back(cookie: u64, status: u16, result: u32, code in 1u8..=41) {
        for outcome in [Ok((status, result)), Err(Refusal::from_code(code).unwrap())] {
            let one = Completion { cookie, outcome };
            prop_assert_eq!(Completion::from_words(one.words()), one);
        }
    }

    /// Any order of pushes, kicks and takes: each command comes out once and in order, over many turns of the ring.
    #[test]
    fn it_is_two_lists(steps in prop::collection::vec(0u8..6, 1..400)) {
        let (_, mut provider, mut kernel) = ends();
        let (mut made, mut shown, mut flying) = (VecDeque::new(), VecDeque::new(), VecDeque::new());
        let (mut done, mut cookie) = (VecDeque::new(), 0);
        for step in steps {
            match step {
                0 | 1 => for _ in 0..16 {
                    if provider.push(&command(cookie)).is_ok() {
                        made.push_back(cookie);
                        cookie += 1;
                    }
                },
                2 => {
                    provider.show();
                    shown.append(&mut made);
                }
                3 | 4 => {
                    let mut room = kernel.look_for_room().unwrap();
                    while let Some(taken) = kernel.take().unwrap() {
                        prop_assert_eq!(Some(taken.cookie), shown.pop_front());
                        flying.push_back(taken.cookie);
                    }
                    prop_assert!(shown.is_empty());
                    while room > 0 && let Some(cookie) = flying.pop_front() {
                        kernel.push(&Completion { cookie, outcome: Ok((0, 1)) }).unwrap();
                        done.push_back(cookie);
                        room -= 1;
                    }
                    kernel.show();
                }
                _ => {
                    while let Some(one) = provider.take().unwrap() {
                        prop_assert_eq!(Some(one.cookie), done.pop_front());
                    }
                    prop_assert!(done.is_empty());
                    provider.give_back();
                }
            }
        }
    }

    /// Whatever is written anywhere in the page, the kernel's end neither panics nor takes or makes more than there are places.
    #[test]
    fn a_hostile_provider_hurts_only_itself(
        writes in prop::collection::vec((0usize..WORDS, any::<u64>(), 0u64..80, any::<bool>()), 1..60)
    ) {
        let (page, _, mut kernel) = ends();
        for (word, any, small, wild) in writes {
            let word = if wild { word } else { [MADE, COMPLETIONS_TAKEN][word % 2] };
            page.words[word].set(if wild { any } else { small });
            let mut taken = 0;
            while let Ok(Some(_)) = kernel.take() {
                taken += 1;
                prop_assert!(taken <= ENTRIES);
            }
            if let Ok(room) = kernel.look_for_room() {
                prop_assert!(room <= ENTRIES);
                let done = Completion { cookie: 1, outcome: Ok((0, 0)) };
                for _ in 0..room.min(3) {
                    prop_assert!(kernel.push(&done).is_ok());
                }
            }
            kernel.show();
        }
    }
}
