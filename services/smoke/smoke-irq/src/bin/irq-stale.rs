//! Interrupts of before: an interrupt that was raised before a reset, a release, a death or the end of a wait has no
//! effect after it, and what comes after it is not lost.
#![no_std]
#![cfg_attr(not(test), no_main)]

use sdk::device::interrupt::call::Wait;
use sdk::{DeviceRegistry, Env, Error, Interface, Interrupt, NEVER, Refusal, Ring, Timer, fact};
use smoke::{Kit, give, outcome, role};
use smoke_irq::{Card, MESSAGE, NEVER_MS, SOON_MS, serve, up, wait};

sdk::entry!(main);

fn main(env: &Env) -> Result<(), Error> {
    match role(env) {
        Some(how) => Ok(victim(env, how)?),
        None => ask(env),
    }
}

/// Claims the card, has it raise its interrupt, and ends without a look at it.
fn victim(env: &Env, how: &str) -> Result<(), Refusal> {
    let registry: DeviceRegistry = env.get("registry").map_err(|_| Refusal::NotFound)?;
    let timer: Timer = env.get("timer").map_err(|_| Refusal::NotFound)?;
    let card = Card::claim(&registry, 0)?;
    let interrupt = card.listen(MESSAGE)?;
    card.raise(1)?;
    if how == "dies-after" {
        wait(&interrupt, &timer, SOON_MS)?;
    }
    // One that arrives while the first is not acknowledged.
    card.raise(2)?;
    sdk::exit(0, format_args!(""))
}

/// What a new route hears: nothing of before, and what the card raises now, exactly once.
fn hears(card: &Card, interrupt: &Interrupt, timer: &Timer) -> Result<Heard, Refusal> {
    let before = wait(interrupt, timer, NEVER_MS);
    card.raise(0x10)?;
    let causes = serve(card, interrupt, timer)?;
    let after = wait(interrupt, timer, NEVER_MS);
    Ok(Heard {
        before: outcome(&before),
        causes,
        after: outcome(&after),
    })
}

struct Heard {
    before: &'static str,
    causes: u64,
    after: &'static str,
}

fn ask(env: &Env) -> Result<(), Error> {
    let kit = Kit::new(env, "irq-stale")?;
    let registry: DeviceRegistry = env.get("registry")?;
    let timer = &kit.timer;
    let card = Card::claim(&registry, 0)?;
    let interrupt = card.listen(MESSAGE)?;

    cancelled(&card, &interrupt, timer)?;

    // A wait that a reset ends.
    let mut ring = Ring::new(8, 256)?;
    ring.call::<Wait>(interrupt.object(), (), 1, timer.now()?.ns + 2_000_000_000)?;
    ring.submit();
    let told = {
        card.device.reset()?;
        ring.wait(1, NEVER);
        let completion = ring.completed();
        completion.map_or("none", |c| outcome(&c.read::<Wait, _>(|r| r)))
    };
    card.device.configure()?;
    card.device.enable()?;
    // A dispatch that nobody took, and one more that came on top, before another reset.
    let _listening = card.listen(MESSAGE)?;
    card.raise(1)?;
    card.raise(2)?;
    up(&card.device)?;
    let interrupt = card.listen(MESSAGE)?;
    let heard = hears(&card, &interrupt, timer)?;
    fact!(
        "stale.reset",
        waiter = told,
        before = heard.before,
        causes = heard.causes,
        after = heard.after
    );

    // The same over a release of the claim.
    card.raise(1)?;
    card.raise(2)?;
    drop(card);
    let card = Card::claim(&registry, 0)?;
    let dead = interrupt.acknowledge();
    let interrupt = card.listen(MESSAGE)?;
    let heard = hears(&card, &interrupt, timer)?;
    fact!(
        "stale.release",
        old_cap = outcome(&dead),
        before = heard.before,
        causes = heard.causes,
        after = heard.after
    );

    drop(card);
    victims(&kit, &registry)
}

/// A wait that ends by its deadline: what comes later goes to the next wait, once.
fn cancelled(card: &Card, interrupt: &Interrupt, timer: &Timer) -> Result<(), Error> {
    let cancelled = wait(interrupt, timer, NEVER_MS);
    card.raise(1)?;
    let next = wait(interrupt, timer, SOON_MS);
    let again = wait(interrupt, timer, NEVER_MS);
    card.settle()?;
    interrupt.acknowledge()?;
    fact!(
        "stale.cancelled",
        wait = outcome(&cancelled),
        next = outcome(&next),
        again = outcome(&again)
    );
    Ok(())
}

/// The same over the death of whoever held it, before and after it was told.
fn victims(kit: &Kit, registry: &DeviceRegistry) -> Result<(), Error> {
    let timer = &kit.timer;
    for how in ["dies-before", "dies-after"] {
        let given = [give("registry", registry), give("timer", timer)];
        let ended = kit.run(how, &given)?;
        let card = Card::claim(registry, 0)?;
        let interrupt = card.listen(MESSAGE)?;
        let heard = hears(&card, &interrupt, timer)?;
        fact!(
            "stale.death",
            victim = how,
            code = ended.code,
            before = heard.before,
            causes = heard.causes,
            after = heard.after
        );
    }
    Ok(())
}
