//! Tests of the engine, which plans what a disk is asked.

use super::super::retry::MAX_RETRIES;
use super::*;

/// A disk that there is not, whose blocks begin at 1000. Status 0 is success.
#[derive(Clone, Copy, Debug)]
struct Plain;

impl Commands for Plain {
    fn unit(&self) -> u16 {
        3
    }

    fn block(&self, block: u64) -> Option<u64> {
        block.checked_add(1000)
    }

    fn is_success(&self, status: u16) -> bool {
        status == 0
    }

    fn is_final(&self, status: u16) -> bool {
        status & FINAL != 0
    }
}

/// The device says that it would fail again.
const FINAL: u16 = 1 << 14;

const BINDING: Binding = Binding {
    slot: 9,
    generation: 99,
};

const DISK: Geometry = Geometry {
    blocks: 100_000,
    block_shift: 9,
    command_blocks: 256,
    read_only: false,
    write_cache: true,
    zero_blocks: 65_536,
    discard_blocks: 1 << 21,
};

fn request(operation: Operation, block: u64, blocks: u32, offset: u32) -> Request {
    Request {
        operation,
        session: 7,
        unit: 0,
        binding: BINDING,
        block,
        blocks,
        offset,
    }
}

fn accept(engine: &mut Engine<Plain, u32>, request: Request, token: u32) {
    engine.accept(request, request.blocks * 512, token).unwrap();
}

#[test]
fn long_requests_are_cut_and_answered_once() {
    let mut engine = Engine::new(Vec::from([(Plain, DISK)]), 64);
    accept(&mut engine, request(Operation::Read, 10, 600, 4096), 1);
    let planned: Vec<Command> = core::iter::from_fn(|| engine.plan()).collect();
    let cut: Vec<_> = planned
        .iter()
        .map(|p| {
            assert_eq!((p.binding(), p.unit), (BINDING, 3));
            (p.block - 1000, p.offset, p.length)
        })
        .collect();
    let (k, half) = (131_072, 45_056);
    assert_eq!(
        cut,
        [(10, 4096, k), (266, 4096 + k, k), (522, 4096 + 2 * k, half)]
    );
    assert_eq!(engine.in_flight(), 3);
    assert!(engine.done(planned[2].cookie, Ok(0)).is_none());
    assert!(engine.done(planned[0].cookie, Ok(0)).is_none());
    let finished = engine.done(planned[1].cookie, Ok(0)).unwrap();
    assert_eq!(
        (finished.token, finished.session, finished.result),
        (1, 7, Ok(307_200))
    );
    assert!(engine.done(planned[1].cookie, Ok(0)).is_none(), "not twice");
    assert_eq!(engine.in_flight(), 0);
}

#[test]
fn each_unit_has_a_shape_of_its_own() {
    let large = Geometry {
        block_shift: 12,
        command_blocks: 2,
        ..DISK
    };
    let mut engine = Engine::new(Vec::from([(Plain, DISK), (Plain, large)]), 64);
    for unit in [0, 1] {
        let request = Request {
            unit,
            ..request(Operation::Read, 0, 4, 0)
        };
        engine.accept(request, 0, 1).unwrap();
    }
    let lengths: Vec<u32> = core::iter::from_fn(|| engine.plan())
        .map(|planned| planned.length)
        .collect();
    assert_eq!(lengths, [2048, 8192, 8192]);
    assert_eq!(engine.geometry(1).map(|g| g.block_shift), Some(12));
    assert!(engine.geometry(2).is_none());
}

#[test]
fn the_depth_holds_and_the_rest_waits() {
    let mut engine = Engine::new(Vec::from([(Plain, DISK)]), 2);
    accept(&mut engine, request(Operation::Read, 0, 1024, 0), 1);
    accept(&mut engine, request(Operation::Write, 5, 1, 0), 2);
    let (a, b) = (engine.plan().unwrap(), engine.plan().unwrap());
    assert!(engine.plan().is_none());
    assert!(engine.done(a.cookie, Ok(0)).is_none());
    let c = engine.plan().unwrap();
    assert!(engine.done(b.cookie, Ok(0)).is_none());
    let d = engine.plan().unwrap();
    assert!(engine.done(c.cookie, Ok(0)).is_none());
    let write = engine.plan().unwrap();
    assert_eq!(write.opcode, Opcode::Write as u8);
    assert_eq!(engine.done(d.cookie, Ok(0)).unwrap().token, 1);
    assert_eq!(engine.done(write.cookie, Ok(0)).unwrap().result, Ok(512));
}

