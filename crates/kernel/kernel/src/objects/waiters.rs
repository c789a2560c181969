//! Calls that wait for a device, each with the type of its answer.

use alloc::sync::Arc;

use device_manager::{Waiter, Waiters};
use dma_ledger::{Claim, QueueId};
use ipc::{Late, Process, Slot, Tie};
use schema::device::{device, device_queue, device_registry, interrupt};
use stub::{Method, Refusal};

use crate::devices::Kernel;

impl Waiters for Kernel {
    type Claiming = Claiming;
    type Acting = Acting;
    type Opening = Opening;
    type Waiting = Waiting;
}

/// `DeviceRegistry.claim`. A claim that nobody takes is released by the object that is made of it here.
#[derive(Debug)]
pub struct Claiming {
    /// The answer.
    pub later: Late<device_registry::call::Claim>,
    /// Makes the object.
    pub object: fn(&Process, Claim) -> Result<Slot, Refusal>,
    /// Where there is nobody to make it for.
    pub release: fn(Claim),
}

impl Waiter<Claim> for Claiming {
    fn is_live(&self) -> bool {
        self.later.is_live()
    }

    fn answer(self, outcome: Result<Claim, Refusal>) -> bool {
        let made = outcome.and_then(|claim| {
            paid_by_caller(&self.later, |caller| (self.object)(caller, claim)).unwrap_or_else(
                || {
                    (self.release)(claim);
                    Err(Refusal::Cancelled)
                },
            )
        });
        let reply = made.map(|device| device_registry::ClaimReply { device });
        self.later.try_answer(reply)
    }
}

/// What is answered with nothing.
#[derive(Debug)]
pub enum Acting {
    /// `Device.reset`.
    Reset(Late<device::call::Reset>),
    /// `Device.enable`.
    Enable(Late<device::call::Enable>),
    /// `DeviceQueue.reset`.
    ResetQueue(Late<device_queue::call::Reset>),
}

impl Waiter<()> for Acting {
    fn is_live(&self) -> bool {
        match self {
            Self::Reset(later) => later.is_live(),
            Self::Enable(later) => later.is_live(),
            Self::ResetQueue(later) => later.is_live(),
        }
    }

    fn answer(self, outcome: Result<(), Refusal>) -> bool {
        match self {
            Self::Reset(later) => later.try_answer(outcome),
            Self::Enable(later) => later.try_answer(outcome),
            Self::ResetQueue(later) => later.try_answer(outcome),
        }
    }
}

/// A claim, and what ends with whoever pays for it.
pub type OfClaim = (Claim, Arc<Tie>);

/// The answer that is owed for a queue.
#[derive(Debug)]
pub enum LaterQueue {
    /// `Device.queue`.
    Queue(Late<device::call::Queue>),
    /// `Device.direct`.
    Direct(Late<device::call::Direct>),
}

/// A queue on its way.
#[derive(Debug)]
pub struct Opening {
    /// The answer.
    pub later: LaterQueue,
    /// Whose queue it will be.
    pub of: OfClaim,
    /// Makes the object.
    pub object: fn(&Process, &OfClaim, QueueId) -> Result<Slot, Refusal>,
    /// Where there is nobody to make it for.
    pub close: fn(&Claim, QueueId),
}

impl Waiter<QueueId> for Opening {
    fn is_live(&self) -> bool {
        match &self.later {
            LaterQueue::Queue(later) => later.is_live(),
            LaterQueue::Direct(later) => later.is_live(),
        }
    }

    fn answer(self, outcome: Result<QueueId, Refusal>) -> bool {
        let Self {
            later,
            of,
            object,
            close,
        } = self;
        let make = |caller: &Process, queue| object(caller, &of, queue);
        let close = |queue| close(&of.0, queue);
        match later {
            LaterQueue::Queue(later) => {
                let made = made(&later, outcome, make, close);
                later.try_answer(made.map(|queue| device::QueueReply { queue }))
            }
            LaterQueue::Direct(later) => {
                let made = made(&later, outcome, make, close);
                later.try_answer(made.map(|queue| device::DirectReply { queue }))
            }
        }
    }
}

/// The object of an open queue, for whoever asked for it; where nobody waits any more the queue is closed.
fn made<M: Method>(
    later: &Late<M>,
    outcome: Result<QueueId, Refusal>,
    make: impl FnOnce(&Process, QueueId) -> Result<Slot, Refusal>,
    close: impl FnOnce(QueueId),
) -> Result<Slot, Refusal> {
    let queue = outcome?;
    paid_by_caller(later, |caller| make(caller, queue)).unwrap_or_else(|| {
        close(queue);
        Err(Refusal::Cancelled)
    })
}

/// `Interrupt.wait`.
#[derive(Debug)]
pub struct Waiting(pub Late<interrupt::call::Wait>);

impl Waiter<u64> for Waiting {
    fn is_live(&self) -> bool {
        self.0.is_live()
    }

    fn answer(self, outcome: Result<u64, Refusal>) -> bool {
        let reply = outcome.map(|dispatches| interrupt::WaitReply { dispatches });
        self.0.try_answer(reply)
    }
}

/// Makes what a call is answered with for its caller and at the caller's cost, in whatever process or interrupt the answer comes.
/// `None`: the caller is gone.
fn paid_by_caller<M: Method, R>(later: &Late<M>, make: impl FnOnce(&Process) -> R) -> Option<R> {
    let caller = later.call().caller()?;
    let _paying = frames::paid_by(caller.account());
    Some(make(&caller))
}
