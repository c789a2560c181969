//! What an `Interrupt` lets its holder do, and what it refuses: two cards, so that one can try the other's.
#![no_std]
#![cfg_attr(not(test), no_main)]

use sdk::{DeviceRegistry, Env, Error, Interrupt, Refusal, Timer, fact};
use smoke::outcome;
use smoke_irq::{Card, MESSAGE, NEVER_MS, PIN, SOON_MS, serve, up, wait};

sdk::entry!(main);

fn main(env: &Env) -> Result<(), Error> {
    let timer: Timer = env.get("timer")?;
    let registry: DeviceRegistry = env.get("registry")?;
    let a = Card::claim(&registry, 0)?;
    let b = Card::claim(&registry, 1)?;
    let (of_a, of_b) = (a.listen(MESSAGE)?, b.listen(MESSAGE)?);
    admission(&a, &of_a);
    others(&a, [&of_a, &of_b], &timer)?;
    masks(&a, &of_a, &timer)?;
    let again = resets(&a, &of_a, &timer)?;

    // The claim goes, and the interrupt with it; the other card's stays.
    drop(a);
    let gone = |result: &Result<(), Refusal>| outcome(result);
    fact!(
        "grant.after-release",
        wait = gone(&again.wait().map(drop)),
        acknowledge = gone(&again.acknowledge()),
        unmask = gone(&again.unmask())
    );
    b.raise(8)?;
    fact!("grant.other-goes-on", causes = serve(&b, &of_b, &timer)?);
    Ok(())
}

fn admission(a: &Card, of_a: &Interrupt) {
    let twice = a.device.interrupt(MESSAGE);
    let pin = a.device.interrupt(PIN);
    let none = a.device.interrupt(PIN + 1);
    let early = of_a.acknowledge();
    let nowhere = of_a.set_affinity(200);
    fact!(
        "grant.admission",
        twice = outcome(&twice),
        pin_beside_message = outcome(&pin),
        no_such_source = outcome(&none),
        acknowledge_early = outcome(&early),
        no_such_cpu = outcome(&nowhere)
    );
}

/// Card A speaks: B's interrupt hears nothing and has nothing to acknowledge.
fn others(a: &Card, [of_a, of_b]: [&Interrupt; 2], timer: &Timer) -> Result<(), Refusal> {
    a.raise(1)?;
    let heard = wait(of_a, timer, SOON_MS)?;
    let other = wait(of_b, timer, NEVER_MS);
    let wrong = of_b.acknowledge();
    fact!(
        "grant.other-cap",
        heard = heard,
        wait = outcome(&other),
        acknowledge = outcome(&wrong)
    );

    a.settle()?;
    let first = of_a.acknowledge();
    let second = of_a.acknowledge();
    fact!(
        "grant.acknowledge",
        first = outcome(&first),
        second = outcome(&second)
    );
    Ok(())
}

fn masks(a: &Card, of_a: &Interrupt, timer: &Timer) -> Result<(), Refusal> {
    let before = of_a.info()?.masked;
    of_a.mask()?;
    let masked = of_a.info()?.masked;
    of_a.mask()?;
    of_a.unmask()?;
    of_a.unmask()?;
    let armed = of_a.info()?.masked;
    a.raise(2)?;
    let causes = serve(a, of_a, timer)?;
    fact!(
        "grant.mask",
        before = before,
        masked = masked,
        unmasked = armed,
        causes = causes
    );
    Ok(())
}

/// Everything that names the route of before a reset is dead. Gives the route of after it.
fn resets(a: &Card, of_a: &Interrupt, timer: &Timer) -> Result<Interrupt, Refusal> {
    up(&a.device)?;
    fact!(
        "grant.after-reset",
        wait = outcome(&of_a.wait()),
        acknowledge = outcome(&of_a.acknowledge()),
        unmask = outcome(&of_a.unmask()),
        mask = outcome(&of_a.mask()),
        affinity = outcome(&of_a.set_affinity(0)),
        info = outcome(&of_a.info())
    );
    let again = a.listen(MESSAGE)?;
    a.raise(4)?;
    fact!("grant.opened-again", causes = serve(a, &again, timer)?);
    Ok(again)
}
