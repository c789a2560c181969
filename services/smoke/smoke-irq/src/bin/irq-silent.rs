//! A provider that never acknowledges: what else goes on?
#![no_std]
#![cfg_attr(not(test), no_main)]

use sdk::{Device, DeviceRegistry, Env, Error, Refusal, Timer, fact};
use smoke::{Kit, give, role};
use smoke_irq::{Card, MESSAGE, PIN, serve};

sdk::entry!(main);

/// How long the silent one asserts its line before it is looked at.
const ROUNDS: u64 = 50;

fn main(env: &Env) -> Result<(), Error> {
    match role(env) {
        Some(_) => Ok(silent(env)?),
        None => ask(env),
    }
}

/// Has its card assert the line, and sleeps.
fn silent(env: &Env) -> Result<(), Refusal> {
    let missing = |_| Refusal::NotFound;
    let registry: DeviceRegistry = env.get("registry").map_err(missing)?;
    let timer: Timer = env.get("timer").map_err(missing)?;
    let card = Card::claim(&registry, 0)?;
    let interrupt = card.listen(PIN)?;
    card.raise(1)?;
    fact!("silent.asserts", causes = card.causes()?);
    timer.sleep(sdk::NEVER)?;
    drop(interrupt);
    Ok(())
}

fn ask(env: &Env) -> Result<(), Error> {
    let kit = Kit::new(env, "irq-silent")?;
    let registry: DeviceRegistry = env.get("registry")?;
    let timer = &kit.timer;
    let other = Card::new(env.get::<Device>("other")?)?;
    let third = Card::new(env.get::<Device>("third")?)?;
    let (of_other, of_third) = (other.listen(PIN)?, third.listen(MESSAGE)?);
    let given = [
        give("registry", &registry),
        give("timer", timer),
        give("console", &env.get::<sdk::Console>("console")?),
    ];
    let process = kit.start("silent", &given)?;
    kit.pause_ms(300)?;

    let start = timer.now()?.ns;
    let (mut line, mut message, mut ticks) = (0, 0, 0);
    for _ in 0..ROUNDS {
        other.raise(1)?;
        // Either is missing here if the silent one keeps the line or the CPU.
        line += u64::from(serve(&other, &of_other, timer).is_ok());
        third.raise(1)?;
        message += u64::from(serve(&third, &of_third, timer).is_ok());
        ticks += u64::from(kit.pause_ms(1).is_ok());
        if line < ROUNDS && timer.now()?.ns - start > 8_000_000_000 {
            break;
        }
    }
    fact!(
        "silent.others",
        line = line,
        message = message,
        ticks = ticks
    );
    let seen = registry.interrupts(0)?;
    fact!("silent.counted", spurious = seen.spurious, unowned = seen.unowned, device ~ seen.device);
    process.kill()?;
    kit.ended(&process)?;
    // Its card goes to the next one.
    let card = Card::claim(&registry, 0)?;
    let interrupt = card.listen(PIN)?;
    card.settle()?;
    card.raise(2)?;
    fact!(
        "silent.successor",
        causes = serve(&card, &interrupt, timer)?
    );
    Ok(())
}
