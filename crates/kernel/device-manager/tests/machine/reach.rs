//! A domain below a unit.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use device_manager::{Access, Reach, Refusal, Saying};
use dma_ledger::TranslationProof;
use units::Bdf;

use super::platform::FakeFrames;

/// A domain, as far as the manager knows one.
#[derive(Clone, Default)]
pub struct FakeReach(Arc<ReachState>);

#[derive(Default)]
struct ReachState {
    translated: bool,
    ended: AtomicBool,
    /// The unit does not answer any more.
    stuck: AtomicBool,
    /// Tables that are left to free, and runs that are mapped.
    tables: AtomicU32,
    runs: AtomicU32,
    /// Its books do not agree.
    differs: AtomicBool,
    closed: Mutex<Option<u64>>,
    said: Mutex<Option<Saying>>,
}

pub struct FakeForgotten;
impl TranslationProof for FakeForgotten {}

impl FakeReach {
    #[expect(
        clippy::fn_params_excessive_bools,
        reason = "as the field that it becomes"
    )]
    pub fn new(translated: bool) -> Self {
        Self(Arc::new(ReachState {
            translated,
            ..ReachState::default()
        }))
    }

    pub fn stick(&self) {
        self.0.stuck.store(true, Ordering::SeqCst);
    }

    pub fn runs(&self) -> u32 {
        self.0.runs.load(Ordering::SeqCst)
    }

    pub fn is_ended(&self) -> bool {
        self.0.ended.load(Ordering::SeqCst)
    }

    /// Something else is in its tables than was written.
    pub fn falsify(&self) {
        self.0.differs.store(true, Ordering::SeqCst);
    }

    /// Pages that were left at the end of the claim, where that was stated.
    pub fn closed(&self) -> Option<u64> {
        *self.0.closed.lock().unwrap()
    }

    /// Whether it might be said last whether it confines the function.
    pub fn said(&self) -> Option<Saying> {
        *self.0.said.lock().unwrap()
    }

    fn answers(&self) -> Result<FakeForgotten, Refusal> {
        match self.0.stuck.load(Ordering::SeqCst) {
            true => Err(Refusal::DeviceError),
            false => Ok(FakeForgotten),
        }
    }
}

impl Reach<FakeFrames> for FakeReach {
    type Proof = FakeForgotten;

    fn map(&self, frames: &mut FakeFrames, _: Access) -> Result<(), Refusal> {
        if self.is_ended() {
            return Err(Refusal::Revoked);
        }
        assert!(!frames.mapped.swap(true, Ordering::SeqCst), "mapped twice");
        frames.domain = Some(self.clone());
        self.0.runs.fetch_add(1, Ordering::SeqCst);
        self.0.tables.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    fn unmap(&self, frames: &FakeFrames) -> Result<FakeForgotten, Refusal> {
        if frames.domain.is_none() {
            return Ok(FakeForgotten);
        }
        let forgotten = self.answers()?;
        assert!(frames.mapped.swap(false, Ordering::SeqCst), "not mapped");
        self.0.runs.fetch_sub(1, Ordering::SeqCst);
        Ok(forgotten)
    }

    fn end(&self) -> Result<FakeForgotten, Refusal> {
        self.0.ended.store(true, Ordering::SeqCst);
        self.answers()
    }

    fn confines(
        &self,
        _: (Bdf, u64),
        runs: [&FakeFrames; 2],
        saying: Saying,
    ) -> Result<(), Refusal> {
        *self.0.said.lock().unwrap() = Some(saying);
        let reached = |run: &FakeFrames| run.mapped.load(Ordering::SeqCst);
        match self.0.translated && runs.into_iter().all(reached) {
            true => Ok(()),
            false => Err(Refusal::NotSupported),
        }
    }

    fn is_translated(&self) -> bool {
        self.0.translated
    }

    fn shed(&self) -> bool {
        assert!(self.is_ended(), "tables freed under the unit");
        let tables = &self.0.tables;
        let less = |count: u32| count.checked_sub(1);
        tables
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, less)
            .is_ok()
    }

    fn agrees(&self, _: u64) -> bool {
        !self.0.differs.load(Ordering::SeqCst)
    }

    fn close(&self, pages: u64) {
        assert!(self.is_ended());
        assert_eq!(self.0.tables.load(Ordering::SeqCst), 0, "tables are left");
        *self.0.closed.lock().unwrap() = Some(pages);
    }
}
