//! Who ends while others meet it: thousands of receives at somebody else's endpoint, of sleeps, of waits, and of calls that
//! nobody takes.

use core::sync::atomic::{AtomicU32, Ordering};

use sdk::alloc::sync::Arc;
use sdk::alloc::vec::Vec;
use sdk::process::process_spawner::{Grant, Limits};
use sdk::process::thread_spawner::Shape;
use sdk::process::{bell, bell_ringer, process_handle, thread_spawner, timer};
use sdk::schema::bench::echo;
use sdk::{
    Cap, CapArg, Endpoint, EndpointFactory, Env, Error, Interface, JoinHandle, Lifetime, NEVER,
    Object, ProcessHandle, ProcessSpawner, Refusal, Ring, ThreadOptions, Timer, spawn_thread,
};

type Bell = bell::Client<Cap>;

/// Operations under way in each thread, of a ring of 256.
const EACH: u16 = 250;
/// Calls to an endpoint, and facets that go, while who receives there ends.
const MEETINGS: u64 = 40;

const fn options(submissions: u16, message_bytes: u32) -> ThreadOptions {
    ThreadOptions {
        stack_bytes: 32 * 1024,
        shape: Shape {
            submissions,
            message_bytes,
            priority: 16,
            cpu: -1,
        },
    }
}

/// Starts many threads and says when they have begun.
struct Crowd(Arc<AtomicU32>);

impl Crowd {
    fn new() -> Self {
        Self(Arc::new(AtomicU32::new(0)))
    }

    /// Starts one, which fills its ring with what `submit` submits and waits until that is over.
    fn add(
        &self,
        submit: impl Fn(&mut Ring, u64) -> Result<(), Refusal> + Send + 'static,
    ) -> Result<JoinHandle<Result<(), Refusal>>, Refusal> {
        let begun = self.0.clone();
        spawn_thread(options(256, 48 * 1024), move || {
            let mut ring = Ring::new(EACH, 128)?;
            (0..u64::from(EACH)).try_for_each(|user| submit(&mut ring, user))?;
            ring.submit();
            begun.fetch_add(1, Ordering::AcqRel);
            ring.wait(EACH, NEVER);
            while ring.completed().is_some() {}
            Ok(())
        })
    }

    /// Waits until so many have.
    fn wait(&self, timer: &Timer, count: u32) -> Result<(), Refusal> {
        while self.0.load(Ordering::Acquire) < count {
            sdk::sleep_for(timer, 2_000_000)?;
        }
        Ok(())
    }
}

/// Rings the bell that whoever started this process waits at, and waits for the end.
fn ready(env: &Env) -> Result<(), Error> {
    let ready: bell_ringer::Client<Cap> = env.get("ready")?;
    let timer: Timer = env.get("timer")?;
    ready.ring(1)?;
    timer.sleep(NEVER)?;
    Ok(())
}

/// Starts a process in a role of this file, and returns when it is ready.
fn start(
    env: &Env,
    role: &str,
    limits: &Limits,
    endpoint: &Endpoint,
) -> Result<ProcessHandle, Error> {
    let threads: thread_spawner::Client<Cap> = env.get("threads")?;
    let spawner: ProcessSpawner = env.get("processSpawner")?;
    let (timer, factory): (Timer, EndpointFactory) =
        (env.get("timer")?, env.get("endpointFactory")?);
    let bell: Bell = threads.bell()?.bell;
    let ringer = bell.narrow(1)?.ringer;
    let given = [
        ("timer", Timer::INTERFACE_ID, timer.object()),
        (
            "endpointFactory",
            EndpointFactory::INTERFACE_ID,
            factory.object(),
        ),
        (
            "processSpawner",
            ProcessSpawner::INTERFACE_ID,
            spawner.object(),
        ),
        ("endpoint", Endpoint::INTERFACE_ID, endpoint.object()),
        (
            "ready",
            bell_ringer::Client::<Cap>::INTERFACE_ID,
            ringer.object(),
        ),
    ];
    let transfers = given.map(|(_, _, object)| CapArg::copy(object.handle()));
    let mut transfer = 0;
    let grants = given.map(|(name, interface_id, _)| {
        transfer += 1;
        Grant {
            name,
            interface_id,
            transfer: transfer - 1,
            handle: 0,
        }
    });
    let started = spawner.spawn("hold", "bench", &[role], limits, &grants, &transfers)?;
    bell.wait(1)?;
    Ok(started.process)
}

/// Kills processes that have much under way.
pub fn killed(env: &Env, endpoints: &EndpointFactory, timer: &Timer) -> Result<(), Error> {
    let limits = Limits {
        memory_pages: 100_000,
        handles: 16_000,
        threads: 220,
        endpoints: 4,
        facets: 8_000,
        ..Limits::default()
    };
    let endpoint = endpoints.create()?.endpoint;
    let mint = |cookie| endpoint.mint(cookie, echo::INTERFACE_ID, Lifetime::Durable);
    let called = echo::Client::<Cap>::from_object(mint(MEETINGS)?.facet.into_object());
    let going: Vec<_> = (0..MEETINGS).map(mint).collect::<Result<_, _>>()?;
    let receiving = start(env, "hold-receiving", &limits, &endpoint)?;
    receiving.kill()?;
    for facet in going {
        let until = timer.now()?.ns + 1_000_000;
        // Nobody answers.
        let _ = called.with_deadline(until).words(1, 2, 3, 4);
        drop(facet);
    }
    receiving.wait(|_| ())?;
    for (role, cpu_per_mille) in [("hold-sleeping", 0), ("hold-spinning", 100)] {
        let limits = Limits {
            cpu_per_mille,
            ..limits
        };
        let process = start(env, role, &limits, &endpoint)?;
        sdk::sleep_for(timer, 30_000_000)?;
        process.kill()?;
        process.wait(|_| ())?;
    }
    Ok(())
}

