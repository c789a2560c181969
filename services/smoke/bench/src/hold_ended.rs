//! The end of an account of which somebody else holds thousands of things.

use sdk::alloc::vec::Vec;
use sdk::process::process_spawner::{Grant, Limits};
use sdk::process::virtual_memory;
use sdk::schema::bench::echo as wire;
use sdk::{
    Answered, Call, Cap, CapArg, Endpoint, EndpointFactory, Env, Error, Interface, Lifetime,
    Object, ProcessSpawner, Received, Refusal, Reply, Service,
};

const PAGE: u64 = 4096;
/// Memory objects and facets that are given away, and endpoints.
const MANY: u64 = 3000;
const ENDPOINTS: u64 = 400;

/// Starts who keeps and who gives, and waits for the end of who gives.
pub fn ended(endpoints: &EndpointFactory, spawner: &ProcessSpawner) -> Result<(), Error> {
    let endpoint = endpoints.create()?.endpoint;
    let facet = endpoint
        .mint(1, wire::INTERFACE_ID, Lifetime::Durable)?
        .facet;
    let limits = Limits {
        memory_pages: 40_000,
        handles: 16_000,
        endpoints: 420,
        facets: 4_000,
        ..Limits::default()
    };
    let start = |role: &str, name, interface_id, handle| {
        let grants = [
            grant(name, interface_id, 0),
            grant("endpointFactory", EndpointFactory::INTERFACE_ID, 1),
        ];
        let transfers = [
            CapArg::copy(handle),
            CapArg::copy(endpoints.object().handle()),
        ];
        spawner.spawn("hold", "bench", &[role], &limits, &grants, &transfers)
    };
    let keeper = start(
        "hold-keeper",
        "endpoint",
        Endpoint::INTERFACE_ID,
        endpoint.object().handle(),
    )?;
    let facet = facet.into_object();
    let giver = start("hold-giver", "keeper", wire::INTERFACE_ID, facet.handle())?;
    let code = giver.process.wait(|end| end.code())?;
    keeper.process.kill()?;
    keeper.process.wait(|_| ())?;
    if code == 0 {
        Ok(())
    } else {
        Err(Refusal::Failed.into())
    }
}

const fn grant(name: &str, interface_id: u64, transfer: u16) -> Grant<'_> {
    Grant {
        name,
        interface_id,
        transfer,
        handle: 0,
    }
}

/// Makes thousands of things, gives them away, and ends.
pub fn give(env: &Env) -> Result<(), Error> {
    let keeper: wire::Client<Cap> = env.get("keeper")?;
    let vm: virtual_memory::Client<Cap> = env.get("vm")?;
    let factory: EndpointFactory = env.get("endpointFactory")?;
    let own = factory.create()?.endpoint;
    for cookie in 0..MANY {
        let memory = vm.create_memory(PAGE)?.memory;
        keeper.exchange(&[], CapArg::copy(memory.object().handle()))?;
        let facet = own
            .mint(cookie, wire::INTERFACE_ID, Lifetime::Durable)?
            .facet;
        keeper.exchange(&[], CapArg::copy(facet.into_object().handle()))?;
    }
    for _ in 0..ENDPOINTS {
        let endpoint = factory.create()?.endpoint;
        keeper.exchange(&[], CapArg::copy(endpoint.object().handle()))?;
    }
    Ok(())
}

/// Keeps everything that it gets, until it is ended.
pub fn keep(env: &Env) -> Result<(), Error> {
    let endpoint: Endpoint = env.get("endpoint")?;
    let why = sdk::serve(endpoint.object(), &mut Keeper(Vec::new()));
    Err(why.into())
}

struct Keeper(Vec<Cap>);

impl Service for Keeper {
    fn call(&mut self, received: Received<'_>, call: Call<'_>) -> Answered {
        wire::dispatch(self, received, call)
    }
}

impl<'s> wire::Server<Call<'s>> for Keeper {
    fn words(
        &mut self,
        reply: Reply<Call<'s>, wire::call::Words>,
        a: u64,
        b: u64,
        c: u64,
        d: u64,
    ) -> Answered {
        reply.send(wire::WordsReply { a, b, c, d })
    }

    fn message(&mut self, reply: Reply<Call<'s>, wire::call::Message>, bytes: &[u8]) -> Answered {
        reply.send(wire::MessageReply { bytes })
    }

    fn exchange(
        &mut self,
        reply: Reply<Call<'s>, wire::call::Exchange>,
        _bytes: &[u8],
        cap: Cap,
    ) -> Answered {
        self.0.push(cap);
        let cap = CapArg::copy(self.0[0].handle());
        reply.send(wire::ExchangeReply { cap })
    }
}
