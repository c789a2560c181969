//! Registers, configuration space and interrupts in the name of a provider.
#![allow(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests may fail"
)]

mod machine;

use device_manager::{Access, Claim, Layout, Refusal};
use driver_core::{QueueSpec, Registers, Settings};
use machine::{BAR0, Fake, Machine, OWNER, STRANGER, Ticket};

use device_manager::Platform;

const FIRST: u64 = BAR0 + 0x40_0000;

fn registers(fake: &Fake) -> Registers {
    fake.registers(FIRST, 0x4000).unwrap()
}

#[test]
fn registers_are_default_deny() {
    let it = Machine::new();
    let claim = it.claim(0);
    let m = &it.manager;
    let device = registers(&it.fake);
    device.write32(0x10, 0xabcd_0011).unwrap();
    assert_eq!(m.mmio_read(&claim, 0, 0x10, 4), Ok(0xabcd_0011));
    assert_eq!(m.mmio_read(&claim, 0, 0x11, 1), Ok(0));
    assert_eq!(m.mmio_read(&claim, 0, 0x1c, 8), Err(Refusal::Misaligned));
    assert_eq!(m.mmio_read(&claim, 0, 0x20, 4), Err(Refusal::WindowRefused));
    assert_eq!(m.mmio_read(&claim, 0, 0x4000, 4), Err(Refusal::OutOfRange));
    assert_eq!(
        m.mmio_read(&claim, 0, u64::MAX, 4),
        Err(Refusal::OutOfRange)
    );
    assert_eq!(m.mmio_read(&claim, 1, 0, 4), Err(Refusal::OutOfRange));
    assert_eq!(m.mmio_read(&claim, 0, 0, 3), Err(Refusal::BadArgument));

    assert_eq!(
        m.mmio_write(&claim, 0, 0x10, 4, 0xabcd_0055),
        Ok(0xabcd_0055)
    );
    // A bit outside the mask, a value against the rule, bits above the width, another width, no window.
    for (offset, width, value) in [
        (0x10, 4, 0xabce_0055),
        (0x10, 4, 0xabcd_0080),
        (0x10, 4, 0x1_abcd_0055),
        (0x10, 1, 0x55),
        (0x14, 4, 0),
    ] {
        let refused = m.mmio_write(&claim, 0, offset, width, value);
        assert_eq!(
            refused,
            Err(Refusal::WindowRefused),
            "{offset:#x} {value:#x}"
        );
    }
    assert_eq!(device.read32(0x10), Ok(0xabcd_0055));
    // The interrupt table is the kernel's, whatever the broker lists.
    assert_eq!(
        m.mmio_read(&claim, 0, 0x2000, 4),
        Err(Refusal::WindowRefused)
    );
    assert_eq!(
        m.mmio_write(&claim, 0, 0x2000, 4, 1),
        Err(Refusal::WindowRefused)
    );
}

#[test]
fn pages_with_interrupt_tables_are_never_mapped() {
    let it = Machine::new();
    let claim = it.claim(0);
    let m = &it.manager;
    let info = m.mmio_info(&claim, 0).unwrap();
    assert_eq!((info.bytes, info.mappable_pages), (0x4000, 2));
    assert_eq!(m.mmio_info(&claim, 2), Err(Refusal::OutOfRange));
    let refused = |offset, bytes| m.mmio_map(&claim, 0, offset, bytes).err();
    assert_eq!(refused(0x2000, 1), Some(Refusal::WindowRefused));
    assert_eq!(refused(0x3000, 4096), Some(Refusal::WindowRefused));
    assert_eq!(refused(0x1000, 0x1001), Some(Refusal::WindowRefused));
    assert_eq!(refused(0, 0), Some(Refusal::ZeroLength));
    assert_eq!(refused(0x800, 0x800), Some(Refusal::Misaligned));
    assert_eq!(refused(0x4000, 1), Some(Refusal::OutOfRange));
    assert_eq!(refused(0, u64::MAX), Some(Refusal::OutOfRange));
    let (id, view) = m.mmio_map(&claim, 0, 0, 0x2000).unwrap();
    assert!(!view.writable);
    m.mmio_unmap(&claim, id).unwrap();
    assert!(view.is_revoked());
    assert_eq!(m.mmio_unmap(&claim, id), Err(Refusal::Stale));
    let (_, buffer) = it.buffer(&claim, 4096);
    m.buffer_window(&claim, buffer, Access::Read).unwrap();
    let (id, view) = m.mmio_map(&claim, 0, 0x1000, 1).unwrap();
    m.release(&claim).unwrap();
    assert!(view.is_revoked());
    assert_eq!(m.mmio_unmap(&claim, id), Err(Refusal::Revoked));
}