#[test]
fn a_failure_ends_the_request_but_not_before_its_commands() {
    let mut engine = Engine::new(Vec::from([(Plain, DISK)]), 2);
    accept(&mut engine, request(Operation::Read, 0, 2048, 0), 1);
    accept(&mut engine, request(Operation::Flush, 0, 0, 0), 2);
    let (a, b) = (engine.plan().unwrap(), engine.plan().unwrap());
    let media = 0x281 | FINAL;
    assert!(
        engine.done(a.cookie, Ok(media)).is_none(),
        "b still writes the window"
    );
    let flush = engine.plan().unwrap();
    assert!(flush.is_bare() && flush.opcode == Opcode::Flush as u8);
    assert!(engine.done(b.cookie, Ok(0)).is_none());
    // It looks for the block, and the device goes away.
    let half = engine.plan().unwrap();
    let finished = engine.done(half.cookie, Err(Refusal::Revoked)).unwrap();
    assert_eq!(finished.result, Err(Refusal::DeviceError));
    let refused = finished.refused.unwrap();
    assert_eq!((refused.status, refused.blocks), (media, 2048));
    assert_eq!(engine.done(flush.cookie, Ok(0)).unwrap().result, Ok(0));
}

/// Whether the device listens to its bit for durable writes is not asked.
#[test]
fn a_durable_write_is_flushed_behind() {
    let mut engine = Engine::new(Vec::from([(Plain, DISK)]), 2);
    accept(&mut engine, request(Operation::WriteThrough, 0, 512, 0), 1);
    let (a, b) = (engine.plan().unwrap(), engine.plan().unwrap());
    assert!(
        [a, b]
            .iter()
            .all(|one| one.opcode == Opcode::WriteThrough as u8)
    );
    assert!(engine.plan().is_none());
    assert!(engine.done(a.cookie, Ok(0)).is_none());
    assert!(engine.plan().is_none(), "the other half is not written yet");
    assert!(engine.done(b.cookie, Ok(0)).is_none());
    let flush = engine.plan().unwrap();
    assert!(flush.is_bare() && flush.opcode == Opcode::Flush as u8);
    let finished = engine.done(flush.cookie, Ok(0)).unwrap();
    assert_eq!((finished.token, finished.result), (1, Ok(512 * 512)));
    // What failed is not flushed, and a failed flush fails the write.
    accept(&mut engine, request(Operation::WriteThrough, 0, 1, 0), 2);
    let write = engine.plan().unwrap();
    let failed = engine.done(write.cookie, Ok(1 | FINAL)).unwrap();
    assert_eq!(failed.result, Err(Refusal::DeviceError));
    accept(&mut engine, request(Operation::WriteThrough, 0, 1, 0), 3);
    let write = engine.plan().unwrap();
    assert!(engine.done(write.cookie, Ok(0)).is_none());
    let flush = engine.plan().unwrap();
    let failed = engine.done(flush.cookie, Ok(1)).unwrap();
    assert_eq!(failed.result, Err(Refusal::DeviceError));
    assert_eq!((engine.in_flight(), engine.room()), (0, MAX_REQUESTS));
    // Without a cache there is nothing to flush.
    let plain = Geometry {
        write_cache: false,
        ..DISK
    };
    let mut engine = Engine::new(Vec::from([(Plain, plain)]), 2);
    accept(&mut engine, request(Operation::WriteThrough, 0, 1, 0), 4);
    let write = engine.plan().unwrap();
    assert_eq!(engine.done(write.cookie, Ok(0)).unwrap().token, 4);
}

#[test]
fn what_has_no_data_is_one_command_of_blocks() {
    let mut engine = Engine::new(Vec::from([(Plain, DISK)]), 2);
    for (operation, opcode) in [
        (Operation::Zero, Opcode::Zero),
        (Operation::Discard, Opcode::Discard),
    ] {
        engine
            .accept(request(operation, 10, 4096, 0), 0, 1)
            .unwrap();
        let command = engine.plan().unwrap();
        assert_eq!((command.opcode, command.unit), (opcode as u8, 3));
        assert_eq!((command.block, command.length), (1010, 4096 << 9));
        assert!(command.is_unbound());
        assert_eq!(engine.done(command.cookie, Ok(0)).unwrap().result, Ok(0));
    }
}

#[test]
fn there_is_room_for_so_many_and_old_cookies_mean_nothing() {
    let mut engine = Engine::new(Vec::from([(Plain, DISK)]), 1);
    for token in 0..MAX_REQUESTS as u32 {
        accept(&mut engine, request(Operation::Read, 0, 1, 0), token);
    }
    assert_eq!(engine.room(), 0);
    assert_eq!(
        engine.accept(request(Operation::Read, 0, 1, 0), 512, 9),
        Err(9)
    );
    let first = engine.plan().unwrap().cookie;
    assert_eq!(engine.done(first, Ok(0)).unwrap().token, 0);
    accept(&mut engine, request(Operation::Read, 0, 1, 0), 1000);
    for cookie in [first, u64::MAX, 0, 1 << 40] {
        assert!(engine.done(cookie, Ok(0)).is_none());
    }
    for token in 1..MAX_REQUESTS as u32 {
        let planned = engine.plan().unwrap();
        assert_eq!(
            engine.done(planned.cookie, Ok(0)).unwrap().token,
            token,
            "oldest first"
        );
    }
}

