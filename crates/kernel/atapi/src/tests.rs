//! Commands to a drive that obeys, that fails, and that is not there.

use std::string::ToString;
use std::vec;

use crate::fake::{Fake, Fault};
use crate::{Drive, Failure, MAX_SECTORS, Ports, Position, Progress, SECTOR_BYTES, Sense};

fn fake() -> Fake {
    Fake::new(100, Position::ALL[2])
}

fn is_sector(bytes: &[u8], lba: u32) -> bool {
    bytes[..4] == lba.to_le_bytes() && bytes[4..].iter().all(|byte| *byte == lba as u8)
}

#[test]
fn the_four_places_have_their_ports() {
    let ports = Position::ALL.map(|p| (p.channel, p.device, p.command, p.control));
    assert_eq!(
        ports,
        [
            ("primary", "master", 0x1f0, 0x3f6),
            ("primary", "slave", 0x1f0, 0x3f6),
            ("secondary", "master", 0x170, 0x376),
            ("secondary", "slave", 0x170, 0x376),
        ]
    );
}

#[test]
fn sectors_are_read_wherever_the_drive_is() {
    for position in Position::ALL {
        let mut fake = Fake::new(100, position);
        let mut drive = Drive::open(&mut fake, position).unwrap();
        assert_eq!((drive.sectors(), drive.position()), (100, position));
        let mut bytes = vec![0; 37 * SECTOR_BYTES];
        drive.read(63, &mut bytes).unwrap();
        for (number, sector) in bytes.chunks(SECTOR_BYTES).enumerate() {
            assert!(is_sector(sector, 63 + number as u32));
        }
        assert_eq!(fake.reads, [(63, 16), (79, 16), (95, 5)]);
        // Nothing but packets was ever written.
        assert!(fake.interrupts_off && fake.words_written.is_multiple_of(6));
    }
}

#[test]
fn another_device_is_not_taken_for_the_drive() {
    let mut fake = Fake::new(100, Position::ALL[3]);
    assert_eq!(
        Drive::open(&mut fake, Position::ALL[2]).unwrap_err(),
        Failure::Absent
    );
    assert!(Drive::open(&mut fake, Position::ALL[3]).is_ok());
}

/// Nothing is on the bus: every read gives the same.
#[derive(Debug)]
struct Empty(u8, u64);

impl Ports for Empty {
    fn read8(&mut self, _: u16) -> u8 {
        self.0
    }
    fn write8(&mut self, _: u16, _: u8) {
        assert_ne!(self.0, 0xff, "nothing is written where nothing is");
    }
    fn read_data(&mut self, _: u16, into: &mut [u8]) {
        into.fill(self.0);
    }
    fn write_data(&mut self, _: u16, _: u16) {}
    fn now_ns(&mut self) -> u64 {
        self.1 += 1_000_000;
        self.1
    }
}

#[test]
fn whatever_an_empty_bus_reads_as_there_is_no_drive() {
    for value in 0..=255 {
        let opened = Drive::open(Empty(value, 0), Position::ALL[0]);
        assert_eq!(opened.unwrap_err(), Failure::Absent, "{value:#x}");
    }
}

#[test]
fn nothing_outside_the_medium_is_asked_for() {
    let mut fake = fake();
    let mut drive = Drive::open(&mut fake, Position::ALL[2]).unwrap();
    let mut bytes = vec![0; SECTOR_BYTES];
    for lba in [100, 101, u32::MAX] {
        assert_eq!(drive.read(lba, &mut bytes), Err((lba, Failure::OutOfRange)));
    }
    assert_eq!(
        drive.read(0, &mut bytes[..100]),
        Err((0, Failure::OutOfRange))
    );
    assert_eq!(drive.begin(0, 0), Err(Failure::OutOfRange));
    assert_eq!(drive.begin(0, MAX_SECTORS + 1), Err(Failure::OutOfRange));
    assert_eq!(drive.begin(99, 2), Err(Failure::OutOfRange));
    assert!(fake.reads.is_empty());
}

#[test]
fn a_bad_sector_is_named_with_its_sense() {
    let mut fake = fake();
    fake.bad = Some(45);
    let mut drive = Drive::open(&mut fake, Position::ALL[2]).unwrap();
    let mut bytes = vec![0; 20 * SECTOR_BYTES];
    let (lba, why) = drive.read(30, &mut bytes).unwrap_err();
    let sense = Sense {
        key: 3,
        code: 0x11,
        qualifier: 5,
    };
    assert_eq!((lba, why), (45, Failure::Sense(sense)));
    assert_eq!(why.to_string(), "medium error (sense 3/11/05)");
    // The drive is usable afterwards.
    drive.read(50, &mut bytes[..SECTOR_BYTES]).unwrap();
    assert!(is_sector(&bytes[..SECTOR_BYTES], 50));
}

