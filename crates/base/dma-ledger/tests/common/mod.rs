//! What the tests share: a function brought up as the kernel does it, and a teardown run to its end.
#![allow(dead_code)] // each test file uses a part of it

use dma_ledger::*;

pub type Frames = Vec<u64>;
pub type Record = FunctionRecord<Frames>;

/// Stands for the paging code's receipt.
#[derive(Debug)]
pub struct Shot;
impl ShootdownProof for Shot {}

pub struct Forgotten;
impl TranslationProof for Forgotten {}

pub const LIMITS: Limits = Limits {
    pool_bytes: 64 * PAGE_BYTES,
    broker_bytes: 8 * PAGE_BYTES,
    pools: 4,
    buffers: 32,
    mappings: 16,
    queues: 4,
    contiguous_pages: 4,
};

pub const QUEUE: QueueShape = QueueShape {
    depth: 4,
    segments: 8,
    bytes: 16 * PAGE_BYTES,
};

pub fn shape(address: u32) -> FunctionShape {
    FunctionShape {
        address,
        bar_bytes: [4 * PAGE_BYTES, 0, 0, 0, 256, 0],
        sources: 3,
    }
}

pub fn ledger(functions: u32) -> (Ledger<Record>, Vec<FunctionId>) {
    let mut ledger = Ledger::new();
    let ids = (0..functions)
        .map(|at| ledger.register(shape(at), LIMITS).unwrap())
        .collect();
    (ledger, ids)
}

pub fn one() -> Record {
    let mut all: Ledger<Option<Record>> = Ledger::new();
    let id = all.register(shape(8), LIMITS).unwrap();
    all.get_mut(id).unwrap().take().unwrap()
}

/// Everything that can be observed of a record, for "nothing changed".
pub fn digest(record: &Record) -> String {
    format!("{record:?}")
}

pub fn reset(record: &mut Record, claim: &Claim) -> ResetReceipt {
    record.begin_reset(claim).unwrap();
    let receipt = record.prove_reset(ResetProof::CstsRdyZero).unwrap();
    record.finish_reset(&receipt).unwrap();
    receipt
}

pub fn bring_up(record: &mut Record, owner: u64) -> Claim {
    let claim = record.claim(OwnerId(owner)).unwrap();
    let receipt = reset(record, &claim);
    record.configured(&claim).unwrap();
    record.set_bus_master(&claim, receipt).unwrap();
    record.enabled(&claim).unwrap();
    claim
}

pub fn open_queue(record: &mut Record, claim: &Claim) -> QueueId {
    let queue = record.create_queue(claim, QUEUE).unwrap();
    record.queue_opened(claim, queue).unwrap();
    queue
}

pub fn buffer(record: &mut Record, claim: &Claim, pool: PoolId, pages: u64) -> BufferId {
    let request = BufferRequest {
        bytes: pages * PAGE_BYTES,
        contiguous: false,
    };
    let reservation = record.reserve_buffer(claim, pool, request).unwrap();
    let frames = (0..reservation.pages()).collect();
    record.commit_buffer(reservation, frames).unwrap()
}

pub fn segment(buffer: BufferId, offset: u32, length: u32) -> SegmentRequest {
    SegmentRequest {
        buffer,
        offset,
        length,
        direction: Direction::FromDevice,
    }
}

pub fn submit(
    record: &mut Record,
    claim: &Claim,
    queue: QueueId,
    cookie: u64,
    segments: &[SegmentRequest],
) -> Command {
    let admitted = record.admit(claim, queue, cookie, segments).unwrap();
    record.issue(admitted).unwrap()
}

pub fn quiesced(record: &mut Record, claim: &Claim) -> Teardown<QueuesQuiesced> {
    let token = record.begin_teardown(claim).unwrap();
    let token = record.handles_revoked(token).unwrap();
    let token = record.stop_submissions(token).unwrap();
    let held: Vec<_> = record.mappings().map(|(id, _)| id).collect();
    for id in held {
        record.release_mapping(id).unwrap();
    }
    let token = record.mappings_removed(token, Shot).unwrap();
    let token = record.interrupts_masked(token).unwrap();
    record.queues_quiesced(token).unwrap()
}

/// Returns the frames that came out.
pub fn end(record: &mut Record, token: Teardown<QueuesQuiesced>) -> Vec<Frames> {
    let receipt = record.prove_reset(ResetProof::FlrCompleted).unwrap();
    let (token, _) = record.device_reset(token, receipt).unwrap();
    let token = record
        .bus_master_cleared(token, DrainProof::TransactionsPendingZero)
        .unwrap();
    let token = record.translations_removed(token, Forgotten).unwrap();
    while let Some(pages) = record.next_to_scrub(&token).unwrap() {
        record.put_scrubbed(pages.scrub(|_| ())).unwrap();
    }
    let token = record.scrub_done(token).unwrap();
    let mut out = Vec::new();
    while let Some(frames) = record.frames_to_free(&token).unwrap() {
        out.push(frames);
    }
    record.finish(token).unwrap();
    out
}