#[test]
fn configuration_space_is_a_filtered_copy() {
    let it = Machine::new();
    let claim = it.claim(0);
    assert_eq!(it.manager.read_config(&claim, 0), Ok(0x0001_1234));
    // What a BAR decodes, not where.
    assert_eq!(it.manager.read_config(&claim, 0x10), Ok(0));
    assert_eq!(
        it.manager.read_config(&claim, 0x30),
        Err(Refusal::OutOfRange)
    );
    assert_eq!(it.manager.read_config(&claim, 2), Err(Refusal::OutOfRange));
    assert_eq!(
        it.manager.read_config(&claim, 0xf00),
        Err(Refusal::OutOfRange)
    );
}

/// Vector control of a source, as the device sees it: 1 is masked.
fn masked(fake: &Fake, source: u64) -> bool {
    fake.register(FIRST + 0x2000 + source * 16 + 12) & 1 == 1
}

#[test]
fn one_dispatch_one_wait_one_acknowledgement() {
    let it = Machine::new();
    let claim = it.claim(0);
    let m = &it.manager;
    let route = m.interrupt_open(&claim, 2).unwrap();
    assert_eq!(m.interrupt_open(&claim, 2), Err(Refusal::AlreadyExists));
    assert_eq!(m.interrupt_open(&claim, 4), Err(Refusal::OutOfRange));
    let (cpu, vector) = it.fake.vectors()[0];
    assert_eq!(it.fake.register(FIRST + 0x2020), 0xfee0_0000);
    assert_eq!(it.fake.register(FIRST + 0x2028), u32::from(vector));
    assert!((0..4).all(|source| masked(&it.fake, source)));
    // Masked: whatever arrives wakes nobody, and is kept.
    assert!(m.on_interrupt(cpu, vector) && m.on_interrupt(cpu, vector));
    assert_eq!(m.interrupt_try_wait(&claim, &route), Ok(None));
    assert_eq!(
        m.interrupt_acknowledge(&claim, &route),
        Err(Refusal::WrongState)
    );

    m.interrupt_unmask(&claim, &route).unwrap();
    assert!((0..4).all(|source| masked(&it.fake, source)));
    assert_eq!(m.interrupt_try_wait(&claim, &route), Ok(Some(1)));
    m.interrupt_acknowledge(&claim, &route).unwrap();
    assert!(!masked(&it.fake, 2) && masked(&it.fake, 1));
    let [first, second] = [Ticket::new(), Ticket::new()];
    m.interrupt_wait(&claim, &route, first.waiter());
    m.interrupt_wait(&claim, &route, second.waiter());
    assert_eq!(second.answer(), Some(Err(Refusal::Busy)));
    assert!(m.on_interrupt(cpu, vector) && masked(&it.fake, 2));
    assert_eq!(first.answer(), Some(Ok(2)));
    assert_eq!(m.interrupt_try_wait(&claim, &route), Ok(None));
    m.interrupt_acknowledge(&claim, &route).unwrap();
    assert!(!masked(&it.fake, 2));
    assert_eq!(
        m.interrupt_acknowledge(&claim, &route),
        Err(Refusal::Duplicate)
    );

    // A dispatch before the wait is not lost; a mask holds beyond the acknowledgement.
    assert!(m.on_interrupt(cpu, vector));
    m.interrupt_mask(&claim, &route).unwrap();
    assert_eq!(m.interrupt_try_wait(&claim, &route), Ok(Some(3)));
    m.interrupt_acknowledge(&claim, &route).unwrap();
    assert!(masked(&it.fake, 2));
    let info = m.interrupt_info(&claim, &route).unwrap();
    assert_eq!((info.source, info.delivered, info.masked), (2, 3, true));
}

#[test]
fn a_dispatch_that_nobody_took_goes_to_the_next_wait() {
    let it = Machine::new();
    let claim = it.claim(0);
    let m = &it.manager;
    let route = m.interrupt_open(&claim, 0).unwrap();
    m.interrupt_unmask(&claim, &route).unwrap();
    let (cpu, vector) = it.fake.vectors()[0];
    for go in [Ticket::go, Ticket::go_deaf] {
        let ticket = Ticket::new();
        m.interrupt_wait(&claim, &route, ticket.waiter());
        go(&ticket);
        assert!(m.on_interrupt(cpu, vector));
        assert_eq!(ticket.answer(), None);
        let next = Ticket::new();
        m.interrupt_wait(&claim, &route, next.waiter());
        assert!(matches!(next.answer(), Some(Ok(_))));
        m.interrupt_acknowledge(&claim, &route).unwrap();
        assert_eq!(m.interrupt_try_wait(&claim, &route), Ok(None));
    }
}

