//! Does a SystemGraph show who holds what, as it is, to whom it was granted and to nobody else?
#![no_std]
#![cfg_attr(not(test), no_main)]

use authority_graph::Loss;
use graph_reader::{Process, Seen, Snapshot, read};
use sdk::alloc::format;
use sdk::alloc::string::String;
use sdk::alloc::vec::Vec;
use sdk::diagnostics::system_graph::{About, Kind, Standing};
use sdk::{
    Endpoint, Env, Error, Interface as _, Lifetime, NEVER, Object, Refusal, SystemGraph, Timer,
    fact,
};
use smoke::{Kit, Probe, give, mint, outcome, role, serve_probe, wait_until};

sdk::entry!(main);

/// More than all processes hold.
const MOST: usize = 4096;

fn main(env: &Env) -> Result<(), Error> {
    match role(env) {
        Some("server") => serve_probe(env, ()),
        // Hold what they were given until they are killed.
        Some("idle") => {
            if env.arguments().nth(1) == Some("tell") {
                fact!("graph.given", names = env.entries().count());
            }
            let timer: Timer = env.get("timer")?;
            Ok(timer.sleep(NEVER)?)
        }
        Some("stranger") => stranger(env),
        _ => ask(env),
    }
}

/// Somebody who was not granted it: neither found by name, nor behind any handle that it has.
fn stranger(env: &Env) -> Result<(), Error> {
    let named = env.get::<SystemGraph>("systemGraph").is_ok();
    let handed = env
        .entries()
        .filter(|(_, interface, _)| *interface == smoke::interface_of::<SystemGraph>())
        .count();
    fact!("graph.stranger", named = named, handed = handed);
    let timer: Timer = env.get("timer")?;
    Ok(timer.sleep(NEVER)?)
}

fn find<'a>(snapshot: &'a Snapshot, name: &str) -> Result<&'a Process, Error> {
    Ok(snapshot.named(name).ok_or(Refusal::NotFound)?)
}

fn ask(env: &Env) -> Result<(), Error> {
    let graph: SystemGraph = env.get("systemGraph")?;
    let kit = Kit::new(env, "smoke-graph")?;
    // All of them have done what they do when they start.
    wait_until(&kit, || {
        read(&graph, MOST).is_ok_and(|seen| seen.named("stranger").is_some())
    });
    kit.pause_ms(200)?;
    same_processes(&kit, &graph)?;
    same_counts(&kit, &graph)?;
    pages(&graph)?;
    facets(&kit, &graph)?;
    named(&kit, &graph)?;
    reached(&graph)?;
    lost(&graph)?;
    let refused = graph.held(u64::MAX, 0, |_| ());
    fact!("graph.nobody", held = outcome(&refused));
    Ok(())
}

/// The same processes as another interface shows.
fn same_processes(kit: &Kit, graph: &SystemGraph) -> Result<(), Error> {
    let seen = read(graph, MOST)?;
    let known = kit.info.processes(0, |page| {
        let list = page.list()?;
        let is_known = |id| seen.processes.iter().any(|process| process.id == id);
        let all = list.iter().filter(|process| is_known(process.id())).count();
        Ok::<_, Refusal>((all, list.iter().count()))
    })??;
    let children = seen.processes.iter().filter(|p| p.name != "init");
    let init = find(&seen, "init")?.id;
    fact!(
        "graph.processes",
        same = known == (seen.processes.len(), seen.processes.len()),
        by_init = children.clone().all(|p| p.started_by == init),
        within = seen
            .processes
            .iter()
            .all(|p| p.memory.own + p.memory.given <= p.memory.limit)
    );
    Ok(())
}

/// As many capabilities as another interface counts. They are asked one after the other, so whoever is just being called is asked
/// again.
fn same_counts(kit: &Kit, graph: &SystemGraph) -> Result<(), Error> {
    let counted = |seen: &Snapshot, process: &Process| {
        let count = kit.handles_of(process.id);
        count.is_ok_and(|count| count as usize == seen.of(process.id).count())
    };
    let (mut differ, mut left_out) = (u64::MAX, 0);
    wait_until(kit, || {
        let Ok(seen) = read(graph, MOST) else {
            return false;
        };
        let others = seen.processes.iter().filter(|p| p.name != "smoke");
        differ = others.filter(|p| !counted(&seen, p)).count() as u64;
        left_out = seen.left_out;
        differ == 0
    });
    fact!("graph.counts", differ = differ, left_out = left_out);
    Ok(())
}

/// Where a page of what a process holds goes on, and how long it is.
fn page_of(graph: &SystemGraph, process: u64, from: u32) -> Result<(u32, usize), Refusal> {
    graph.held(process, from, |page| {
        Ok((page.next(), page.list()?.iter().count()))
    })?
}

/// A page ends, and goes on where it said.
fn pages(graph: &SystemGraph) -> Result<(), Error> {
    let init = find(&read(graph, MOST)?, "init")?.id;
    let (mut from, mut longest, mut count) = (0, 0, 0);
    loop {
        let (next, length) = page_of(graph, init, from)?;
        longest = longest.max(length);
        count += length;
        if next == 0 {
            break;
        }
        from = next;
    }
    let beyond = page_of(graph, init, u32::MAX)?;
    fact!(
        "graph.pages",
        bounded = longest <= 32,
        whole = read(graph, MOST)?.of(init).count() == count,
        beyond = beyond == (0, 0)
    );
    Ok(())
}

