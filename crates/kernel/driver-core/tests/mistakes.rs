//! What the author of a broker reads in a test who got an operation's end wrong.
#![allow(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests may fail"
)]

use dma_ledger::ResetProof;
use driver_core::{
    Access, Broker, BrokerIo, CommandSlot, Completed, DmaPages, Operation, Poll, QueuePlace,
    Refusal, Registers, Segment, Settings, Step, operate,
};

struct NoDevice;

impl BrokerIo for NoDevice {
    fn registers(&self, _: u8) -> Result<&Registers, Refusal> {
        Err(Refusal::OutOfRange)
    }

    fn pages(&mut self, _: usize) -> Result<DmaPages, Refusal> {
        Err(Refusal::NoMemory)
    }

    fn now_ns(&self) -> u64 {
        1
    }
}

/// Says this whenever it is asked.
struct Says(fn(&dyn BrokerIo) -> Poll, Access);

impl Broker for Says {
    fn access(&self) -> &Access {
        &self.1
    }

    fn configure(&mut self, _: &mut dyn BrokerIo, settings: Settings<'_>) -> Result<(), Refusal> {
        settings.plain()
    }

    fn queue_limit(&self, _: QueuePlace) -> Option<u16> {
        None
    }

    fn begin(&mut self, _: &mut dyn BrokerIo, operation: Operation) -> Result<(), Refusal> {
        match operation {
            Operation::Reset | Operation::Enable => Ok(()),
            _ => Err(Refusal::NotSupported),
        }
    }

    fn poll(&mut self, io: &mut dyn BrokerIo) -> Poll {
        (self.0)(io)
    }

    fn submit(
        &mut self,
        _: &mut dyn BrokerIo,
        _: QueuePlace,
        _: CommandSlot,
        _: &[u8],
        _: &[Segment<'_>],
    ) -> Result<(), Refusal> {
        Err(Refusal::WrongState)
    }

    fn ring(&mut self, _: &mut dyn BrokerIo, _: QueuePlace) {}

    fn next_completion(
        &mut self,
        _: &mut dyn BrokerIo,
        _: QueuePlace,
    ) -> Result<Option<Completed>, Refusal> {
        Ok(None)
    }

    fn completions_taken(&mut self, _: &mut dyn BrokerIo, _: QueuePlace) {}
}

fn asked(operation: Operation, says: fn(&dyn BrokerIo) -> Poll) -> Result<Step, Refusal> {
    operate(
        &mut Says(says, Access::default()),
        &mut NoDevice,
        operation,
        |_| {},
    )
}

#[test]
fn an_operation_that_ends_as_it_should_gives_its_step() {
    let proof = Step::Stopped(ResetProof::ResetBitClear);
    let stopped = |_: &dyn BrokerIo| Poll::Done(Step::Stopped(ResetProof::ResetBitClear));
    assert_eq!(asked(Operation::Reset, stopped), Ok(proof));
    assert_eq!(
        asked(Operation::Enable, |_| Poll::Done(Step::Ready)),
        Ok(Step::Ready)
    );
    let place = QueuePlace { kind: 0, index: 0 };
    let refused = asked(Operation::Stop(place), |_| Poll::Done(Step::Ready));
    assert_eq!(refused, Err(Refusal::NotSupported), "it was not even begun");
}

#[test]
fn registers_that_the_device_does_not_have_are_refused() {
    let looks = |io: &dyn BrokerIo| match io.registers(5) {
        Ok(_) => Poll::Done(Step::Ready),
        Err(refusal) => Poll::Failed(refusal),
    };
    assert_eq!(asked(Operation::Enable, looks), Err(Refusal::OutOfRange));
}

#[test]
#[should_panic(
    expected = "Reset ends with Step::Stopped and the proof that was read from the device, and the broker ended it with Ready"
)]
fn a_reset_without_a_proof_ends_the_test() {
    let _ = asked(Operation::Reset, |_| Poll::Done(Step::Ready));
}

#[test]
#[should_panic(expected = "Enable has not ended after 10000 looks: poll() says Pending for ever")]
fn an_operation_that_never_ends_ends_the_test() {
    let _ = asked(Operation::Enable, |_| Poll::Pending { after_ns: 1 });
}
