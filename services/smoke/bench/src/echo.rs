//! The server of the calls, in a process of its own.

use sdk::schema::bench::echo as wire;
use sdk::{
    Answered, Call, CapArg, Endpoint, Env, Error, Interface, Object, Received, Reply, Service,
};

struct Echo {
    /// What `exchange` sends copies of.
    kept: Option<sdk::Cap>,
}

/// Serves the granted endpoint until it is revoked.
pub fn serve(env: &Env) -> Result<(), Error> {
    let endpoint: Endpoint = env.get("endpoint")?;
    let why = sdk::serve(endpoint.object(), &mut Echo { kept: None });
    Err(why.into())
}

impl Service for Echo {
    fn call(&mut self, received: Received<'_>, call: Call<'_>) -> Answered {
        wire::dispatch(self, received, call)
    }
}

impl<'s> wire::Server<Call<'s>> for Echo {
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
        cap: sdk::Cap,
    ) -> Answered {
        let kept = match self.kept.take() {
            // The first one stays; what comes later is dropped here.
            None => cap,
            Some(kept) => kept,
        };
        let sent = CapArg::copy(kept.handle());
        self.kept = Some(kept);
        reply.send(wire::ExchangeReply { cap: sent })
    }
}
