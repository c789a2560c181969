//! A device with one MSI, which cannot be masked at the device: what it raises arrives, also while nobody could take it.
#![no_std]
#![cfg_attr(not(test), no_main)]

use sdk::device::device_queue::{Command, Direction, Segment};
use sdk::{Access, Device, Env, Error, Interface, Interrupt, Object, Refusal, Timer, Window, fact};
use smoke::outcome;
use smoke_irq::{Card, MESSAGE, NEVER_MS, SOON_MS, regs, serve, signal, wait};

sdk::entry!(main);

/// More than the kernel lets a source send that is never acknowledged.
const FLOOD: u32 = 200;

fn main(env: &Env) -> Result<(), Error> {
    let timer: Timer = env.get("timer")?;
    let card = Card::new(env.get::<Device>("card")?)?;
    let interrupt = card.device.interrupt(MESSAGE)?.interrupt;
    let info = interrupt.info()?;
    fact!(
        "msi.opened",
        signal = signal(&interrupt)?,
        masked = info.masked
    );
    interrupt.unmask()?;
    compute(&card, &interrupt, &timer)?;
    copy(&card, &interrupt, &timer)?;
    keep(&card, &interrupt, &timer)?;
    flood(&card, &interrupt, &timer)?;
    fact!("msi.done");
    Ok(())
}

/// The card computes, and says when it is done.
fn compute(card: &Card, interrupt: &Interrupt, timer: &Timer) -> Result<(), Refusal> {
    card.mmio.write(regs::STATUS, 4, 0x80)?;
    card.mmio.write(regs::FACTORIAL, 4, 10)?;
    let dispatches = wait(interrupt, timer, SOON_MS)?;
    let value = card.mmio.read(regs::FACTORIAL, 4)?.value;
    let causes = card.settle()?;
    interrupt.acknowledge()?;
    fact!(
        "msi.factorial",
        of = 10,
        value = value,
        causes = causes,
        dispatches = dispatches
    );
    Ok(())
}

/// Memory to the card and back, an interrupt for each: from the beginning of a buffer that a large page holds to its end.
fn copy(card: &Card, interrupt: &Interrupt, timer: &Timer) -> Result<(), Refusal> {
    const BYTES: u32 = 256;
    const LARGE: u32 = 2 << 20;
    const END: u32 = LARGE - BYTES;
    let pool = card.device.pool(4 << 20)?.pool;
    let queue = card.device.queue(0, 0, 1, MESSAGE)?.queue;
    let buffer = pool.allocate(LARGE.into(), sdk::Layout::Contiguous)?.buffer;
    let window = Window::map(
        buffer.window(sdk::WindowAccess::ReadWrite)?.memory,
        LARGE.into(),
        Access::ReadWrite,
    )?;
    let pattern: [u8; BYTES as usize] = core::array::from_fn(|i| i as u8 ^ 0x5a);
    window.write(0, &pattern)?;
    for (cookie, (opcode, offset, direction)) in
        [(1, 0, Direction::ToDevice), (2, END, Direction::FromDevice)]
            .into_iter()
            .enumerate()
    {
        let segment = Segment {
            buffer: buffer.object().handle(),
            offset,
            length: BYTES,
            direction,
        };
        let command = Command {
            cookie: cookie as u64,
            template: &[opcode, 0, 0, 0, 64, 0, 0, 0],
            segments: &[segment],
        };
        if let Some(refusal) = queue.submit(&[command])?.refusal {
            return Err(refusal);
        }
        let causes = serve(card, interrupt, timer)?;
        let completed = queue.complete(1, |results| results.completions().map(|c| c.len()))??;
        fact!(
            "msi.dma",
            opcode = opcode,
            causes = causes,
            completed = completed
        );
    }
    let mut back = [0; BYTES as usize];
    window.read(END.into(), &mut back)?;
    fact!("msi.copied", same = back == pattern);
    Ok(())
}

/// What is raised before the acknowledgement, or while the route is masked, is the next dispatch, once.
fn keep(card: &Card, interrupt: &Interrupt, timer: &Timer) -> Result<(), Refusal> {
    card.raise(1)?;
    wait(interrupt, timer, SOON_MS)?;
    card.raise(2)?;
    let early = wait(interrupt, timer, NEVER_MS);
    interrupt.acknowledge()?;
    let next = wait(interrupt, timer, SOON_MS);
    let causes = card.settle()?;
    interrupt.acknowledge()?;
    let again = wait(interrupt, timer, NEVER_MS);
    fact!(
        "msi.before-acknowledge",
        early = outcome(&early),
        next = outcome(&next),
        causes = causes,
        again = outcome(&again)
    );
    interrupt.mask()?;
    card.raise(4)?;
    let masked = wait(interrupt, timer, NEVER_MS);
    interrupt.unmask()?;
    let causes = serve(card, interrupt, timer)?;
    let again = wait(interrupt, timer, NEVER_MS);
    fact!(
        "msi.while-masked",
        early = outcome(&masked),
        causes = causes,
        again = outcome(&again),
        late = interrupt.counts()?.late
    );
    Ok(())
}

/// A source that sends and sends is turned off, and works again once its holder acknowledges.
fn flood(card: &Card, interrupt: &Interrupt, timer: &Timer) -> Result<(), Refusal> {
    for _ in 0..FLOOD {
        card.raise(8)?;
    }
    let counts = interrupt.counts()?;
    fact!(
        "msi.flood",
        storms = counts.storms,
        all_taken = counts.late >= u64::from(FLOOD)
    );
    serve(card, interrupt, timer)?;
    let kept = serve(card, interrupt, timer);
    card.raise(16)?;
    let after = serve(card, interrupt, timer)?;
    fact!("msi.after-flood", kept = outcome(&kept), causes = after);
    Ok(())
}
