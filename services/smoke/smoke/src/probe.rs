//! The server side of `Probe`, which most smokes call.

use rt::Cap;
use sdk::schema::smoke::probe as wire;
use sdk::{
    Answered, AnyFacet, Call, CapArg, Endpoint, Env, Error, Interface, Late, Lifetime, Received,
    Refusal, Reply, Service, alloc::vec::Vec, serve, stub::read::Numbers,
};

/// A client of `Probe`.
pub type Probe = wire::Client<Cap>;

/// Mints a facet of `Probe`.
///
/// # Errors
/// The kernel's.
pub fn mint(endpoint: &Endpoint, cookie: u64, lifetime: Lifetime) -> Result<Probe, Refusal> {
    Ok(probe_at(
        endpoint.mint(cookie, wire::INTERFACE_ID, lifetime)?.facet,
    ))
}

/// Takes a facet to serve `Probe`.
pub fn probe_at(facet: AnyFacet) -> Probe {
    Probe::from_object(facet.into_object())
}

/// What `act` does in a smoke.
pub trait Acting {
    /// Does it.
    ///
    /// # Errors
    /// What the caller is to be refused.
    fn act(&mut self, state: &mut Prober, what: u64, word: u64) -> Result<u64, Refusal>;
}

/// Nothing.
impl Acting for () {
    fn act(&mut self, _: &mut Prober, _: u64, _: u64) -> Result<u64, Refusal> {
        Err(Refusal::BadArgument)
    }
}

impl<F: FnMut(&mut Prober, u64, u64) -> Result<u64, Refusal>> Acting for F {
    fn act(&mut self, state: &mut Prober, what: u64, word: u64) -> Result<u64, Refusal> {
        self(state, what, word)
    }
}

/// What a server of `Probe` remembers.
#[derive(Default)]
pub struct Prober {
    /// Calls of `words` so far.
    pub served: u64,
    /// Calls of `hold` that wait for an answer.
    pub held: Vec<Late<wire::call::Hold>>,
    /// Capabilities that came with `take`.
    pub taken: Vec<Cap>,
    /// Cookies of facets that are gone.
    pub dropped: Vec<u64>,
    /// Cookies of durable facets that are gone, each with the earlier incarnation that minted it.
    pub dropped_earlier: Vec<(u64, u64)>,
    /// What `give` hands out by number; it mints a facet for any other.
    pub lent: Vec<CapArg>,
    /// The endpoint, for minting.
    pub endpoint: Option<Endpoint>,
}

impl Prober {
    /// Answers the call of `hold` that has waited longest. `false`: none waits.
    pub fn release(&mut self, word: u64) -> bool {
        if self.held.is_empty() {
            return false;
        }
        let late = self.held.remove(0);
        late.send(wire::HoldReply { word });
        true
    }
}

struct Serving<A> {
    state: Prober,
    acting: A,
}

impl<A: Acting> Service for Serving<A> {
    fn call(&mut self, received: Received<'_>, call: Call<'_>) -> Answered {
        wire::dispatch(self, received, call)
    }

    fn dropped(&mut self, cookie: u64) {
        self.state.dropped.push(cookie);
    }

    fn dropped_earlier(&mut self, cookie: u64, incarnation: u64) {
        self.state.dropped_earlier.push((cookie, incarnation));
    }
}

impl<'s, A: Acting> wire::Server<Call<'s>> for Serving<A> {
    fn words(&mut self, reply: Reply<Call<'s>, wire::call::Words>, a: u64, b: u64) -> Answered {
        let before = self.state.served;
        self.state.served += 1;
        let cookie = reply.cookie();
        reply.send(wire::WordsReply {
            sum: a.wrapping_add(b),
            cookie,
            before,
        })
    }

    fn echo(&mut self, reply: Reply<Call<'s>, wire::call::Echo>, bytes: &[u8]) -> Answered {
        reply.send(wire::EchoReply { bytes })
    }

    fn hold(&mut self, reply: Reply<Call<'s>, wire::call::Hold>) -> Answered {
        let (answered, later) = reply.defer();
        self.state.held.push(later);
        answered
    }

    fn take(&mut self, mut reply: Reply<Call<'s>, wire::call::Take>, _tag: &[u8]) -> Answered {
        let mut count = 0;
        while let Ok(cap) = reply.take_cap(count) {
            self.state.taken.push(cap);
            count += 1;
        }
        reply.send(wire::TakeReply {
            taken: count as u64,
        })
    }

    fn give(&mut self, reply: Reply<Call<'s>, wire::call::Give>, what: u64) -> Answered {
        if let Some(&cap) = self.state.lent.get(what as usize) {
            return reply.send(wire::GiveReply { cap });
        }
        let minted = match &self.state.endpoint {
            Some(endpoint) => endpoint.mint(what, wire::INTERFACE_ID, Lifetime::Durable),
            None => Err(Refusal::NotSupported),
        };
        // The copy that stays here goes with the next line; the caller's is the last.
        match minted {
            Ok(minted) => reply.send(wire::GiveReply {
                cap: minted.facet.into_cap(),
            }),
            Err(refusal) => reply.refuse(refusal),
        }
    }

    fn act(&mut self, reply: Reply<Call<'s>, wire::call::Act>, what: u64, word: u64) -> Answered {
        let done = self.acting.act(&mut self.state, what, word);
        reply.answer(done.map(|word| wire::ActReply { word }))
    }

    fn sums(
        &mut self,
        reply: Reply<Call<'s>, wire::call::Sums>,
        small: Numbers<'_, u16>,
        signed: Numbers<'_, i64>,
        bytes: &[u8],
    ) -> Answered {
        let mut sum = 0_u32;
        let sums: Vec<u32> = small
            .iter()
            .map(|number| {
                let before = sum;
                sum = sum.wrapping_add(number.into());
                before
            })
            .collect();
        let back: Vec<i64> = signed.iter().collect();
        let bytes: i64 = bytes.iter().copied().map(i64::from).sum();
        reply.send(wire::SumsReply {
            sums: &sums,
            signed: &back,
            total: back.iter().sum::<i64>() + bytes + i64::from(sum),
        })
    }
}

/// Serves the endpoint that was granted as `endpoint`, until it is gone.
///
/// # Errors
/// It was not granted.
pub fn serve_probe(env: &Env, acting: impl Acting) -> Result<(), Error> {
    lend_probe(env, Vec::new(), acting)
}

/// As [`serve_probe`], and `give` hands out `lent` by number.
///
/// # Errors
/// As [`serve_probe`].
pub fn lend_probe(env: &Env, lent: Vec<CapArg>, acting: impl Acting) -> Result<(), Error> {
    let endpoint: Endpoint = env.get("endpoint")?;
    let own: Endpoint = env.get("endpoint")?;
    let state = Prober {
        lent,
        endpoint: Some(own),
        ..Prober::default()
    };
    let mut serving = Serving { state, acting };
    Err(serve(endpoint.object(), &mut serving).into())
}
