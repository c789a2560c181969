//! A turn at one function: the only way to its lock, and the only way to what is done after it.

use cpu::{Guard, Lock};
use dma_ledger::{FunctionId, FunctionRecord};
use units::Bdf;

use crate::Platform;
use crate::effects::Effects;
use crate::function::Function;
use crate::hardware::Hardware;
use crate::machine::Machine;

/// A function's place in the ledger.
pub(crate) struct Cell<P: Platform>(Lock<Function<P>>);

impl<P: Platform> From<FunctionRecord<P::Frames>> for Cell<P> {
    fn from(record: FunctionRecord<P::Frames>) -> Self {
        Self(Lock::new(Function::new(record)))
    }
}

/// One function: what never changes, and the way to the rest.
pub(crate) struct At<'m, P: Platform> {
    pub(crate) machine: &'m Machine<P>,
    pub(crate) hardware: &'m Hardware,
    id: FunctionId,
    cell: &'m Cell<P>,
}

impl<P: Platform> Clone for At<'_, P> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<P: Platform> Copy for At<'_, P> {}

impl<'m, P: Platform> At<'m, P> {
    #[inline(always)]
    pub(crate) const fn new(
        machine: &'m Machine<P>,
        hardware: &'m Hardware,
        id: FunctionId,
        cell: &'m Cell<P>,
    ) -> Self {
        Self {
            machine,
            hardware,
            id,
            cell,
        }
    }

    /// Locks the function. Inlined wherever it is called, so that a turn that leaves nothing to do costs what its lock does.
    #[inline(always)]
    pub(crate) fn turn(self) -> Turn<'m, P> {
        Turn {
            function: self.cell.0.lock(),
            effects: Effects::new(&self.machine.platform, self.index()),
            at: self,
        }
    }

    pub(crate) const fn index(&self) -> u32 {
        self.id.index()
    }

    pub(crate) const fn bdf(&self) -> Bdf {
        self.hardware.info.bdf
    }
}

/// The function's lock is held. Given back by [`Turn::leave`], or on whatever way it is dropped.
#[must_use]
pub(crate) struct Turn<'m, P: Platform> {
    // Fields are dropped in this order: the lock opens, then the effects run.
    pub(crate) function: Guard<'m, Function<P>>,
    pub(crate) effects: Effects<'m, P>,
    pub(crate) at: At<'m, P>,
}

impl<P: Platform> Turn<'_, P> {
    /// Opens the lock, then does what was left to do.
    #[inline(always)]
    pub(crate) fn leave(self) {}
}
