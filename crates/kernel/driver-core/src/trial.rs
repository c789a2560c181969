//! What a test of a broker does in the kernel's place.

use crate::{Broker, BrokerIo, Operation, Poll, Refusal, Step};

/// Looks after which an operation never ends. The kernel's own limit is a time, seconds, which no test should take.
const MOST_LOOKS: u32 = 10_000;

/// Begins an operation and looks until it ends; `device` plays the device before each look, with the registers that the broker
/// has.
///
/// # Errors
/// What the broker refuses it with, or says went wrong.
///
/// # Panics
/// At a broker that ends the operation with another step than [`Operation`] says, as a reset without a proof, or never. The kernel
/// goes by neither: it answers `deviceError` or `timedOut`, and what cannot be reset stays out of use.
pub fn operate(
    broker: &mut dyn Broker,
    io: &mut dyn BrokerIo,
    operation: Operation,
    mut device: impl FnMut(&dyn BrokerIo),
) -> Result<Step, Refusal> {
    broker.begin(io, operation)?;
    for _ in 0..MOST_LOOKS {
        device(io);
        match broker.poll(io) {
            Poll::Pending { .. } => {}
            Poll::Failed(refusal) => return Err(refusal),
            Poll::Done(step) => {
                assert!(
                    is_its_end(operation, step),
                    "{operation:?} ends with {}, and the broker ended it with {step:?}",
                    end(operation)
                );
                return Ok(step);
            }
        }
    }
    panic!("{operation:?} has not ended after {MOST_LOOKS} looks: poll() says Pending for ever");
}

const fn is_its_end(operation: Operation, step: Step) -> bool {
    matches!(
        (operation, step),
        (Operation::Reset, Step::Stopped(_))
            | (Operation::Enable, Step::Ready)
            | (
                Operation::Open(_) | Operation::OpenDirect(_) | Operation::Reopen(_),
                Step::QueueOpen
            )
            | (Operation::Stop(_), Step::QueueStopped(_))
    )
}

/// The step that an operation ends with, as an author writes it.
const fn end(operation: Operation) -> &'static str {
    match operation {
        Operation::Reset => "Step::Stopped and the proof that was read from the device",
        Operation::Enable => "Step::Ready",
        Operation::Open(_) | Operation::OpenDirect(_) | Operation::Reopen(_) => "Step::QueueOpen",
        Operation::Stop(_) => "Step::QueueStopped and the proof that was read from the device",
    }
}
