//! The layouts as the vendor's drivers have them, byte for byte, and what a reader refuses.

use gve_format::{
    COMMAND_BYTES, Command, CreateRx, CreateTx, Descriptor, DeviceOption, Formats, Parameter,
    QueueFormat, Refusal, Resources, Status, dqo, gqi, pages, queue_resources,
};

/// Bytes of `length` with big-endian fields at their offsets.
fn laid(length: usize, fields: &[(usize, usize, u64)]) -> Vec<u8> {
    let mut bytes = vec![0; length];
    for (at, width, value) in fields {
        bytes[*at..at + width].copy_from_slice(&value.to_be_bytes()[8 - width..]);
    }
    bytes
}

fn command(fields: &[(usize, usize, u64)]) -> [u8; COMMAND_BYTES] {
    laid(COMMAND_BYTES, fields).try_into().unwrap()
}

fn create_tx() -> CreateTx {
    CreateTx {
        queue: 1,
        resources_at: 0x1000,
        ring_at: 0x2000,
        list: 3,
        block: 4,
        completions_at: 0x5000,
        entries: 256,
        completions: 512,
    }
}

fn create_rx() -> CreateRx {
    CreateRx {
        queue: 1,
        index: 2,
        block: 4,
        resources_at: 0x1000,
        ring_at: 0x2000,
        data_at: 0x3000,
        list: 5,
        entries: 256,
        buffer_bytes: 2048,
        buffers: 512,
        coalesce: true,
        header_bytes: 128,
    }
}

fn resources() -> Resources {
    Resources {
        counters_at: 0x1_0000_1000,
        doorbells_at: 0x2000,
        counters: 8,
        blocks: 2,
        stride: 64,
        first_vector: 1,
        format: QueueFormat::DqoRda,
    }
}

/// Each command and its bytes.
fn known() -> Vec<(Command, [u8; COMMAND_BYTES])> {
    let mut all = small();
    all.extend([
        (Command::ConfigureResources(resources()), configured()),
        (Command::CreateTx(create_tx()), created_tx()),
        (Command::CreateRx(create_rx()), created_rx()),
    ]);
    all
}

/// Those with few fields.
fn small() -> Vec<(Command, [u8; COMMAND_BYTES])> {
    let describe = Command::DescribeDevice {
        address: 0x1_2345_6000,
        version: 1,
        available: 4096,
    };
    let register = Command::RegisterPageList {
        list: 7,
        pages: 64,
        address: 0x9000,
        page_bytes: 4096,
    };
    let stats = Command::ReportStats {
        bytes: 0x180,
        address: 0x9000,
        interval_ms: 20_000,
    };
    let set = Command::SetParameter {
        parameter: Parameter::Mtu,
        value: 1460,
    };
    let two = |opcode| command(&[(0, 4, opcode), (8, 8, 2048), (16, 8, 0x9000)]);
    let one = |opcode, number| command(&[(0, 4, opcode), (8, 4, number)]);
    let described = [(0, 4, 1), (8, 8, 0x1_2345_6000), (16, 4, 1), (20, 4, 4096)];
    let listed = [
        (0, 4, 3),
        (8, 4, 7),
        (12, 4, 64),
        (16, 8, 0x9000),
        (24, 8, 4096),
    ];
    let counted = [(0, 4, 0xc), (8, 8, 0x180), (16, 8, 0x9000), (24, 8, 20_000)];
    let (bytes, address) = (2048, 0x9000);
    vec![
        (describe, command(&described)),
        (register, command(&listed)),
        (Command::UnregisterPageList { list: 7 }, one(4, 7)),
        (Command::DestroyTx { queue: 3 }, one(7, 3)),
        (Command::DestroyRx { queue: 3 }, one(8, 3)),
        (Command::DeconfigureResources, command(&[(0, 4, 9)])),
        (set, command(&[(0, 4, 0xb), (8, 4, 1), (16, 8, 1460)])),
        (stats, command(&counted)),
        (
            Command::ReportLinkSpeed { address },
            command(&[(0, 4, 0xd), (8, 8, 0x9000)]),
        ),
        (Command::GetPtypeMap { bytes, address }, two(0xe)),
        (Command::VerifyCompatibility { bytes, address }, two(0xf)),
    ]
}

