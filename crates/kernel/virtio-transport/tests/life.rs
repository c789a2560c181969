//! A device's life: what is written to it, in which order, and what is refused.
#![allow(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests may fail"
)]

mod class;
mod model;

use class::{FEATURES, make};
use dma_ledger::ResetProof;
use driver_core::{NvmeSettings, Operation, Poll, Probed, QueuePlace, Refusal, Settings, Step};
use model::{Harness, KINDS, Kind, ask, probed, usual};

const MODERN: Kind = KINDS[0];
const LEGACY: Kind = KINDS[2];
const STOPPED: Result<Step, Refusal> = Ok(Step::Stopped(ResetProof::VirtioStatusZero));
const VERSION_1: u64 = 1 << 32;

#[test]
fn either_interface_comes_up_in_the_order_of_the_specification() {
    for kind in KINDS {
        let mut one = Harness::new(kind, &[64, 32], make);
        one.state().offered |= 0b1011;
        assert_eq!(one.reset(), STOPPED);
        let agreed = one.configure(usual()).unwrap();
        let version = if kind.is_modern() { VERSION_1 } else { 0 };
        assert_eq!(agreed.features, 0b1010 | version);
        assert_eq!((agreed.queues, agreed.depth), (2, 64));
        let config = agreed.config.unwrap();
        let place = (config.bar, u64::from(config.offset));
        let expected = match kind {
            Kind::Modern { .. } => (4, 0x2000),
            Kind::Legacy { vectors: 0 } => (0, 20),
            Kind::Legacy { .. } => (0, 24),
        };
        assert_eq!(place, expected);
        assert_eq!(config.bytes, 12);
        let access = one.broker.access();
        assert_eq!(access.readable.as_slice(), [(place.0, place.1, 12)]);
        assert!(access.windows.is_empty() && access.mappable.is_empty());
        assert_eq!(one.enable(), Ok(()));

        let state = one.state();
        let ok = if kind.is_modern() { 8 } else { 0 };
        let mut order = vec![0, 1, 3];
        order.extend((ok != 0).then_some(3 | ok));
        order.push(7 | ok);
        assert_eq!(state.statuses, order);
        assert_eq!(state.accepted, agreed.features);
        for (index, queue) in (0..).zip(&state.queues) {
            let vector = if index < kind.vectors() {
                index
            } else {
                0xffff
            };
            assert_eq!(queue.vector, vector);
            assert!(queue.parts.iter().all(|part| *part >= model::BUS));
            assert!(queue.enabled == 1 || queue.page != 0);
        }
        assert_eq!(state.config_vector, if kind == LEGACY { 7 } else { 0xffff });
    }
}

#[test]
fn a_reset_is_proven_by_reading_zero_and_by_nothing_else() {
    for kind in KINDS {
        let mut one = Harness::new(kind, &[64, 32], make);
        one.broker.begin(&mut one.io, Operation::Reset).unwrap();
        assert_eq!(one.state().statuses, [0]);
        for _ in 0..2 {
            let poll = one.broker.poll(&mut one.io);
            assert!(matches!(poll, Poll::Pending { .. }), "{poll:?}");
            assert_eq!(one.configure(usual()), Err(Refusal::WrongState));
        }
        let proof = Step::Stopped(ResetProof::VirtioStatusZero);
        assert_eq!(one.broker.poll(&mut one.io), Poll::Done(proof));
        let again = one.broker.poll(&mut one.io);
        assert_eq!(again, Poll::Failed(Refusal::WrongState));

        one.state().reset_looks = None;
        one.state().status = 15;
        assert_eq!(one.reset(), Err(Refusal::TimedOut));
        assert_eq!(one.configure(usual()), Err(Refusal::WrongState));
        // A device that is gone reads as ones; that is no proof, before or after the write.
        one.state().gone = true;
        assert_eq!(one.reset(), Err(Refusal::DeviceError));
        one.state().gone = false;
        one.state().reset_looks = Some(3);
        one.broker.begin(&mut one.io, Operation::Reset).unwrap();
        one.state().gone = true;
        let poll = one.broker.poll(&mut one.io);
        assert_eq!(poll, Poll::Failed(Refusal::DeviceError));
    }
}