#[test]
fn a_route_of_before_a_reset_wakes_nobody() {
    let it = Machine::new();
    let claim = it.claim(0);
    let m = &it.manager;
    let route = m.interrupt_open(&claim, 1).unwrap();
    m.interrupt_unmask(&claim, &route).unwrap();
    let (cpu, vector) = it.fake.vectors()[0];
    let ticket = Ticket::new();
    m.interrupt_wait(&claim, &route, ticket.waiter());
    it.reset(&claim).unwrap();
    assert_eq!(ticket.answer(), Some(Err(Refusal::Revoked)));
    assert!(masked(&it.fake, 1) && !m.on_interrupt(cpu, vector));
    assert_eq!(m.interrupt_info(&claim, &route), Err(Refusal::Stale));
    assert_eq!(m.interrupt_unmask(&claim, &route), Err(Refusal::Stale));
    let again = m.interrupt_open(&claim, 1).unwrap();
    assert!(m.interrupt_info(&claim, &again).unwrap().delivered == 0);
    // The vector is used again, under another source.
    let other = m.interrupt_open(&claim, 3).unwrap();
    m.interrupt_unmask(&claim, &other).unwrap();
    let (cpu, vector) = it.fake.vectors()[1];
    assert!(m.on_interrupt(cpu, vector));
    assert_eq!(m.interrupt_try_wait(&claim, &again), Ok(None));
    m.interrupt_close(&claim, &other).unwrap();
    assert_eq!(m.interrupt_close(&claim, &other), Err(Refusal::Stale));
    assert_eq!(it.fake.vectors().len(), 1);
}

#[test]
#[expect(clippy::too_many_lines, reason = "one case after the other")]
fn nothing_answers_a_stranger_or_an_old_claim() {
    let it = Machine::new();
    let (claim, queue) = it.running(0);
    let route = it.manager.interrupt_open(&claim, 0).unwrap();
    let (pool, buffer) = it.buffer(&claim, 4096);
    let stranger = Claim::allege(claim.function(), STRANGER, claim.generation());
    let future = Claim::allege(claim.function(), OWNER, claim.generation() + 1);
    let everything = |claim: &Claim, why: Refusal| {
        let m = &it.manager;
        assert_eq!(m.read_config(claim, 0), Err(why));
        assert_eq!(m.configure(claim, Settings::Plain), Err(why));
        assert_eq!(m.mmio_info(claim, 0), Err(why));
        assert_eq!(m.mmio_read(claim, 0, 0, 4), Err(why));
        assert_eq!(m.mmio_write(claim, 0, 0x10, 4, 0), Err(why));
        assert_eq!(m.mmio_map(claim, 0, 0, 4096).err(), Some(why));
        assert_eq!(m.interrupt_open(claim, 1), Err(why));
        assert_eq!(m.interrupt_info(claim, &route), Err(why));
        assert_eq!(m.interrupt_try_wait(claim, &route), Err(why));
        assert_eq!(m.interrupt_acknowledge(claim, &route), Err(why));
        assert_eq!(m.interrupt_mask(claim, &route), Err(why));
        assert_eq!(m.interrupt_unmask(claim, &route), Err(why));
        assert_eq!(m.interrupt_close(claim, &route), Err(why));
        assert_eq!(m.pool_create(claim, 4096), Err(why));
        assert_eq!(m.pool_info(claim, pool), Err(why));
        assert_eq!(m.pool_close(claim, pool), Err(why));
        assert_eq!(
            m.buffer_allocate(claim, pool, 1, Layout::Scattered),
            Err(why)
        );
        assert_eq!(m.buffer_info(claim, buffer), Err(why));
        assert_eq!(
            m.buffer_window(claim, buffer, Access::ReadWrite).err(),
            Some(why)
        );
        assert_eq!(m.buffer_free(claim, buffer), Err(why));
        assert_eq!(m.queue_info(claim, queue), Err(why));
        let ticket = Ticket::new();
        m.queue_reset(claim, queue, ticket.waiter());
        assert_eq!(ticket.answer(), Some(Err(why)));
        assert_eq!(it.submit(claim, queue, 0, &[]).refusal, Some(why));
        assert_eq!(it.complete(claim, queue), Err(why));
        assert_eq!(m.release(claim), Err(why));
        type Late = fn(&device_manager::DeviceManager<Fake>, &Claim, &Ticket<()>);
        let late: [Late; 2] = [
            |m, claim, ticket| m.reset(claim, ticket.waiter()),
            |m, claim, ticket| m.enable(claim, ticket.waiter()),
        ];
        for begin in late {
            let ticket = Ticket::new();
            begin(m, claim, &ticket);
            assert_eq!(ticket.answer(), Some(Err(why)));
        }
        let spec = QueueSpec {
            kind: 1,
            index: 1,
            depth: 1,
            vector: None,
        };
        let ticket = Ticket::new();
        m.queue_open(claim, spec, ticket.waiter());
        assert_eq!(ticket.answer(), Some(Err(why)));
        let ticket = Ticket::new();
        m.interrupt_wait(claim, &route, ticket.waiter());
        assert_eq!(ticket.answer(), Some(Err(why)));
        m.queue_close(claim, queue);
        m.buffer_release(claim, buffer);
    };
    everything(&stranger, Refusal::WrongOwner);
    everything(&future, Refusal::Stale);
    // All that changed nothing.
    assert!(it.manager.queue_info(&claim, queue).is_ok());
    it.manager.release(&claim).unwrap();
    everything(&claim, Refusal::Revoked);
    it.settle();
    everything(&claim, Refusal::Stale);
    it.claim(0);
    everything(&claim, Refusal::Stale);
}