fn configured() -> [u8; COMMAND_BYTES] {
    command(&[
        (0, 4, 2),
        (8, 8, 0x1_0000_1000),
        (16, 8, 0x2000),
        (24, 4, 8),
        (28, 4, 2),
        (32, 4, 64),
        (36, 4, 1),
        (40, 1, 3),
    ])
}

fn created_tx() -> [u8; COMMAND_BYTES] {
    command(&[
        (0, 4, 5),
        (8, 4, 1),
        (16, 8, 0x1000),
        (24, 8, 0x2000),
        (32, 4, 3),
        (36, 4, 4),
        (40, 8, 0x5000),
        (48, 2, 256),
        (50, 2, 512),
    ])
}

fn created_rx() -> [u8; COMMAND_BYTES] {
    command(&[
        (0, 4, 6),
        (8, 4, 1),
        (12, 4, 2),
        (20, 4, 4),
        (24, 8, 0x1000),
        (32, 8, 0x2000),
        (40, 8, 0x3000),
        (48, 4, 5),
        (52, 2, 256),
        (54, 2, 2048),
        (56, 2, 512),
        (58, 1, 1),
        (60, 2, 128),
    ])
}

#[test]
fn commands_have_the_layout_of_the_vendors_drivers() {
    for (value, bytes) in known() {
        assert_eq!(value.bytes(), bytes, "{value:?}");
        assert_eq!(Command::read(&bytes), Ok(value));
    }
}

/// Every byte of every command: either it changes what is read, or setting it is refused.
#[test]
fn no_byte_of_a_command_is_ignored() {
    for (value, bytes) in known() {
        for at in 0..COMMAND_BYTES {
            let mut other = bytes;
            other[at] ^= 0x40;
            assert_ne!(Command::read(&other), Ok(value), "byte {at} of {value:?}");
        }
    }
}

#[test]
fn commands_that_mean_nothing_are_refused() {
    for opcode in [0, 0xa, 0x13, 0xff, u64::from(u32::MAX)] {
        let refused = Command::read(&command(&[(0, 4, opcode)]));
        assert_eq!(refused, Err(Refusal::Opcode(opcode as u32)));
    }
    let done = command(&[(0, 4, 9), (4, 4, 1)]);
    assert_eq!(Command::read(&done), Err(Refusal::Reserved));
    let format = command(&[(0, 4, 2), (40, 1, 5)]);
    assert_eq!(Command::read(&format), Err(Refusal::Value));
    let coalesce = command(&[(0, 4, 6), (58, 1, 2)]);
    assert_eq!(Command::read(&coalesce), Err(Refusal::Value));
    let parameter = command(&[(0, 4, 0xb), (8, 4, 2)]);
    assert_eq!(Command::read(&parameter), Err(Refusal::Value));
    // The one that drivers from before the formats send.
    let Ok(Command::ConfigureResources(old)) = Command::read(&command(&[(0, 4, 2)])) else {
        panic!("no format is a format");
    };
    assert_eq!(old.format, QueueFormat::GqiQpl);
}

#[test]
fn a_status_lies_behind_the_opcode() {
    let mut bytes = Command::DeconfigureResources.bytes();
    let (at, status) = Status::UNIMPLEMENTED.bytes();
    bytes[at as usize..][..4].copy_from_slice(&status);
    assert_eq!(bytes[..8], [0, 0, 0, 9, 0xff, 0xff, 0xff, 0xfe]);
    assert_eq!(Status::read(&bytes), Status::UNIMPLEMENTED);
    assert_eq!(Status::UNIMPLEMENTED.name(), "unimplemented");
    assert_eq!(Status(2).name(), "no-status");
}

fn described(options: u16, more: &[u8]) -> Vec<u8> {
    let total = 40 + more.len() as u64;
    let head = laid(
        40,
        &[
            (0, 8, 1024),
            (10, 2, 256),
            (12, 2, 512),
            (14, 2, 1),
            (16, 2, 1460),
            (18, 2, 8),
            (20, 2, 64),
            (22, 2, 256),
            (24, 6, 0x4201_0a00_0202),
            (30, 2, options.into()),
            (32, 2, total),
        ],
    );
    [&head, more].concat()
}