#[test]
fn wishes_that_are_none_are_refused_before_any_effect() {
    for kind in KINDS {
        let mut one = Harness::new(kind, &[64, 32], make);
        one.reset().unwrap();
        let before = one.state().statuses.len();
        // Event index, indirect descriptors, packed ring, access platform, order, merged buffers: never.
        for bit in [0, 4, 15, 27, 28, 29, 33, 34, 35, 36, 37, 38, 40, 63] {
            assert_eq!(
                one.configure(ask(1 << bit, 0, 0)),
                Err(Refusal::BadArgument),
                "{bit}"
            );
        }
        for depth in [3, 6, 63, 65, 32767] {
            assert_eq!(one.configure(ask(0, 0, depth)), Err(Refusal::BadArgument));
        }
        for depth in [32769, u16::MAX] {
            assert_eq!(one.configure(ask(0, 0, depth)), Err(Refusal::OutOfRange));
        }
        for queues in [3, u16::MAX] {
            assert_eq!(one.configure(ask(0, queues, 0)), Err(Refusal::OutOfRange));
        }
        for other in [
            Settings::Plain,
            Settings::Nvme(&mut NvmeSettings::default()),
        ] {
            let refused = one.broker.configure(&mut one.io, other);
            assert_eq!(refused, Err(Refusal::NotSupported));
        }
        assert_eq!(one.state().statuses.len(), before);
        // More than the device has.
        assert_eq!(one.configure(ask(0, 0, 128)), Err(Refusal::OutOfRange));
        assert_eq!(one.enable(), Err(Refusal::WrongState));
        // What is allowed and not offered is not taken; what the broker always takes is.
        one.state().offered |= 0b1010;
        let taken = one.configure(ask(0b0100 | VERSION_1, 1, 16)).unwrap();
        assert_eq!(taken.features & FEATURES, 0b1000);
        assert_eq!(taken.queues, 1);
        assert_eq!(taken.depth, if kind.is_modern() { 16 } else { 64 });
        one.enable().unwrap();
        assert_eq!(one.configure(usual()), Err(Refusal::WrongState));
    }
}

#[test]
fn sizes_of_the_device_are_checked() {
    for kind in [MODERN, LEGACY] {
        let configured = |sizes: &[u16], depth| {
            let mut one = Harness::new(kind, sizes, make);
            one.reset().unwrap();
            one.configure(ask(0, 0, depth)).map(|agreed| agreed.depth)
        };
        for bad in [3, 100, 0x8001, 0xffff] {
            assert_eq!(
                configured(&[bad, 64], 0),
                Err(Refusal::DeviceError),
                "{bad}"
            );
            assert_eq!(
                configured(&[64, bad], 0),
                Err(Refusal::DeviceError),
                "{bad}"
            );
        }
        for missing in [&[64, 0][..], &[0, 64], &[64], &[]] {
            assert_eq!(configured(missing, 0), Err(Refusal::NotSupported));
        }
        let modern = kind.is_modern();
        assert_eq!(
            configured(&[1024, 256], 0),
            Ok(if modern { 256 } else { 1024 })
        );
        assert_eq!(configured(&[1024, 256], 1024), Ok(1024));
        assert_eq!(configured(&[32768, 256], 32768), Ok(32768));
        assert_eq!(configured(&[1, 1], 0), Ok(1));
    }
}

#[test]
fn the_longest_queue_works_and_memory_that_is_not_there_is_refused() {
    for kind in KINDS {
        let mut one = Harness::with_pages(kind, &[32768, 1024], 2048, make);
        assert_eq!(one.up(ask(0, 0, 32768)).depth, 32768);
        one.open(0, 32768).unwrap();
        assert_eq!(one.open(1, 2048), Err(Refusal::OutOfRange));
        one.open(1, 1024).unwrap();

        let mut one = Harness::with_pages(kind, &[32768, 1024], 64, make);
        one.reset().unwrap();
        one.configure(ask(0, 0, 32768)).unwrap();
        assert_eq!(one.enable(), Err(Refusal::NoMemory));
        // A smaller wish is taken afterwards, where the device lets one choose.
        one.reset().unwrap();
        one.configure(ask(0, 0, 32)).unwrap();
        let expected = if kind.is_modern() {
            Ok(())
        } else {
            Err(Refusal::NoMemory)
        };
        assert_eq!(one.enable(), expected);
    }
}

#[test]
fn bus_addresses_are_agreed_on_wherever_a_modern_device_offers_them() {
    const ACCESS_PLATFORM: u64 = 1 << 33;
    for kind in KINDS {
        let mut one = Harness::new(kind, &[64, 32], make);
        one.state().offered |= ACCESS_PLATFORM | 0b1000;
        one.reset().unwrap();
        for wish in [0, 0b1000] {
            let agreed = one.configure(ask(wish, 0, 0)).unwrap();
            let taken = agreed.features & ACCESS_PLATFORM != 0;
            assert_eq!(taken, kind.is_modern());
        }
        // It stays the broker's to say, as before.
        let wished = one.configure(ask(ACCESS_PLATFORM, 0, 0));
        assert_eq!(wished, Err(Refusal::BadArgument));
        one.enable().unwrap();
        let accepted = one.state().accepted & ACCESS_PLATFORM != 0;
        assert_eq!(accepted, kind.is_modern());
    }
}

