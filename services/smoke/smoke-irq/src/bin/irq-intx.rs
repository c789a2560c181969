//! Interrupt lines: two cards on one line, whose pins the devices assert themselves.
#![no_std]
#![cfg_attr(not(test), no_main)]

use sdk::{DeviceRegistry, Env, Error, Timer, fact};
use smoke::outcome;
use smoke_irq::{Card, MESSAGE, NEVER_MS, PIN, SOON_MS, serve, signal, wait};

sdk::entry!(main);

/// There is one CPU, so what a card raises has arrived before the next instruction: this is no guess at how long it takes.
const AT_ONCE_MS: u64 = 1000;

fn main(env: &Env) -> Result<(), Error> {
    let timer: Timer = env.get("timer")?;
    let registry: DeviceRegistry = env.get("registry")?;
    let a = Card::claim(&registry, 0)?;
    let b = Card::claim(&registry, 1)?;
    let of_a = match a.device.interrupt(PIN) {
        Ok(opened) => opened.interrupt,
        Err(refusal) => {
            // No table tells where the pin arrives. The message still does.
            let message = a.listen(MESSAGE)?;
            a.raise(1)?;
            let causes = serve(&a, &message, &timer)?;
            fact!("intx.polled", refusal = refusal.name(), message = causes);
            return Ok(());
        }
    };
    let of_b = b.listen(PIN)?;
    of_a.unmask()?;
    let beside = a.device.interrupt(MESSAGE);
    fact!(
        "intx.opened",
        signal = signal(&of_a)?,
        message_beside_pin = outcome(&beside)
    );

    a.raise(1)?;
    let heard = wait(&of_a, &timer, AT_ONCE_MS)?;
    let other = wait(&of_b, &timer, NEVER_MS);
    let causes = a.settle()?;
    of_a.acknowledge()?;
    let quiet = wait(&of_a, &timer, NEVER_MS);
    fact!(
        "intx.first",
        heard = heard,
        other = outcome(&other),
        causes = causes,
        quiet = outcome(&quiet)
    );

    // A level: acknowledged with its cause still there, it comes again.
    a.raise(2)?;
    wait(&of_a, &timer, SOON_MS)?;
    of_a.acknowledge()?;
    let again = wait(&of_a, &timer, SOON_MS);
    let causes = a.settle()?;
    of_a.acknowledge()?;
    fact!("intx.level", again = outcome(&again), causes = causes);

    // Both at once, over and over.
    let (mut from_a, mut from_b) = (0, 0);
    for _ in 0..50 {
        a.raise(1)?;
        b.raise(1)?;
        from_a += serve(&a, &of_a, &timer)?;
        from_b += serve(&b, &of_b, &timer)?;
    }
    fact!("intx.shared", a = from_a, b = from_b);

    // Who leaves the line takes nothing from the other.
    drop(of_a);
    drop(a);
    b.raise(4)?;
    let causes = serve(&b, &of_b, &timer)?;
    let unowned: u64 = registry.interrupts(0)?.unowned;
    fact!("intx.left", causes = causes, unowned = unowned);
    Ok(())
}