#[test]
fn a_device_describes_itself() {
    let bytes = described(0, &[]);
    let (found, options) = Descriptor::read(&bytes).unwrap();
    let expected = Descriptor {
        max_pages: 1024,
        tx_entries: 256,
        rx_entries: 512,
        default_queues: 1,
        mtu: 1460,
        counters: 8,
        tx_pages: 64,
        rx_pages: 256,
        mac: [0x42, 1, 10, 0, 2, 2],
        options: 0,
        total_bytes: 40,
    };
    assert_eq!(found, expected);
    assert_eq!(found.bytes()[..], bytes);
    let formats = Formats::of(options).unwrap();
    assert!(formats.has(QueueFormat::GqiQpl) && !formats.has(QueueFormat::GqiRda));
}

#[test]
fn a_descriptor_that_lies_is_refused() {
    let refused = |at: usize, value: u8| {
        let mut bytes = described(0, &[]);
        bytes[at] = value;
        Descriptor::read(&bytes).map(|(found, _)| found)
    };
    // The length: one less than the descriptor, one more than there is.
    assert_eq!(refused(33, 39), Err(Refusal::Value));
    assert_eq!(refused(33, 41), Err(Refusal::Short));
    // Rings of 257 and of 0 descriptors.
    assert_eq!(refused(11, 1), Err(Refusal::Value));
    assert_eq!(refused(12, 0), Err(Refusal::Value));
    // A group's address, and a payload of 4 bytes less than 256.
    assert_eq!(refused(24, 0x43), Err(Refusal::Value));
    assert_eq!(refused(16, 0).map(|found| found.mtu), Ok(1460 & 0xff));
    let mut tiny = described(0, &[]);
    tiny[16..18].copy_from_slice(&[0, 67]);
    assert_eq!(Descriptor::read(&tiny).err(), Some(Refusal::Value));
    tiny[16..18].copy_from_slice(&[0, 68]);
    assert!(Descriptor::read(&tiny).is_ok());
    let short = described(0, &[]);
    assert_eq!(Descriptor::read(&short[..39]).err(), Some(Refusal::Short));
}

#[test]
fn options_are_read_in_turn_and_not_past_the_end() {
    let all = [
        DeviceOption::Other { id: 0x1234 },
        DeviceOption::Format {
            format: QueueFormat::DqoRda,
            features: 4,
            pages: (0, 0),
        },
        DeviceOption::Format {
            format: QueueFormat::DqoQpl,
            features: 0,
            pages: (512, 1024),
        },
        DeviceOption::JumboFrames {
            features: 4,
            max_mtu: 8896,
        },
    ];
    let mut more = Vec::new();
    for option in &all {
        let (bytes, length) = option.bytes();
        more.extend_from_slice(&bytes[..length]);
    }
    assert_eq!(
        more[8..24],
        [0, 4, 0, 8, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0]
    );
    assert_eq!(
        more[24..40],
        [0, 7, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 4, 0]
    );
    let bytes = described(4, &more);
    let (_, options) = Descriptor::read(&bytes).unwrap();
    let found: Result<Vec<_>, _> = options.collect();
    assert_eq!(found.unwrap(), all);
    let formats = Formats::of(options).unwrap();
    assert!(formats.has(QueueFormat::DqoRda) && formats.has(QueueFormat::DqoQpl));
    assert!(!formats.has(QueueFormat::GqiQpl));
    // One more than there are.
    let bytes = described(5, &more);
    let (_, options) = Descriptor::read(&bytes).unwrap();
    assert_eq!(options.last(), Some(Err(Refusal::Options)));
    assert_eq!(Formats::of(options), Err(Refusal::Options));
    // A contents' length that is one too long, and one that is too short for what it is.
    more[27] = 24;
    let bytes = described(4, &more);
    let (_, options) = Descriptor::read(&bytes).unwrap();
    assert_eq!(options.last(), Some(Err(Refusal::Options)));
    more[27] = 7;
    let bytes = described(4, &more);
    let (_, options) = Descriptor::read(&bytes).unwrap();
    assert_eq!(options.last(), Some(Err(Refusal::OptionLength(7))));
    // A format that demands what is not known here is none.
    let demanding = described(1, &[0, 3, 0, 4, 0, 0, 0, 1, 0, 0, 0, 0]);
    let (_, mut options) = Descriptor::read(&demanding).unwrap();
    assert_eq!(options.next(), Some(Ok(DeviceOption::Other { id: 3 })));
}

