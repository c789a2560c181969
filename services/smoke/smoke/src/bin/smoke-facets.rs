//! Does a server learn through which facet it is called, and once when the last handle of one is gone?
#![no_std]
#![cfg_attr(not(test), no_main)]

use sdk::Interface;
use sdk::alloc::vec::Vec;
use sdk::process::process_spawner::Limits;
use sdk::{CapArg, Endpoint, Env, Error, Lifetime, NEVER, Object, Refusal, fact};
use smoke::{Kit, Probe, Prober, give, mint, outcome, probe_at, role, serve_probe, wait_until};

sdk::entry!(main);

/// Facets that somebody may have at once.
const FACETS: u32 = 4;
/// `act`: how many notices came for the cookie `word`.
const NOTICES: u64 = 1;
/// `act`: which incarnation minted the facet with cookie `word`, of which a notice came as of an earlier one; 0 for none.
const EARLIER: u64 = 2;

fn main(env: &Env) -> Result<(), Error> {
    match role(env) {
        Some("server") => serve_probe(env, act),
        // Holds a facet until it is killed.
        Some("holder") => {
            let kit = Kit::new(env, "smoke-facets")?;
            Ok(kit.timer.sleep(NEVER)?)
        }
        Some("minter") => closed(&Kit::new(env, "smoke-facets")?),
        _ => ask(env),
    }
}

fn act(state: &mut Prober, what: u64, word: u64) -> Result<u64, Refusal> {
    match what {
        NOTICES => Ok(state
            .dropped
            .iter()
            .filter(|cookie| **cookie == word)
            .count() as u64),
        EARLIER => Ok(state
            .dropped_earlier
            .iter()
            .find(|(cookie, _)| *cookie == word)
            .map_or(0, |(_, incarnation)| *incarnation)),
        _ => Err(Refusal::BadArgument),
    }
}

fn ask(env: &Env) -> Result<(), Error> {
    let kit = Kit::new(env, "smoke-facets")?;
    let endpoint = kit.endpoints.create()?.endpoint;
    let _server = kit.start("server", &[give("endpoint", &endpoint)])?;
    let control = mint(&endpoint, 1, Lifetime::Durable)?;
    let notices = |cookie: u64| control.act(NOTICES, cookie).map(|results| results.word);

    let (first, second) = (
        mint(&endpoint, 11, Lifetime::Durable)?,
        mint(&endpoint, u64::MAX, Lifetime::Durable)?,
    );
    fact!(
        "facets.cookies",
        first = first.words(0, 0)?.cookie,
        second = second.words(0, 0)?.cookie == u64::MAX
    );

    handed_on(&kit, first, &control)?;

    // As `Directory.open` does: the server mints, the client's handle is the only one.
    let opened = probe_at(control.give(33)?.cap);
    let cookie = opened.words(0, 0)?.cookie;
    let open = notices(33)?;
    drop(opened);
    fact!(
        "facets.opened",
        cookie = cookie,
        open = open,
        closed = notices(33)?
    );

    // A call on its way keeps the facet: the notice comes when the last handle and the last call are gone.
    let busy = mint(&endpoint, 44, Lifetime::Durable)?;
    let soon = kit.after_ms(20)?;
    let timed = busy.with_deadline(soon).hold();
    drop(busy);
    let seen = wait_until(&kit, || notices(44) == Ok(1));
    fact!("facets.after-call", call = outcome(&timed), notice = seen);

    let durable = renewed(&endpoint)?;
    succeed(&kit)?;

    let other = kit.endpoints.create()?.endpoint;
    let foreign = other.revoke_facet(CapArg::copy(durable.object().handle()));
    let kind = other.revoke_facet(CapArg::copy(kit.timer.object().handle()));
    let still: Result<_, Refusal> = Probe::words(&durable, 0, 0);
    fact!(
        "facets.foreign",
        revoke = outcome(&foreign),
        not_a_facet = outcome(&kind),
        still = outcome(&still)
    );
    let limits = Limits {
        facets: FACETS,
        ..Limits::default()
    };
    let given = [
        give("processSpawner", &kit.spawner),
        give("endpointFactory", &kit.endpoints),
        give("timer", &kit.timer),
        give("systemInfo", &kit.info),
    ];
    let minter = kit.start_within("minter", &limits, &[], &given)?;
    let ended = kit.ended(&minter)?;
    fact!("facets.closed", said = ended.text.as_str());
    Ok(())
}

