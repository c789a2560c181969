//! Can whoever lends an endpoint or memory say how much of it may be used, and keep the rest?
#![no_std]
#![cfg_attr(not(test), no_main)]

use sdk::alloc::vec::Vec;
use sdk::process::process_spawner::Limits;
use sdk::process::virtual_memory;
use sdk::{
    Access, Cap, CapArg, Endpoint, Env, Error, Interface, Lifetime, MemoryObject, Object, Refusal,
    Ring, Window, fact,
};
use smoke::accounts::{child, kit_of};
use smoke::{Kit, Prober, give, mint, outcome, role, serve_probe, wait_until};

sdk::entry!(main);

type VirtualMemory = virtual_memory::Client<Cap>;

const PAGE: u64 = 4096;
/// What is lent of an endpoint, and what of that is lent on.
const SHARE: u32 = 6;
const LENT_ON: u32 = 2;
/// More than anybody is lent.
const MANY: usize = 40;

fn main(env: &Env) -> Result<(), Error> {
    match role(env) {
        Some("borrower") => borrow(env),
        Some("server") => serve_probe(env, |_: &mut Prober, _: u64, _: u64| Ok(0)),
        Some("reader") => read(env),
        _ => ask(env),
    }
}

fn ask(env: &Env) -> Result<(), Error> {
    let kit = Kit::new(env, "smoke-lending")?;
    endpoints(&kit)?;
    servers(&kit)?;
    memory(env, &kit)
}

fn limits() -> Limits {
    child(1000, 300)
}

/// As many facets as are to be had, at most [`MANY`], and why there are no more.
fn mint_all(endpoint: &Endpoint) -> (Vec<smoke::Probe>, &'static str) {
    let mut minted = Vec::new();
    while minted.len() < MANY {
        match mint(endpoint, 5, Lifetime::Durable) {
            Ok(facet) => minted.push(facet),
            Err(refusal) => return (minted, refusal.name()),
        }
    }
    (minted, "nothing")
}

/// Whoever was lent an endpoint mints what its lender lets it, though it could pay for more; nobody else has less for it.
fn endpoints(kit: &Kit) -> Result<(), Error> {
    let endpoint = kit.endpoints.create()?.endpoint;
    let lent = endpoint.lend(SHARE)?.endpoint;
    let mut given = kit_of(kit);
    given.push(give("endpoint", &lent));
    let limits = Limits {
        facets: 4 * MANY as u32,
        ..limits()
    };
    let borrower = kit.start_within("borrower", &limits, &[], &given)?;
    let ended = kit.ended(&borrower)?;
    // Of the borrower nothing is left, but its facets were never heard of.
    let (left, refused) = mint_all(&lent);
    let (own, unbounded) = mint_all(&endpoint);
    fact!(
        "lending.endpoint",
        borrower = ended.kind,
        said = ended.text.as_str(),
        left = left.len(),
        refused = refused,
        own = own.len(),
        own_refused = unbounded
    );
    let none = endpoint.lend(0)?.endpoint;
    let zero = outcome(&mint(&none, 1, Lifetime::Durable));
    drop(endpoint);
    // It ends with what it was lent from.
    let soon = kit.after_ms(20)?;
    let mut ring = Ring::new(8, 128)?;
    ring.receive(none.object(), 1)?;
    ring.wait(1, soon);
    let received = ring.completed().map_or("nothing", |completion| {
        completion.refused().map_or("a call", Refusal::name)
    });
    fact!("lending.none", mint = zero, received_when_closed = received);
    Ok(())
}

fn borrow(env: &Env) -> Result<(), Error> {
    let endpoint: Endpoint = env.get("endpoint")?;
    let (mut minted, why) = mint_all(&endpoint);
    let first = minted.len();
    // Dropped, and not heard of: they count.
    minted.truncate(first / 2);
    let unheard = mint_all(&endpoint).0.len();
    let mut ring = Ring::new(16, 128)?;
    for user in 0..8 {
        ring.receive(endpoint.object(), user)?;
    }
    ring.wait((first - first / 2).min(8) as u16, sdk::NEVER);
    while ring.completed().is_some() {}
    for user in 0..8 {
        ring.cancel(user);
    }
    drop(ring);
    let too_much = outcome(&endpoint.lend(SHARE));
    let on = endpoint.lend(LENT_ON)?.endpoint;
    let (second, _) = mint_all(&on);
    let (rest, _) = mint_all(&endpoint);
    sdk::exit(
        0,
        format_args!(
            "first={first} refused={why} unheard={unheard} too_much={too_much} lent_on={} rest={} renew={} on_renew={}",
            second.len(),
            rest.len(),
            outcome(&endpoint.renew()),
            outcome(&on.renew())
        ),
    )
}