#[test]
fn gqi_descriptors_have_the_layout_of_the_vendors_drivers() {
    let packet = gqi::Tx::Packet {
        segmented: true,
        checksum: Some(gqi::Checksum {
            header: 17,
            field: 8,
        }),
        descriptors: 3,
        frame_bytes: 0x1234,
        bytes: 54,
        at: 0x1_0000,
    };
    let bytes = [0x11, 8, 17, 3, 0x12, 0x34, 0, 54, 0, 0, 0, 0, 0, 1, 0, 0];
    assert_eq!((packet.bytes(), gqi::Tx::read(&bytes)), (bytes, Ok(packet)));
    let segment = gqi::Tx::Segment {
        ipv6: true,
        header: 7,
        segment_bytes: 1440,
        bytes: 4096,
        at: 64,
    };
    let bytes = [0x22, 7, 0, 0, 5, 0xa0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 64];
    assert_eq!(
        (segment.bytes(), gqi::Tx::read(&bytes)),
        (bytes, Ok(segment))
    );
    let metadata = gqi::Tx::Metadata {
        state: 0x10,
        hash: 0xdead_beef,
    };
    let bytes = [
        0x30, 0x10, 0, 0, 0xde, 0xad, 0xbe, 0xef, 0, 0, 0, 0, 0, 0, 0, 0,
    ];
    assert_eq!(
        (metadata.bytes(), gqi::Tx::read(&bytes)),
        (bytes, Ok(metadata))
    );
    let received = gqi::Rx {
        hash: 1,
        segment_bytes: 2,
        header_bytes: 3,
        header_at: 4,
        checksum: 5,
        bytes: 62,
        flags: gqi::rx_flag::IPV4 | gqi::rx_flag::UDP,
        sequence: 7,
    };
    let bytes = received.bytes();
    assert_eq!(bytes[..48], [0; 48]);
    assert_eq!(
        bytes[48..],
        [0, 0, 0, 1, 0, 2, 0, 0, 3, 4, 0, 5, 0, 62, 4, 0x87]
    );
    assert_eq!(gqi::Rx::read(&bytes), received);
}

#[test]
fn gqi_descriptors_that_mean_nothing_are_refused() {
    let with = |at: usize, value: u8| {
        let mut bytes = [0; gqi::TX_BYTES];
        bytes[at] = value;
        bytes
    };
    assert_eq!(gqi::Tx::read(&with(0, 0x40)), Err(Refusal::Value));
    assert_eq!(gqi::Tx::read(&with(0, 0x02)), Err(Refusal::Value));
    assert_eq!(gqi::Tx::read(&with(0, 0x21)), Err(Refusal::Value));
    assert_eq!(gqi::Tx::read(&with(0, 0x31)), Err(Refusal::Value));
    // Where a checksum goes that nobody asked for.
    assert_eq!(gqi::Tx::read(&with(1, 1)), Err(Refusal::Reserved));
    assert_eq!(gqi::Tx::read(&with(2, 1)), Err(Refusal::Reserved));
}

#[test]
fn a_received_length_is_between_its_padding_and_its_room() {
    let frame = |bytes| {
        let it = gqi::Rx {
            bytes,
            ..gqi::Rx::default()
        };
        it.frame_bytes(2048)
    };
    assert_eq!([frame(0), frame(1), frame(2)], [None; 3]);
    assert_eq!(frame(3), Some(1));
    assert_eq!(
        (frame(2048), frame(2049), frame(u16::MAX)),
        (Some(2046), None, None)
    );
}

#[test]
fn sequence_numbers_go_from_one_to_seven() {
    let turn: Vec<u8> = std::iter::successors(Some(1), |at| Some(gqi::next_sequence(*at)))
        .take(8)
        .collect();
    assert_eq!(turn, [1, 2, 3, 4, 5, 6, 7, 1]);
}

#[test]
fn dqo_transmit_descriptors_have_the_layout_of_the_vendors_drivers() {
    let packet = dqo::Tx::Packet {
        at: 0x1_0000,
        bytes: 0x3fff,
        tag: 0x1234,
        end: true,
        checksum: true,
        report: true,
    };
    let bytes = [
        0, 0, 1, 0, 0, 0, 0, 0, 0xec, 0, 0, 0, 0x34, 0x12, 0xff, 0x3f,
    ];
    assert_eq!((packet.bytes(), dqo::Tx::read(&bytes)), (bytes, Ok(packet)));
    let context = dqo::Tx::TsoContext {
        payload_bytes: 0x01_0203,
        segment_bytes: 1448,
        header_bytes: 66,
    };
    let bytes = [3, 2, 1, 0, 0xa8, 5, 66, 0, 0x25, 0, 0, 0, 0, 0, 0, 0];
    assert_eq!(
        (context.bytes(), dqo::Tx::read(&bytes)),
        (bytes, Ok(context))
    );
    let general = dqo::Tx::GeneralContext;
    let bytes = [0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0];
    assert_eq!(
        (general.bytes(), dqo::Tx::read(&bytes)),
        (bytes, Ok(general))
    );
}

