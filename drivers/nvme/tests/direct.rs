//! Pairs whose entries their holder writes, against a controller model.
#![allow(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests may fail"
)]

mod model;

use driver_core::{
    Counts, DeviceAddress, DirectRing, DirectSpec, Operation, QueueSpec, Refusal, Step,
};
use model::{Harness, from_device, pair, place, read};

const ENTRIES: u16 = 4;

fn ring(page: &[DeviceAddress]) -> DirectRing {
    DirectRing {
        address: page[0],
        bytes: 4096,
    }
}

struct Direct {
    it: Harness,
    submissions: Vec<DeviceAddress>,
    completions: Vec<DeviceAddress>,
    counts: Counts,
}

/// A controller that is up, with one brokered pair and one of `entries` whose entries the test writes.
fn up(stride: u8) -> Direct {
    let mut it = Harness::new();
    it.set_stride(stride);
    it.bring_up(8);
    let (submissions, completions) = (it.buffer(1), it.buffer(1));
    let spec = DirectSpec {
        queue: pair(2, ENTRIES),
        submissions: ring(&submissions),
        completions: ring(&completions),
    };
    it.begin(Operation::OpenDirect(spec)).unwrap();
    assert_eq!(it.drive(), Ok(Step::QueueOpen));
    Direct {
        it,
        submissions,
        completions,
        counts: Counts { tail: 0, head: 0 },
    }
}

impl Direct {
    fn bell(&mut self, tail: u16, head: u16) -> Result<(), Refusal> {
        let Harness { broker, io, .. } = &mut self.it;
        broker.doorbell(io, place(2), Counts { tail, head })
    }

    /// Reads one block into `data`, with the address in the command as the test has it.
    fn read(&mut self, lba: u64, data: DeviceAddress) -> u16 {
        let mut command = read(lba, 1);
        command[2] = self.counts.tail as u8;
        command[24..32].copy_from_slice(&data.bus().to_le_bytes());
        let at = u64::from(self.counts.tail) * 64;
        self.it.write_at(self.submissions[0].offset(at), &command);
        let Counts { tail, head } = self.counts;
        self.counts.tail = (tail + 1) % ENTRIES;
        self.bell(self.counts.tail, head).unwrap();
        self.it.step();
        let entry = self
            .it
            .read_buffer(&self.completions, usize::from(head) * 16, 16);
        self.counts.head = (head + 1) % ENTRIES;
        self.bell(self.counts.tail, self.counts.head).unwrap();
        assert_eq!(u16::from(entry[12]), tail, "the command's own identifier");
        u16::from_le_bytes([entry[14], entry[15]]) >> 1
    }
}

#[test]
fn commands_of_its_holder_move_data_and_the_other_queue_runs_on() {
    for stride in [0, 2] {
        let mut direct = up(stride);
        let data = direct.it.buffer(1);
        // More than the ring holds, so that it wraps twice.
        for lba in 0..10 {
            direct.it.fill_buffer(&data, 0xee);
            assert_eq!(direct.read(lba, data[0]), 0);
            let found = direct.it.read_buffer(&data, 0, 512);
            let disk = &direct.it.device.disk[lba as usize * 512..][..512];
            assert_eq!(found, disk);
            let segment = [from_device(&data, 0, 512)];
            direct.it.submit(1, 0, &read(lba, 1), &segment).unwrap();
            assert_eq!(direct.it.finish(1).unwrap().len(), 1);
        }
    }
}

#[test]
fn a_doorbell_takes_indices_of_its_own_rings_alone() {
    let mut direct = up(0);
    for (tail, head) in [(ENTRIES, 0), (0, ENTRIES), (u16::MAX, 0), (0, u16::MAX)] {
        let before = direct.it.rings().1;
        assert_eq!(direct.bell(tail, head), Err(Refusal::OutOfRange));
        assert_eq!(direct.it.rings().1, before, "nothing was written");
    }
    let counts = Counts { tail: 1, head: 0 };
    let Harness { broker, io, .. } = &mut direct.it;
    for queue in [0, 1] {
        let refused = broker.doorbell(io, place(queue), counts);
        assert_eq!(refused, Err(Refusal::NotSupported), "queue {queue}");
    }
    assert_eq!(
        broker.doorbell(io, place(99), counts),
        Err(Refusal::OutOfRange)
    );
}

#[test]
fn nothing_else_is_done_with_its_entries() {
    let mut direct = up(0);
    let data = direct.it.buffer(1);
    let segment = [from_device(&data, 0, 512)];
    let it = &mut direct.it;
    assert_eq!(
        it.submit(2, 0, &read(0, 1), &segment),
        Err(Refusal::NotSupported)
    );
    assert_eq!(it.next(2).err(), Some(Refusal::NotSupported));
    assert_eq!(
        it.begin(Operation::Stop(place(2))),
        Err(Refusal::NotSupported)
    );
    // It is there, and ends with the controller; then its place is free for either kind.
    assert_eq!(it.open(pair(2, 4)), Err(Refusal::WrongState));
    it.bring_up(8);
    it.open(pair(2, 4)).unwrap();
    let counts = Counts { tail: 1, head: 0 };
    let refused = it.broker.doorbell(&mut it.io, place(2), counts);
    assert_eq!(refused, Err(Refusal::NotSupported));
}

#[test]
fn rings_that_are_too_short_or_of_another_queue_are_refused() {
    let mut it = Harness::up(8);
    let page = it.buffer(1);
    let spec = |queue: QueueSpec, submissions: u64, completions: u64| {
        let of = |bytes| DirectRing {
            address: page[0],
            bytes,
        };
        Operation::OpenDirect(DirectSpec {
            queue,
            submissions: of(submissions),
            completions: of(completions),
        })
    };
    for (refused, why) in [
        (spec(pair(2, 65), 4096, 4096), Refusal::OutOfRange),
        (spec(pair(2, 8), 8 * 64 - 1, 4096), Refusal::OutOfRange),
        (spec(pair(2, 8), 4096, 8 * 16 - 1), Refusal::OutOfRange),
        (spec(pair(2, 1), 4096, 4096), Refusal::OutOfRange),
        (spec(pair(1, 8), 4096, 4096), Refusal::WrongState),
    ] {
        assert_eq!(it.begin(refused), Err(why));
    }
    let mut fresh = Harness::new();
    fresh.reset().unwrap();
    fresh.configure([32, 2, 12]).unwrap();
    fresh.enable().unwrap();
    let admin = spec(model::ADMIN, 4096, 4096);
    assert_eq!(fresh.begin(admin), Err(Refusal::NotSupported));
    assert!(it.begin(spec(pair(2, 64), 4096, 1024)).is_ok());
}

#[test]
fn a_controller_only_reads_what_holds_commands_and_their_lists() {
    let it = Harness::up(8);
    let read_only = it.io.read_only.clone();
    let (submissions, completions) = it.bases();
    assert!(submissions.iter().all(|base| read_only.contains(base)));
    assert!(!completions.iter().any(|base| read_only.contains(base)));
    assert!(read_only.len() > submissions.len(), "and lists");
}
