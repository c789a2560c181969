//! Services on the host: the same dispatch, encoding and transfers as in the guest, with mocks for what they call.

use std::cell::RefCell;
use std::rc::Rc;

use sdk::process::entropy_source;
use sdk::random::hardware_random;
use sdk::{
    Access, Answered, Call, Endpoint, EntropySource, HardwareRandom, Incoming, Interface, Lifetime,
    Received, Refusal, Reply, Service, Window,
};

/// Words that count up.
struct Dice(u64);

impl Service for Dice {
    fn call(&mut self, received: Received<'_>, call: Call<'_>) -> Answered {
        entropy_source::dispatch(self, received, call)
    }
}

impl<'c> entropy_source::Server<Call<'c>> for Dice {
    fn fill(&mut self, reply: Reply<Call<'c>, entropy_source::call::Fill>) -> Answered {
        self.0 += 1;
        reply.send(entropy_source::FillReply {
            a: self.0,
            ..Default::default()
        })
    }
}

/// Bytes made of another service's words: its own calls go to a mock.
struct Bytes(EntropySource);

impl Service for Bytes {
    fn call(&mut self, received: Received<'_>, call: Call<'_>) -> Answered {
        hardware_random::dispatch(self, received, call)
    }
}

impl<'c> hardware_random::Server<Call<'c>> for Bytes {
    fn read(
        &mut self,
        reply: Reply<Call<'c>, hardware_random::call::Read>,
        bytes: u32,
    ) -> Answered {
        let word = match self.0.fill() {
            Ok(words) => words.a.to_le_bytes(),
            Err(refusal) => return reply.refuse(refusal),
        };
        match word.get(..bytes as usize) {
            Some(data) => reply.send(hardware_random::ReadReply { data }),
            None => reply.refuse(Refusal::OutOfRange),
        }
    }

    fn info(&mut self, reply: Reply<Call<'c>, hardware_random::call::Info>) -> Answered {
        let (answered, later) = reply.defer();
        // Nobody keeps it.
        drop(later);
        answered
    }
}

#[test]
fn words_and_messages_arrive_and_refusals_too() {
    let random: HardwareRandom = sdk::host::serve(Bytes(sdk::host::serve(Dice(0x0102_0300))));
    let read = |bytes| random.read(bytes, |results| results.data().map(<[u8]>::to_vec));
    assert_eq!(read(4), Ok(Ok(vec![1, 3, 2, 1])));
    assert_eq!(read(9), Err(Refusal::OutOfRange));
    assert_eq!(read(1), Ok(Ok(vec![3])));
}

#[test]
fn a_reply_that_is_dropped_says_so() {
    let random: HardwareRandom = sdk::host::serve(Bytes(sdk::host::serve(Dice(0))));
    assert_eq!(random.info().err(), Some(Refusal::NoReply));
}

/// Objects by cookie: what each call came for, and which objects are gone.
struct Objects {
    seen: Rc<RefCell<Vec<u64>>>,
    gone: Rc<RefCell<Vec<u64>>>,
}

impl Service for Objects {
    fn call(&mut self, received: Received<'_>, call: Call<'_>) -> Answered {
        self.seen.borrow_mut().push(call.cookie());
        entropy_source::dispatch(self, received, call)
    }

    fn dropped(&mut self, cookie: u64) {
        self.gone.borrow_mut().push(cookie);
    }
}

impl<'c> entropy_source::Server<Call<'c>> for Objects {
    fn fill(&mut self, reply: Reply<Call<'c>, entropy_source::call::Fill>) -> Answered {
        reply.send(entropy_source::FillReply::default())
    }
}

#[test]
fn facets_carry_cookies_and_their_end_is_told() {
    let seen = Rc::new(RefCell::new(Vec::new()));
    let gone = Rc::new(RefCell::new(Vec::new()));
    let (see, go) = (Rc::clone(&seen), Rc::clone(&gone));
    let mut other = None;
    let first: EntropySource = sdk::host::serve_objects(|endpoint: Endpoint| {
        let facet = endpoint.mint(7, entropy_source::INTERFACE_ID, Lifetime::Incarnation);
        other = Some(facet.unwrap().facet.into_object());
        Objects {
            seen: see,
            gone: go,
        }
    });
    let second: EntropySource = Interface::from_object(other.unwrap());
    first.fill().unwrap();
    second.fill().unwrap();
    assert_eq!(*seen.borrow(), [0, 7]);
    assert!(gone.borrow().is_empty());
    drop(second);
    assert_eq!(*gone.borrow(), [7]);
}

#[test]
fn memory_maps_and_is_bounded() {
    let window = Window::map(sdk::host::memory(64), 64, Access::ReadWrite).unwrap();
    window.write(60, b"tail").unwrap();
    let mut back = [0; 4];
    window.read(60, &mut back).unwrap();
    assert_eq!(&back, b"tail");
    assert_eq!(window.write(61, b"over"), Err(Refusal::OutOfRange));
    let all = Window::map(sdk::host::memory(64), 65, Access::Read);
    assert_eq!(all.err(), Some(Refusal::OutOfRange));
}

#[test]
#[should_panic(expected = "calls itself")]
fn a_service_that_calls_itself_is_told() {
    struct Loop(Option<EntropySource>);
    impl Service for Loop {
        fn call(&mut self, received: Received<'_>, call: Call<'_>) -> Answered {
            entropy_source::dispatch(self, received, call)
        }
    }
    impl<'c> entropy_source::Server<Call<'c>> for Loop {
        fn fill(&mut self, reply: Reply<Call<'c>, entropy_source::call::Fill>) -> Answered {
            let answer = self.0.as_ref().map(EntropySource::fill);
            assert!(answer.is_none());
            reply.refuse(Refusal::Failed)
        }
    }
    let own: EntropySource = sdk::host::serve_objects(|endpoint: Endpoint| {
        let facet = endpoint.mint(0, entropy_source::INTERFACE_ID, Lifetime::Durable);
        Loop(Some(Interface::from_object(
            facet.unwrap().facet.into_object(),
        )))
    });
    let _ = own.fill();
}
