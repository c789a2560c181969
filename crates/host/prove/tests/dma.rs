//! Device authority.

use prove::subjects::dma::{Device, Often, Op};
use prove::{Most, at_random, each_was_done, explore, is_deep};

/// A device that runs, with a queue and a buffer.
const RUNNING: &[Op] = &[
    Op::Claim,
    Op::BeginReset,
    Op::Prove,
    Op::FinishReset,
    Op::Configured,
    Op::BusMaster,
    Op::Enabled,
    Op::CreateQueue,
    Op::CreatePool,
    Op::Buffer,
];

/// A command is with the device, the buffer is mapped, and the holder is gone.
const ENDING: &[Op] = &[Op::Map(0), Op::Admit(0), Op::Issue, Op::BeginTeardown];

const FEW: Often = Often {
    owners: 1,
    resets: 2,
    buffers: 1,
    admits: 1,
    maps: 1,
    requeues: 1,
    pools: 1,
};

#[test]
fn of_functions_from_the_last_claim_to_the_end() {
    let again = Often {
        owners: 2,
        resets: 4,
        ..FEW
    };
    let two = Often {
        admits: 2,
        buffers: 2,
        resets: 3,
        ..FEW
    };
    let ending = [RUNNING, ENDING].concat();
    let depths = if is_deep() {
        [60, 16, 8, 60]
    } else {
        [10, 10, 6, 60]
    };
    let starts: [(&str, &dyn Fn() -> Device); 4] = [
        ("running, 1 command, 1 buffer", &|| {
            Device::after(RUNNING, FEW)
        }),
        ("unclaimed at the last generation, 1 buffer", &|| {
            Device::unclaimed(u64::MAX - 1, FEW)
        }),
        ("running, 2 commands, 2 buffers", &|| {
            Device::after(RUNNING, two)
        }),
        ("its claim ends under a command, 2 claims", &|| {
            Device::after(&ending, again)
        }),
    ];
    let mut all = Vec::new();
    for ((widths, start), depth) in starts.into_iter().zip(depths) {
        let found = explore(start, Most { depth });
        found.say("dma-ledger", widths);
        all.push(found);
    }
    each_was_done("dma-ledger", &all);
}

#[test]
fn of_functions_at_random() {
    let much = Often {
        owners: 3,
        resets: 20,
        buffers: 6,
        admits: 90,
        maps: 20,
        requeues: 9,
        pools: 3,
    };
    at_random(
        "dma-ledger",
        "3 claims, 6 buffers, 90 commands",
        60,
        400,
        || Device::after(RUNNING, much),
    );
}