/// Nobody hears of a facet whose endpoint is closed, so it is paid for no longer than it is held, whoever holds another one.
fn closed(kit: &Kit) -> Result<(), Error> {
    let (gone, other) = (
        kit.endpoints.create()?.endpoint,
        kit.endpoints.create()?.endpoint,
    );
    let mut facets = Vec::new();
    while let Ok(facet) = mint(&gone, 1, Lifetime::Durable) {
        facets.push(facet);
    }
    let most = facets.len();
    drop(gone);
    facets.truncate(1);
    let again = mint(&other, 1, Lifetime::Durable);
    sdk::exit(
        0,
        format_args!("most={most} minted_again={}", outcome(&again)),
    )
}

/// A second process holds a facet too: its server hears of the last handle, not of the first one.
fn handed_on(kit: &Kit, first: Probe, control: &Probe) -> Result<(), Error> {
    let notices = |cookie: u64| control.act(NOTICES, cookie).map(|results| results.word);
    let holder = kit.start(
        "holder",
        &[
            give("facet", &first),
            give("processSpawner", &kit.spawner),
            give("endpointFactory", &kit.endpoints),
            give("timer", &kit.timer),
            give("systemInfo", &kit.info),
        ],
    )?;
    drop(first);
    let held_elsewhere = notices(11)?;
    holder.kill()?;
    let ended = kit.ended(&holder)?;
    let after_last = notices(11)?;
    let later = notices(11)?;
    fact!(
        "facets.dropped",
        held_elsewhere = held_elsewhere,
        holder = ended.kind,
        after_last = after_last,
        later = later,
        others = notices(u64::MAX)?
    );
    Ok(())
}

/// What the next incarnation leaves of the facets of the one before. Returns one that it leaves.
fn renewed(endpoint: &Endpoint) -> Result<Probe, Error> {
    let (durable, bound) = (
        mint(endpoint, 55, Lifetime::Durable)?,
        mint(endpoint, 66, Lifetime::Incarnation)?,
    );
    let before = outcome(&bound.words(0, 0));
    let incarnation = endpoint.renew()?.incarnation;
    fact!(
        "facets.renewed",
        before = before,
        incarnation = incarnation,
        durable = outcome(&durable.words(0, 0)),
        bound = outcome(&bound.words(0, 0)),
        new = outcome(&mint(endpoint, 77, Lifetime::Incarnation)?.words(0, 0))
    );
    Ok(durable)
}

/// A provider that is started again, whose session cookies begin anew, while clients of the first one still drop theirs.
fn succeed(kit: &Kit) -> Result<(), Error> {
    let endpoint = kit.endpoints.create()?.endpoint;
    let first = kit.start("server", &[give("endpoint", &endpoint)])?;
    let (session, unheard) = (
        mint(&endpoint, 1, Lifetime::Incarnation)?,
        mint(&endpoint, 3, Lifetime::Incarnation)?,
    );
    let (rebuilt, queued) = (
        mint(&endpoint, 2, Lifetime::Durable)?,
        mint(&endpoint, 4, Lifetime::Durable)?,
    );
    let before = outcome(&session.words(0, 0));
    first.kill()?;
    kit.ended(&first)?;
    // Nobody receives: these two wait for whoever does next.
    drop((unheard, queued));
    endpoint.renew()?;
    let _second = kit.start("server", &[give("endpoint", &endpoint)])?;
    let control = mint(&endpoint, 9, Lifetime::Durable)?;
    let anew = mint(&endpoint, 1, Lifetime::Incarnation)?;
    drop((session, rebuilt));
    let asked = |what, cookie| control.act(what, cookie).map(|results| results.word);
    fact!(
        "facets.successor",
        before = before,
        old_sessions = asked(NOTICES, 1)? + asked(NOTICES, 3)?,
        old_as_earlier = asked(EARLIER, 1)? + asked(EARLIER, 3)?,
        durable_as_own = asked(NOTICES, 2)? + asked(NOTICES, 4)?,
        durable_minted_in = asked(EARLIER, 2)?,
        queued_minted_in = asked(EARLIER, 4)?,
        new_session = outcome(&anew.words(0, 0))
    );
    drop(anew);
    fact!(
        "facets.successor-own",
        session = asked(NOTICES, 1)?,
        earlier = asked(EARLIER, 1)?
    );
    Ok(())
}
