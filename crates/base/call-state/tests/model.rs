//! The call word against a plain reference model.
#![cfg(not(loom))]

use call_state::{CallState, CallWord, Consumed, Ending, FIRST_GENERATION, LAST_GENERATION, Lost};
use proptest::prelude::*;

#[derive(Clone, Copy, Debug)]
enum Op {
    Begin,
    BeginDelivered,
    Deliver,
    Answer,
    End(Ending),
    Consume,
}

/// The rules written down once more, without atomics and without packing.
struct Model {
    generation: u64,
    state: CallState,
}

impl Model {
    fn apply(&mut self, generation: u64, op: Op) -> Result<Option<Consumed>, Lost> {
        use CallState::{Delivered, Idle, Queued, Retired};
        if generation != self.generation {
            return Err(Lost::Stale);
        }
        let next = match (op, self.state) {
            (Op::Begin, Idle) => Queued,
            (Op::BeginDelivered, Idle) => Delivered,
            (Op::Deliver, Queued) => Delivered,
            (Op::Answer, Delivered) => {
                if self.generation == LAST_GENERATION {
                    Retired
                } else {
                    self.generation += 1;
                    Idle
                }
            }
            (Op::End(Ending::Replied), Delivered) => CallState::Replied,
            (Op::End(Ending::NoReply), Delivered) => CallState::NoReply,
            (Op::End(Ending::ServerDied), Delivered) => CallState::ServerDied,
            (Op::End(Ending::Cancelled), Queued | Delivered) => CallState::Cancelled,
            (Op::End(Ending::TimedOut), Queued | Delivered) => CallState::TimedOut,
            (Op::End(Ending::Revoked), Queued | Delivered) => CallState::Revoked,
            (Op::Consume, state) => match state {
                Idle | Queued | Delivered | Retired => return Err(Lost::State(state)),
                ended => {
                    let last = self.generation == LAST_GENERATION;
                    let next = (!last).then(|| self.generation + 1);
                    self.state = if last { Retired } else { Idle };
                    self.generation = next.unwrap_or(self.generation);
                    return Ok(Some(Consumed {
                        ending: ended.ending().unwrap(),
                        next,
                    }));
                }
            },
            (_, state) => return Err(Lost::State(state)),
        };
        self.state = next;
        Ok(None)
    }
}

fn run(word: &CallWord, generation: u64, op: Op) -> Result<Option<Consumed>, Lost> {
    match op {
        Op::Begin => word.begin(generation).map(|()| None),
        Op::BeginDelivered => word.begin_delivered(generation).map(|()| None),
        Op::Deliver => word.deliver(generation).map(|()| None),
        Op::Answer => word.answer(generation).map(|()| None),
        Op::End(Ending::Replied) => word.reply(generation).map(|()| None),
        Op::End(Ending::Cancelled) => word.cancel(generation).map(|()| None),
        Op::End(Ending::ServerDied) => word.server_died(generation).map(|()| None),
        Op::End(Ending::TimedOut) => word.time_out(generation).map(|()| None),
        Op::End(Ending::NoReply) => word.drop_reply(generation).map(|()| None),
        Op::End(Ending::Revoked) => word.revoke(generation).map(|()| None),
        Op::Consume => word.consume(generation).map(Some),
    }
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => Just(Op::Begin),
        3 => Just(Op::BeginDelivered),
        3 => Just(Op::Deliver),
        2 => Just(Op::Answer),
        2 => prop::sample::select(vec![
            Ending::Replied, Ending::Cancelled, Ending::ServerDied, Ending::TimedOut, Ending::NoReply, Ending::Revoked,
        ]).prop_map(Op::End),
        4 => Just(Op::Consume),
    ]
}

/// Which generation an operation names: mostly the current one, else one far or near.
fn aim() -> impl Strategy<Value = Option<i64>> {
    prop_oneof![8 => Just(None), 1 => (-3i64..3).prop_map(Some), 1 => any::<i64>().prop_map(Some)]
}

proptest! {
    #[test]
    fn agrees_with_the_reference_model(
        start in prop_oneof![Just(FIRST_GENERATION), (LAST_GENERATION - 5)..=LAST_GENERATION],
        ops in proptest::collection::vec((op(), aim()), 1..400),
    ) {
        let word = CallWord::starting_at(start).unwrap();
        let mut model = Model { generation: start, state: CallState::Idle };
        for (op, aim) in ops {
            let generation = aim.map_or(model.generation, |off| model.generation.wrapping_add_signed(off));
            let before = model.generation;
            prop_assert_eq!(run(&word, generation, op), model.apply(generation, op));
            prop_assert_eq!(word.load(), (model.generation, model.state));
            prop_assert!(model.generation >= before);
        }
    }
}

#[test]
fn a_call_goes_through_and_the_object_is_reused() {
    let word = CallWord::new();
    word.begin(1).unwrap();
    assert_eq!(word.reply(1), Err(Lost::State(CallState::Queued)));
    assert_eq!(word.server_died(1), Err(Lost::State(CallState::Queued)));
    word.deliver(1).unwrap();
    word.reply(1).unwrap();
    assert_eq!(word.cancel(1), Err(Lost::State(CallState::Replied)));
    assert_eq!(
        word.consume(1),
        Ok(Consumed {
            ending: Ending::Replied,
            next: Some(2)
        })
    );
    assert_eq!(word.consume(1), Err(Lost::Stale));
    word.begin(2).unwrap();
    assert_eq!(word.reply(1), Err(Lost::Stale));
    assert_eq!(word.load(), (2, CallState::Queued));
}

#[test]
fn the_last_generation_retires_the_object() {
    let word = CallWord::starting_at(LAST_GENERATION).unwrap();
    word.begin(LAST_GENERATION).unwrap();
    word.cancel(LAST_GENERATION).unwrap();
    assert_eq!(
        word.consume(LAST_GENERATION),
        Ok(Consumed {
            ending: Ending::Cancelled,
            next: None
        })
    );
    assert_eq!(
        word.begin(LAST_GENERATION),
        Err(Lost::State(CallState::Retired))
    );
    for generation in [0, 1, LAST_GENERATION + 1, u64::MAX] {
        assert_eq!(word.begin(generation), Err(Lost::Stale));
    }
    assert!(
        CallWord::starting_at(0).is_none() && CallWord::starting_at(LAST_GENERATION + 1).is_none()
    );
}