/// A server of a lent endpoint is called like any other, and its end leaves the endpoint open for the next one.
fn servers(kit: &Kit) -> Result<(), Error> {
    let endpoint = kit.endpoints.create()?.endpoint;
    let probe = mint(&endpoint, 1, Lifetime::Durable)?;
    let mut answers = Vec::new();
    for _ in 0..2 {
        let lent = endpoint.lend(SHARE)?.endpoint;
        let server = kit.start("server", &[give("endpoint", &lent)])?;
        drop(lent);
        answers.push(outcome(&probe.words(1, 2)));
        server.kill()?;
        kit.ended(&server)?;
    }
    let soon = kit.after_ms(20)?;
    let between = outcome(&probe.with_deadline(soon).words(1, 2));
    fact!(
        "lending.servers",
        first = answers[0],
        second = answers[1],
        without = between
    );
    Ok(())
}

/// Whoever was given a part of some memory has that, and not what lies beside it.
fn memory(env: &Env, kit: &Kit) -> Result<(), Error> {
    let vm: VirtualMemory = env.get("vm")?;
    let whole = vm.create_memory(4 * PAGE)?.memory;
    let window = Window::map(whole, 4 * PAGE, Access::ReadWrite)?;
    for page in 0..4u8 {
        window.write(u64::from(page) * PAGE, &[page + 1])?;
    }
    let whole = window.memory();
    let part = whole.part(PAGE, 2 * PAGE)?.memory;
    let reader = kit.start(
        "reader",
        &[give("memory", &part), give("timer", &kit.timer)],
    )?;
    let ended = kit.ended(&reader)?;
    let narrow = whole.read_only()?.memory.part(0, PAGE)?.memory;
    fact!(
        "lending.memory",
        reader = ended.kind,
        said = ended.text.as_str(),
        beyond = outcome(&whole.part(3 * PAGE, 2 * PAGE)),
        endless = outcome(&whole.part(PAGE, u64::MAX - PAGE + 1)),
        nothing = outcome(&whole.part(0, 0)),
        inside_a_page = outcome(&whole.part(8, PAGE)),
        read_only = outcome(&narrow.map(0, PAGE, 3)),
        image = outcome(&kit.spawner.spawn_memory(
            "part",
            CapArg::copy(part.object().handle()),
            3 * PAGE,
            &[],
            &limits(),
            &[],
            &[]
        ))
    );
    let mapped = part.map(0, PAGE, 1)?.address;
    whole.revoke()?;
    let gone = wait_until(kit, || part.info().is_err());
    vm.unmap(mapped, PAGE)?;
    fact!(
        "lending.revoked",
        part = gone,
        map = outcome(&part.map(0, PAGE, 1))
    );
    Ok(())
}

fn read(env: &Env) -> Result<(), Error> {
    let memory: MemoryObject = env.get("memory")?;
    let info = memory.info()?;
    let window = Window::map(memory, info.bytes, Access::ReadWrite)?;
    let memory = window.memory();
    let mut words = [[0u8; 1]; 2];
    window.read(0, &mut words[0])?;
    window.read(PAGE, &mut words[1])?;
    let last = memory.part(PAGE, PAGE)?.memory;
    sdk::exit(
        0,
        format_args!(
            "bytes={} first={} last={} beyond={} behind={} of_part={} too_much={} revoke={}",
            info.bytes,
            words[0][0],
            words[1][0],
            outcome(&memory.map(0, 3 * PAGE, 1)),
            outcome(&memory.map(2 * PAGE, PAGE, 1)),
            last.info()?.bytes,
            outcome(&last.part(0, 2 * PAGE)),
            outcome(&memory.revoke())
        ),
    )
}
