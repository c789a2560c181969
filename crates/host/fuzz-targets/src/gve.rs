//! What a gVNIC or its driver writes.

use gve_format::{
    Command, Descriptor, DeviceOption, Formats, PAGE_BYTES, QueueFormat, Resources, dqo, gqi, pages,
};

/// The first byte says what the rest is: a device descriptor, an admin command, a GQI or a DQO descriptor, a completion, or a range
/// of a page list.
pub fn gve(data: &[u8]) -> bool {
    let Some((kind, rest)) = data.split_first() else {
        return false;
    };
    match kind % 8 {
        0 => descriptor(rest),
        1 => read(rest, |bytes| {
            let command = Command::read(bytes).ok()?;
            assert_eq!(Command::read(&command.bytes()), Ok(command));
            Some(())
        }),
        2 => read(rest, |bytes| {
            let tx = gqi::Tx::read(bytes).ok()?;
            assert_eq!(gqi::Tx::read(&tx.bytes()), Ok(tx));
            Some(())
        }),
        3 => read(rest, |bytes| {
            let rx = gqi::Rx::read(bytes);
            assert_eq!(gqi::Rx::read(&rx.bytes()), rx);
            let frame = rx.frame_bytes(2048)?;
            assert!(frame > 0 && frame <= 2046);
            Some(())
        }),
        4 => read(rest, |bytes| {
            let tx = dqo::Tx::read(bytes).ok()?;
            assert_eq!(dqo::Tx::read(&tx.bytes()), Ok(tx));
            Some(())
        }),
        5 => read(rest, |bytes| {
            let event = dqo::TxCompletion::read(bytes).ok()?;
            assert_eq!(event.generation, dqo::TxCompletion::generation(bytes));
            assert_eq!(dqo::TxCompletion::read(&event.bytes()), Ok(event));
            Some(())
        }),
        6 => read(rest, |bytes| {
            let event = dqo::RxCompletion::read(bytes).ok()?;
            assert_eq!(event.generation, dqo::RxCompletion::generation(bytes));
            assert!(event.bytes <= dqo::MAX_PIECE_BYTES);
            assert_eq!(dqo::RxCompletion::read(&event.bytes()), Ok(event));
            Some(())
        }),
        _ => read(rest, range),
    }
}

fn read<const N: usize>(bytes: &[u8], what: impl FnOnce(&[u8; N]) -> Option<()>) -> bool {
    bytes.first_chunk::<N>().and_then(what).is_some()
}

fn descriptor(bytes: &[u8]) -> bool {
    let Ok((descriptor, options)) = Descriptor::read(bytes) else {
        return false;
    };
    assert!(usize::from(descriptor.total_bytes) <= bytes.len());
    let count = options.count();
    assert!(count <= usize::from(descriptor.options));
    let _ = Formats::of(options);
    let (again, _) = Descriptor::read(bytes).expect("the same bytes");
    assert_eq!(again, descriptor);
    true
}

/// Two bytes of pages, eight of offset, two of length.
fn range(bytes: &[u8; 12]) -> Option<()> {
    let [a, b, offset @ .., c, d] = *bytes;
    let (count, length) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
    let offset = u64::from_be_bytes(offset);
    let pieces = pages::pieces(count.into(), offset, length.into())?;
    let mut sum = 0;
    for piece in pieces {
        assert!(piece.page < count.into(), "a page outside of the list");
        assert!(piece.bytes > 0 && piece.from + piece.bytes <= PAGE_BYTES);
        sum += piece.bytes;
    }
    assert_eq!(sum, length.into());
    Some(())
}

/// What a device and a driver that mean well write: target, name, bytes.
pub fn seeds() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let segment = segment();
    let received = received();
    let context = context();
    let sent = sent();
    let taken = taken();
    let described = described();
    let resources = resources();
    let range = [0, 2, 0, 0, 0, 0, 0, 0, 0x0f, 0xa0, 0, 200];
    let all: [(&'static str, &[u8]); 8] = [
        ("descriptor", &described),
        ("resources", &resources.bytes()),
        ("segment", &segment.bytes()),
        ("received", &received.bytes()),
        ("dqo-context", &context.bytes()),
        ("dqo-sent", &sent.bytes()),
        ("dqo-received", &taken.bytes()),
        ("range", &range),
    ];
    let tagged = |(kind, (name, bytes)): (usize, (&'static str, &[u8]))| {
        ("gve", name, [&[kind as u8], bytes].concat())
    };
    all.into_iter().enumerate().map(tagged).collect()
}

fn described() -> Vec<u8> {
    let option = DeviceOption::Format {
        format: QueueFormat::DqoQpl,
        features: 0,
        pages: (64, 256),
    };
    let (option, length) = option.bytes();
    let descriptor = Descriptor {
        max_pages: 1024,
        tx_entries: 256,
        rx_entries: 256,
        default_queues: 1,
        mtu: 1460,
        counters: 8,
        tx_pages: 64,
        rx_pages: 256,
        mac: [0x42, 1, 10, 0, 2, 2],
        options: 1,
        total_bytes: 40 + length as u16,
    };
    [&descriptor.bytes(), &option[..length]].concat()
}

fn resources() -> Command {
    Command::ConfigureResources(Resources {
        counters_at: 0x1000,
        doorbells_at: 0x2000,
        counters: 8,
        blocks: 2,
        stride: 64,
        first_vector: 0,
        format: QueueFormat::GqiQpl,
    })
}

fn segment() -> gqi::Tx {
    gqi::Tx::Segment {
        ipv6: false,
        header: 7,
        segment_bytes: 1448,
        bytes: 4096,
        at: 64,
    }
}

fn received() -> gqi::Rx {
    gqi::Rx {
        bytes: 62,
        flags: gqi::rx_flag::IPV4,
        sequence: 1,
        ..gqi::Rx::default()
    }
}

fn context() -> dqo::Tx {
    dqo::Tx::TsoContext {
        payload_bytes: 4096,
        segment_bytes: 1448,
        header_bytes: 66,
    }
}

fn sent() -> dqo::TxCompletion {
    dqo::TxCompletion {
        queue: 0,
        event: dqo::TxEvent::Packet(7),
        generation: true,
    }
}

fn taken() -> dqo::RxCompletion {
    dqo::RxCompletion {
        buffer: 7,
        bytes: 62,
        generation: true,
        end: true,
        ..dqo::RxCompletion::default()
    }
}