/// 15,000 receives at an endpoint of somebody else.
pub fn receiving(env: &Env) -> Result<(), Error> {
    let (endpoint, timer): (Endpoint, Timer) = (env.get("endpoint")?, env.get("timer")?);
    let handle = endpoint.object().handle();
    let crowd = Crowd::new();
    for _ in 0..60 {
        core::mem::forget(crowd.add(move |ring, user| ring.receive(&Cap::borrowed(handle), user))?);
    }
    crowd.wait(&timer, 60)?;
    ready(env)
}

/// 50,000 sleeps of 200 threads.
pub fn sleeping(env: &Env) -> Result<(), Error> {
    let timer: Timer = env.get("timer")?;
    let handle = timer.object().handle();
    let crowd = Crowd::new();
    for at in 0..200 {
        core::mem::forget(crowd.add(move |ring, user| {
            let until_ns = 600_000_000_000 + (user * 7919 + at * 104_729) % 1_000_003;
            let until = timer::SleepParams { until_ns };
            ring.call::<timer::call::Sleep>(&Cap::borrowed(handle), until, user, NEVER)
        })?);
    }
    crowd.wait(&timer, 200)?;
    ready(env)
}

/// 200 threads that spin.
pub fn spinning(env: &Env) -> Result<(), Error> {
    for _ in 0..200 {
        core::mem::forget(spawn_thread(options(8, 4 * 1024), || {
            loop {
                core::hint::spin_loop();
            }
        })?);
    }
    ready(env)
}

/// 10,000 waits for the end of one process; then calls that nobody takes: 4,000, each through its own facet, which go, and 5,000
/// through one, which goes, whose endpoint closes, or which are late.
pub fn waits(env: &Env) -> Result<(), Error> {
    let timer: Timer = env.get("timer")?;
    let endpoints: EndpointFactory = env.get("endpointFactory")?;
    let endpoint = endpoints.create()?.endpoint;
    let process = start(env, "hold-ready", &Limits::default(), &endpoint)?;
    let handle = process.object().handle();
    let crowd = Crowd::new();
    let wait = move |ring: &mut Ring, user| {
        let process = Cap::borrowed(handle);
        ring.call::<process_handle::call::Wait>(&process, (), user, NEVER)
    };
    let waiting: Vec<_> = (0..40).map(|_| crowd.add(wait)).collect::<Result<_, _>>()?;
    crowd.wait(&timer, 40)?;
    process.kill()?;
    for thread in waiting {
        thread.join()??;
    }
    let facets: Vec<Cap> = (0..16 * u64::from(EACH))
        .map(|cookie| {
            let made = endpoint.mint(cookie, echo::INTERFACE_ID, Lifetime::Durable)?;
            Ok(made.facet.into_object())
        })
        .collect::<Result<_, Refusal>>()?;
    let crowd = Crowd::new();
    let mut calling = Vec::new();
    for part in facets.chunks(usize::from(EACH)) {
        let part: Vec<u64> = part.iter().map(Object::handle).collect();
        calling.push(crowd.add(move |ring, user| {
            let (a, b, c, d) = (1, 2, 3, 4);
            let facet = Cap::borrowed(part.get(user as usize).copied().unwrap_or_default());
            ring.call::<echo::call::Words>(&facet, echo::WordsParams { a, b, c, d }, user, NEVER)
        })?);
    }
    crowd.wait(&timer, 16)?;
    for facet in &facets {
        endpoint.revoke_facet(CapArg::copy(facet.handle()))?;
    }
    for thread in calling {
        thread.join()??;
    }
    for end in [OneFacet::Revoked, OneFacet::Closed, OneFacet::Late] {
        through_one(&endpoints, &timer, end)?;
    }
    Ok(())
}

/// How calls through one facet end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum OneFacet {
    Revoked,
    Closed,
    Late,
}

fn through_one(endpoints: &EndpointFactory, timer: &Timer, end: OneFacet) -> Result<(), Error> {
    let endpoint = endpoints.create()?.endpoint;
    let facet = endpoint.mint(1, echo::INTERFACE_ID, Lifetime::Durable)?;
    let handle = facet.facet.object().handle();
    let until = match end {
        OneFacet::Late => timer.now()?.ns + 1_000_000_000,
        OneFacet::Revoked | OneFacet::Closed => NEVER,
    };
    let crowd = Crowd::new();
    let call = move |ring: &mut Ring, user| {
        let (a, b, c, d) = (1, 2, 3, 4);
        let words = echo::WordsParams { a, b, c, d };
        ring.call::<echo::call::Words>(&Cap::borrowed(handle), words, user, until)
    };
    let calling: Vec<_> = (0..20).map(|_| crowd.add(call)).collect::<Result<_, _>>()?;
    crowd.wait(timer, 20)?;
    match end {
        OneFacet::Revoked => endpoint.revoke_facet(CapArg::copy(handle))?,
        OneFacet::Closed => drop(endpoint),
        OneFacet::Late => {}
    }
    for thread in calling {
        thread.join()??;
    }
    Ok(())
}

/// Waits for its end.
pub fn idle(env: &Env) -> Result<(), Error> {
    ready(env)
}