/// A device that cannot read `bad`, and says so with `status`. Counts its commands until the request is over.
fn served(
    engine: &mut Engine<Plain, u32>,
    bad: u64,
    status: u16,
) -> (Finished<u32>, Vec<(u64, u32)>) {
    let mut asked = Vec::new();
    loop {
        let command = engine.plan().unwrap();
        let (first, blocks) = (command.block - 1000, command.length / 512);
        asked.push((first, blocks));
        assert_eq!(u64::from(command.offset) / 512, first - 100);
        let is_bad = (first..first + u64::from(blocks)).contains(&bad);
        let status = if is_bad { status } else { 0 };
        if let Some(finished) = engine.done(command.cookie, Ok(status)) {
            return (finished, asked);
        }
    }
}

#[test]
fn the_bad_block_of_a_read_is_found_and_named() {
    for bad in 100..137 {
        let mut engine = Engine::new(Vec::from([(Plain, DISK)]), 1);
        accept(&mut engine, request(Operation::Read, 100, 37, 0), 1);
        let (finished, asked) = served(&mut engine, bad, FINAL | 1);
        assert_eq!(finished.result, Err(Refusal::DeviceError));
        let refused = Refused {
            status: FINAL | 1,
            block: bad,
            blocks: 1,
        };
        assert_eq!(finished.refused, Some(refused), "{asked:?}");
        assert!(asked.len() <= 1 + 7, "{asked:?}");
        // No block is named that was not refused alone.
        assert_eq!(asked.last(), Some(&(bad, 1)));
        assert_eq!((engine.in_flight(), engine.room()), (0, MAX_REQUESTS));
    }
}

/// A disk that refuses the whole and then each part of it reads: the whole is asked for once more, and what that says counts.
#[test]
fn a_read_whose_every_part_reads_is_asked_for_once_more() {
    for (status, result, blocks) in [
        (0, Ok(37 * 512), None),
        (FINAL | 2, Err(Refusal::DeviceError), Some(37)),
        (1, Err(Refusal::DeviceError), Some(37)),
    ] {
        let mut engine = Engine::new(Vec::from([(Plain, DISK)]), 1);
        accept(&mut engine, request(Operation::Read, 100, 37, 0), 1);
        let command = engine.plan().unwrap();
        assert!(engine.done(command.cookie, Ok(FINAL | 1)).is_none());
        let mut asked = Vec::new();
        let finished = loop {
            let command = engine.plan().unwrap();
            asked.push((command.block - 1000, command.length / 512));
            let last = command.length == 37 * 512;
            let status = if last { status } else { 0 };
            if let Some(finished) = engine.done(command.cookie, Ok(status)) {
                break finished;
            }
        };
        assert_eq!(asked[asked.len() - 2..], [(136, 1), (100, 37)], "{asked:?}");
        assert_eq!(finished.result, result);
        let refused = finished.refused;
        assert_eq!(refused.map(|refused| refused.blocks), blocks);
        assert_eq!((engine.in_flight(), engine.room()), (0, MAX_REQUESTS));
    }
}

#[test]
fn what_may_succeed_is_asked_for_three_times_more() {
    let mut engine = Engine::new(Vec::from([(Plain, DISK)]), 1);
    for operation in [Operation::Read, Operation::Write, Operation::Zero] {
        accept(&mut engine, request(operation, 100, 1, 0), 1);
        for _ in 0..MAX_RETRIES {
            let command = engine.plan().unwrap();
            assert!(engine.done(command.cookie, Ok(1)).is_none());
        }
        let command = engine.plan().unwrap();
        let finished = engine.done(command.cookie, Ok(1)).unwrap();
        assert_eq!(finished.result, Err(Refusal::DeviceError));
        assert_eq!(finished.refused.map(|refused| refused.blocks), Some(1));
        // What the second attempt reads counts.
        accept(&mut engine, request(operation, 100, 1, 0), 2);
        let command = engine.plan().unwrap();
        assert!(engine.done(command.cookie, Ok(1)).is_none());
        let command = engine.plan().unwrap();
        let finished = engine.done(command.cookie, Ok(0)).unwrap();
        assert_eq!((finished.result, finished.refused), (Ok(512), None));
    }
}

#[test]
fn a_flush_that_failed_is_not_asked_for_again() {
    let mut engine = Engine::new(Vec::from([(Plain, DISK)]), 1);
    accept(&mut engine, request(Operation::Flush, 0, 0, 0), 1);
    let flush = engine.plan().unwrap();
    let finished = engine.done(flush.cookie, Ok(1)).unwrap();
    assert_eq!(finished.result, Err(Refusal::DeviceError));
    assert_eq!(finished.refused.map(|refused| refused.blocks), Some(0));
}