#[test]
fn a_device_that_contradicts_is_not_enabled() {
    type Fault = fn(&mut model::State);
    let faults: [(Fault, bool); 6] = [
        (|state| state.refuse_features = true, true),
        (|state| state.refuse_vectors = true, false),
        (|state| state.refuse_queue = true, false),
        (|state| state.needs_reset = true, false),
        (|state| state.notify_off = vec![1024, 1], true),
        (|state| state.restless = true, true),
    ];
    for kind in [MODERN, KINDS[3]] {
        for (index, (fault, modern_only)) in faults.iter().enumerate() {
            if *modern_only && !kind.is_modern() {
                continue;
            }
            let mut one = Harness::new(kind, &[64, 32], make);
            one.reset().unwrap();
            one.configure(usual()).unwrap();
            fault(&mut one.state());
            let refusal = if one.state().refuse_features {
                // Not a contradiction: it does not work with what is taken, and will not another time.
                Refusal::NotSupported
            } else {
                Refusal::DeviceError
            };
            assert_eq!(one.enable(), Err(refusal), "{kind:?} {index}");
            assert_eq!(one.state().statuses.last(), Some(&128));
            assert_eq!(one.open(0, 1), Err(Refusal::WrongState));
            assert_eq!(
                one.broker.queue_limit(QueuePlace { kind: 0, index: 0 }),
                None
            );
        }
    }
    let mut one = Harness::new(MODERN, &[64, 32], make);
    one.state().offered = 0b1110;
    one.reset().unwrap();
    assert_eq!(one.configure(usual()), Err(Refusal::NotSupported));
}

#[test]
fn a_function_that_is_neither_is_refused() {
    let refused = |probed: Probed| make(&probed).err();
    let legacy = probed(LEGACY);
    assert_eq!(refused(legacy), None);
    let no = Some(Refusal::NotSupported);
    assert_eq!(
        refused(Probed {
            device: 0x1044,
            ..legacy
        }),
        no
    );
    assert_eq!(
        refused(Probed {
            port_bytes: [0; 6],
            ..legacy
        }),
        no
    );
    assert_eq!(
        refused(Probed {
            port_bytes: [16, 0, 0, 0, 0, 0],
            ..legacy
        }),
        no
    );
    // Only the first BAR counts.
    assert_eq!(
        refused(Probed {
            port_bytes: [0, 64, 64, 0, 0, 0],
            ..legacy
        }),
        no
    );
    // With MSI-X there are four ports more.
    let little = Probed {
        port_bytes: [20, 0, 0, 0, 0, 0],
        ..legacy
    };
    assert_eq!(refused(little), None);
    assert_eq!(
        refused(Probed {
            msix_vectors: 1,
            ..little
        }),
        no
    );
    let modern = probed(MODERN);
    assert_eq!(make(&modern).unwrap().access().ports, None);
    assert_eq!(make(&legacy).unwrap().access().ports, Some(0));
}

#[test]
fn queues_open_once_with_their_own_source() {
    for kind in KINDS {
        let mut one = Harness::new(kind, &[64, 32], make);
        assert_eq!(one.open(0, 1), Err(Refusal::WrongState));
        one.up(usual());
        for (index, depth) in [(0, 0), (0, 65), (1, 33), (2, 1), (u16::MAX, 1)] {
            assert_eq!(one.open(index, depth), Err(Refusal::OutOfRange));
        }
        let wrong: &[u16] = if kind.vectors() > 0 {
            &[1, 2, 3, 0xfffe]
        } else {
            &[1, 2]
        };
        for source in wrong {
            let opened = one.open_with(0, 1, Some(*source));
            assert_eq!(opened, Err(Refusal::BadArgument), "{kind:?} {source}");
        }
        one.open(0, 64).unwrap();
        assert_eq!(one.open(0, 64), Err(Refusal::WrongState));
        assert_eq!(one.state().available_flags(0), 0);
        // Without a source the device is asked not to interrupt.
        one.open_with(1, 8, None).unwrap();
        assert_eq!(one.state().available_flags(1), 1);
        // A reset ends both.
        one.up(usual());
        assert_eq!(one.submit(0, 0, &[], &[]), Err(Refusal::OutOfRange));
        one.open(0, 64).unwrap();
    }
}

#[test]
fn the_line_is_lowered_by_reading_what_no_provider_may_read() {
    for kind in KINDS {
        let mut one = Harness::new(kind, &[64, 32], make);
        one.up(usual());
        let mut ask = |isr| {
            one.state().isr = isr;
            let ours = one.broker.acknowledge_line(&mut one.io);
            (ours, one.state().isr)
        };
        let by_message = kind.vectors() > 0;
        let read = |isr| if by_message { (false, isr) } else { (true, 0) };
        assert_eq!(ask(1), read(1));
        assert_eq!(ask(2), read(2));
        assert_eq!(ask(0), (false, 0));
        one.state().gone = true;
        assert!(!one.broker.acknowledge_line(&mut one.io));
    }
}

#[test]
fn pages_are_used_again_after_a_reset() {
    for kind in KINDS {
        let mut one = Harness::new(kind, &[64, 32], make);
        one.up(usual());
        let runs = one.io.runs;
        for _ in 0..20 {
            one.up(usual());
        }
        assert_eq!(one.io.runs, runs);
    }
    // Nor does an attempt that found no memory cost the pages of before.
    let mut one = Harness::with_pages(MODERN, &[4096, 32], 64, make);
    one.up(ask(0, 0, 32));
    let runs = one.io.runs;
    for _ in 0..20 {
        one.reset().unwrap();
        one.configure(ask(0, 0, 4096)).unwrap();
        assert_eq!(one.enable(), Err(Refusal::NoMemory));
        one.up(ask(0, 0, 32));
    }
    assert_eq!(one.io.runs, runs);
}