#[test]
fn unit_attentions_pass() {
    let mut fake = fake();
    fake.attentions = 3;
    assert!(Drive::open(&mut fake, Position::ALL[2]).is_ok());
    // A medium that was changed says so in the middle of reading.
    let mut drive = Drive::open(&mut fake, Position::ALL[2]).unwrap();
    drive.ports().attentions = 1;
    let mut bytes = vec![0; SECTOR_BYTES];
    drive.read(1, &mut bytes).unwrap();
    assert!(is_sector(&bytes, 1));
}

#[test]
fn a_drive_that_breaks_the_protocol_is_told() {
    let cases = [
        (Fault::TooMuch, "more data"),
        (Fault::Odd, "more data"),
        (Fault::TooLittle, "less data"),
        (Fault::Stuck, "no answer in time"),
        (Fault::AlwaysCheck, "REQUEST SENSE failed"),
        (Fault::NoRequest, "not asked for"),
        (Fault::Deaf, "no answer in time"),
        (Fault::DeafToSense, "no answer in time"),
    ];
    for (fault, text) in cases {
        let mut fake = fake();
        let mut drive = Drive::open(&mut fake, Position::ALL[2]).unwrap();
        drive.ports().fault = fault;
        let mut bytes = vec![0x55; SECTOR_BYTES + 2];
        let (_, why) = drive.read(1, &mut bytes[..SECTOR_BYTES]).unwrap_err();
        assert!(why.to_string().contains(text), "{fault:?}: {why}");
        assert_eq!(bytes[SECTOR_BYTES..], [0x55; 2]);
    }
}

#[test]
fn a_read_can_be_waited_for_piece_by_piece() {
    let mut fake = fake();
    let mut drive = Drive::open(&mut fake, Position::ALL[2]).unwrap();
    let mut bytes = vec![0; 2 * SECTOR_BYTES];
    assert!(drive.advance(&mut bytes).is_err(), "nothing was begun");
    drive.begin(7, 2).unwrap();
    let mut looks = 0;
    while drive.advance(&mut bytes).unwrap() == Progress::Waiting {
        looks += 1;
    }
    assert!(looks > 2 && is_sector(&bytes[SECTOR_BYTES..], 8));
    // One that is given up does not disturb the next.
    drive.begin(7, 2).unwrap();
    drive.read(9, &mut bytes[..SECTOR_BYTES]).unwrap();
    assert!(is_sector(&bytes[..SECTOR_BYTES], 9));
    assert!(fake.resets >= 1);
}

/// Whatever the drive does, nobody waits for it in a step: whoever takes it holds a lock, and lets no interrupt in.
#[test]
fn a_step_never_waits_for_the_drive() {
    let faults = [
        Fault::None,
        Fault::Stuck,
        Fault::Deaf,
        Fault::DeafToSense,
        Fault::AlwaysCheck,
        Fault::NoRequest,
        Fault::TooMuch,
    ];
    for fault in faults {
        let mut fake = fake();
        let mut drive = Drive::open(&mut fake, Position::ALL[2]).unwrap();
        drive.ports().fault = fault;
        drive.ports().bad = Some(3);
        drive.ports().pauses = 0;
        let mut bytes = vec![0; 16 * SECTOR_BYTES];
        for lba in [0, 16, 0, 32] {
            let step = |fake: &mut Fake| {
                assert!(fake.touched <= 60, "{fault:?}: {} accesses", fake.touched);
                assert_eq!(fake.pauses, 0, "{fault:?}");
                fake.touched = 0;
            };
            drive.ports().touched = 0;
            drive.begin(lba, 16).unwrap();
            step(drive.ports());
            // The longest wait ends: for the data, and for the answer to why there is none.
            let mut looks = 0;
            while drive.advance(&mut bytes) == Ok(Progress::Waiting) {
                step(drive.ports());
                looks += 1;
                assert!(looks < 25_000, "{fault:?}");
                // One is given up in the middle.
                if lba == 16 && looks == 20 {
                    break;
                }
            }
            step(drive.ports());
        }
    }
}
