//! The properties as proofs for Kani: the same functions, whose numbers are symbols.

use crate::properties;
use crate::source::Source;

/// Every number at once.
struct Symbols;

impl Source for Symbols {
    fn any(&mut self) -> u64 {
        kani::any()
    }

    fn below(&mut self, end: u64) -> u64 {
        let number: u64 = kani::any();
        kani::assume(number < end);
        number
    }
}

macro_rules! proofs {
    ($($name:ident),* $(,)?) => {$(
        #[kani::proof]
        #[kani::unwind(6)]
        fn $name() {
            properties::$name(&mut Symbols);
        }
    )*};
}

proofs! {
    handle_parts,
    call_step,
    bell_step,
    command_words,
    queue_kick,
    queue_hostile_producer,
    queue_hostile_consumer,
    prp_three_pages,
}