#[test]
fn dqo_completions_and_buffers_have_the_layout_of_the_vendors_drivers() {
    let done = dqo::TxCompletion {
        queue: 0x123,
        event: dqo::TxEvent::Packet(0x4567),
        generation: true,
    };
    let bytes = [0x23, 0x91, 0x67, 0x45, 0, 0, 0, 0];
    assert_eq!(
        (done.bytes(), dqo::TxCompletion::read(&bytes)),
        (bytes, Ok(done))
    );
    let buffer = dqo::Rx {
        buffer: 0x0102,
        at: 0x9000,
        headers_at: 0xa000,
    };
    let bytes = buffer.bytes();
    assert_eq!(bytes[..2], [2, 1]);
    assert_eq!((bytes[9], bytes[17]), (0x90, 0xa0));
    assert_eq!(dqo::Rx::read(&bytes), Ok(buffer));
    let received = dqo::RxCompletion {
        buffer: 0x0102,
        bytes: 1514,
        kind: 0x3ff,
        hash: 7,
        generation: true,
        end: true,
        error: false,
        split: true,
    };
    let bytes = received.bytes();
    assert_eq!(
        bytes[..14],
        [1, 0, 0xff, 3, 0xea, 0x45, 0, 8, 3, 0, 0, 0, 2, 1]
    );
    assert_eq!(dqo::RxCompletion::read(&bytes), Ok(received));
}

#[test]
fn dqo_descriptors_that_mean_nothing_are_refused() {
    let tx = |at: usize, value: u8| {
        let mut bytes = dqo::Tx::GeneralContext.bytes();
        bytes[8] = 0xc;
        bytes[at] = value;
        dqo::Tx::read(&bytes)
    };
    assert_eq!(tx(8, 0), Err(Refusal::Value));
    assert_eq!(tx(9, 1), Err(Refusal::Reserved));
    assert_eq!(tx(15, 0x40), Err(Refusal::Reserved));
    assert_eq!(
        tx(8, 0x05),
        Err(Refusal::Reserved),
        "a context of no segmentation"
    );
    let mut buffer = [0; dqo::RX_BYTES];
    buffer[2] = 1;
    assert_eq!(dqo::Rx::read(&buffer), Err(Refusal::Reserved));
    assert_eq!(dqo::TxCompletion::read(&[0; 8]), Err(Refusal::Value));
    let whole = dqo::RxCompletion::default().bytes();
    for (at, value) in [(0, 2), (8, 0), (5, 0x80)] {
        let mut bytes = whole;
        bytes[at] = value;
        assert_eq!(
            dqo::RxCompletion::read(&bytes),
            Err(Refusal::Value),
            "byte {at}"
        );
    }
}

#[test]
fn pages_are_whole_and_offsets_stay_inside() {
    assert_eq!(
        pages::entry(0x1234_5000),
        Some([0, 0, 0, 0, 0x12, 0x34, 0x50, 0])
    );
    assert_eq!((pages::entry(0x1234_5800), pages::entry(1)), (None, None));
    assert_eq!(pages::address([0, 0, 0, 0, 0, 0, 0x10, 0]), Some(0x1000));
    assert_eq!(pages::address([0, 0, 0, 0, 0, 0, 0x10, 1]), None);
    let cut = |offset, bytes| {
        Some(
            pages::pieces(2, offset, bytes)?
                .map(|it| (it.page, it.from, it.bytes))
                .collect::<Vec<_>>(),
        )
    };
    assert_eq!(cut(4000, 200), Some(vec![(0, 4000, 96), (1, 0, 104)]));
    assert_eq!(cut(0, 8192), Some(vec![(0, 0, 4096), (1, 0, 4096)]));
    assert_eq!(
        (cut(0, 8193), cut(8192, 1), cut(1, 0), cut(u64::MAX, 2)),
        (None, None, None, None)
    );
    assert_eq!(queue_resources::bytes(32, 1), [0, 0, 0, 32, 0, 0, 0, 1]);
}
