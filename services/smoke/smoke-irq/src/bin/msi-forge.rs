//! Three cards that raise interrupts which are not theirs: what another may raise, and what ended, arrives nowhere. The cards do
//! that by themselves, from outside of this machine. With the argument `leave` it ends after the first interrupt.
#![no_std]
#![cfg_attr(not(test), no_main)]

use sdk::{DeviceRegistry, Env, Error, Interrupt, Refusal, Timer, fact};
use smoke::outcome;
use smoke_irq::{Card, MESSAGE, NEVER_MS, wait};

sdk::entry!(main);

/// How long the cards may take for what they do.
const PATIENCE_MS: u64 = 60_000;

/// What arrived at a route: dispatches until the first that was waited for, causes at its card, and whether anything came after.
struct Heard {
    dispatches: u64,
    causes: u64,
    after: &'static str,
}

fn hear(card: &Card, interrupt: &Interrupt, timer: &Timer) -> Result<Heard, Refusal> {
    let dispatches = wait(interrupt, timer, PATIENCE_MS)?;
    let causes = card.settle()?;
    interrupt.acknowledge()?;
    let after = outcome(&wait(interrupt, timer, NEVER_MS));
    Ok(Heard {
        dispatches,
        causes,
        after,
    })
}

fn main(env: &Env) -> Result<(), Error> {
    let registry: DeviceRegistry = env.get("registry")?;
    let timer: Timer = env.get("timer")?;
    let (first, second) = (Card::claim(&registry, 0)?, Card::claim(&registry, 1)?);
    let third = Card::claim(&registry, 2)?;
    let (one, two) = (first.listen(MESSAGE)?, second.listen(MESSAGE)?);
    let unowned = || registry.interrupts(0).map(|one| one.unowned);
    let before = unowned()?;

    // The first card uses messages of the second, and some that are nobody's, and at last its own.
    fact!("forge.ready");
    let own = hear(&first, &one, &timer)?;
    let other = wait(&two, &timer, NEVER_MS);
    fact!(
        "forge.own",
        dispatches = own.dispatches,
        causes = own.causes,
        after = own.after,
        other = outcome(&other),
        unowned = unowned()? - before
    );

    if env.arguments().any(|word| word == "leave") {
        return Ok(());
    }

    // The second card's interrupt ends, and the third card's gets its vector. Then both use their messages.
    drop(two);
    timer.sleep(timer.now()?.ns + NEVER_MS * 1_000_000)?;
    let three = third.listen(MESSAGE)?;
    fact!("forge.ended");
    let own = hear(&third, &three, &timer)?;
    fact!(
        "forge.after",
        dispatches = own.dispatches,
        causes = own.causes,
        after = own.after,
        unowned = unowned()? - before
    );
    Ok(())
}