fn mine(graph: &SystemGraph, env: &str) -> Result<Vec<Seen>, Error> {
    let snapshot = read(graph, MOST)?;
    let id = find(&snapshot, env)?.id;
    Ok(snapshot.of(id).copied().collect())
}

/// What a program holds is given by its name as if it travelled, what it does not hold is refused, and there is an end to both.
fn named(kit: &Kit, graph: &SystemGraph) -> Result<(), Error> {
    use sdk::process::process_spawner::{Grant, Limits};
    let grant = |name, handle| Grant {
        name,
        interface_id: smoke::interface_of::<Timer>(),
        transfer: u16::MAX,
        handle,
    };
    let timer = kit.timer.object().handle();
    let spawn = |name: &str, grants: &[Grant<'_>]| {
        let limits = Limits::default();
        let started = kit
            .spawner
            .spawn(name, "smoke-graph", &["idle"], &limits, grants, &[]);
        started.map(|started| started.process)
    };
    let none = spawn("none", &[grant("timer", u64::MAX)]).map(drop);
    let twice = spawn("twice", &[grant("timer", timer), grant("timer", timer)]).map(drop);
    let names: Vec<String> = (0..33).map(|at| format!("g{at}")).collect();
    let many: Vec<_> = names.iter().map(|name| grant(name, timer)).collect();
    let over = spawn("over", &many).map(drop);
    let process = spawn("named", &[grant("timer", timer), grant("other", timer)])?;
    let holds = mine(graph, "named")?.len();
    fact!(
        "graph.named",
        holds = holds,
        none = outcome(&none),
        twice = outcome(&twice),
        over = outcome(&over)
    );
    process.kill()?;
    kit.ended(&process)?;
    Ok(())
}

/// Facets of one endpoint are different objects with the same endpoint behind them; a copy is the same object; a revoked one says so.
fn facets(kit: &Kit, graph: &SystemGraph) -> Result<(), Error> {
    let endpoint: Endpoint = kit.endpoints.create()?.endpoint;
    let server = kit.start("server", &[give("endpoint", &endpoint)])?;
    let (first, _second): (Probe, Probe) = (
        mint(&endpoint, 1, Lifetime::Durable)?,
        mint(&endpoint, 2, Lifetime::Durable)?,
    );
    first.words(0, 0)?;
    let idle = kit.start("idle", &[give("timer", &kit.timer), give("probe", &first)])?;
    let all = mine(graph, "smoke")?;
    let probes: Vec<_> = all.iter().filter(|seen| seen.kind == Kind::Facet).collect();
    let theirs = mine(graph, "idle")?;
    let copy = theirs.iter().find(|seen| seen.kind == Kind::Facet);
    let served = mine(graph, "server")?;
    let behind = probes.first().map(|seen| seen.subject);
    fact!(
        "graph.facets",
        mine = probes.len(),
        differ = probes.first().map(|seen| seen.object) != probes.last().map(|seen| seen.object),
        same_endpoint = probes.iter().all(|seen| Some(seen.subject) == behind),
        copy_is_first = copy.map(|seen| seen.object) == probes.first().map(|seen| seen.object),
        served = served
            .iter()
            .any(|seen| seen.kind == Kind::Endpoint && Some(seen.subject) == behind)
    );
    let revoked = endpoint.revoke_facet(sdk::CapArg::copy(first.object().handle()));
    let standing = |name| -> Result<_, Error> {
        let seen = mine(graph, name)?;
        let facet = seen.into_iter().filter(|seen| seen.kind == Kind::Facet);
        Ok(facet
            .map(|seen| seen.standing == Standing::Revoked)
            .collect::<Vec<_>>())
    };
    fact!(
        "graph.revoked",
        done = outcome(&revoked),
        mine = standing("smoke")? == [true, false],
        copy = standing("idle")? == [true]
    );
    server.kill()?;
    idle.kill()?;
    kit.ended(&server)?;
    kit.ended(&idle)?;
    Ok(())
}

/// Who can reach the disk: its driver, who calls that, and who calls those.
fn reached(graph: &SystemGraph) -> Result<(), Error> {
    let snapshot = read(graph, MOST)?;
    let disk = find(&snapshot, "disk")?.id;
    let claim = snapshot.of(disk).find(|seen| seen.about == About::Claim);
    let address = claim.map_or(u32::MAX, |seen| seen.subject as u32);
    let reach = snapshot.graph().reach(address);
    let steps = |name| -> Result<i64, Error> {
        let id = find(&snapshot, name)?.id;
        let found = reach.iter().find(|reach| reach.process == id);
        Ok(found.map_or(-1, |reach| i64::from(reach.steps)))
    };
    fact!(
        "graph.reach",
        disk = steps("disk")?,
        volume = steps("volume")?,
        reader = steps("reader")?,
        stranger = steps("stranger")?,
        count = reach.len()
    );
    Ok(())
}

/// What would end with the disk's driver: the claim, and whoever calls it waits.
fn lost(graph: &SystemGraph) -> Result<(), Error> {
    let snapshot = read(graph, MOST)?;
    let disk = find(&snapshot, "disk")?.id;
    let volume = find(&snapshot, "volume")?.id;
    let losses = snapshot.graph().losses(disk);
    let waits = |loss: &Loss| matches!(loss, Loss::Server(_, them) if them.contains(&volume));
    fact!(
        "graph.lost",
        claim = losses.iter().any(|loss| matches!(loss, Loss::Claim(_))),
        volume_waits = losses.iter().any(waits),
        endpoint_ends = losses.iter().any(|loss| matches!(loss, Loss::Endpoint(..)))
    );
    Ok(())
}
