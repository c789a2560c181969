//! What programs give the kernel and one another.

use std::cell::Cell;
use std::rc::Rc;

use ring_abi::{Completion, Control, StatusWord, Submission};
use schema::process::{log_sink, process_spawner as spawner};
use stub::read::{List, TextList};
use stub::{
    Answered, CapArg, Incoming, Outgoing, Payload, Received, Refusal, Reply, Respond, wire,
};

/// The input is submissions as they lie in a ring.
pub fn ring(data: &[u8]) -> bool {
    for piece in data.chunks(64) {
        let mut words = [0u64; 8];
        for (word, bytes) in words.iter_mut().zip(piece.chunks(8)) {
            let mut whole = [0; 8];
            whole[..bytes.len()].copy_from_slice(bytes);
            *word = u64::from_le_bytes(whole);
        }
        let submission = Submission::from_words(words);
        assert_eq!(submission.to_words(), words, "nothing is lost");
        let _ = submission.message();
        for word in words {
            let status = StatusWord::unpack(word);
            assert_eq!(StatusWord::unpack(status.pack()), status);
            if let Some(control) = Control::unpack(word) {
                assert!(word >> 48 == 0 && control.opcode == word as u8);
            }
        }
        let _ = Completion::default();
    }
    true
}

/// A call that only wants to be answered.
struct Call {
    caps: [Option<u64>; 3],
    /// Set when the server answered, not its stub.
    answered: Rc<Cell<bool>>,
}

impl Respond for Call {
    type Out = CapArg;

    fn respond<P: Outgoing<CapArg>>(self, results: P) {
        let mut buffer = vec![0; 4096];
        let mut writer = wire::MessageWriter::new(&mut buffer);
        if let Ok(mut root) = writer.root(P::DATA_WORDS, P::POINTERS) {
            let _ = results.encode(&mut root, &mut |_| ());
        }
        self.answered.set(true);
    }

    fn refuse(self, refusal: Refusal) {
        assert!(!refusal.name().is_empty());
    }
}

impl Incoming for Call {
    type Cap = u64;
    type Deferred = Self;

    fn cookie(&self) -> u64 {
        0
    }

    fn take_cap(&mut self, index: usize) -> Option<u64> {
        self.caps.get_mut(index)?.take()
    }

    fn defer(self) -> Self {
        self
    }
}

/// Looks at everything there is to see in a call.
struct Nosy;

impl spawner::Server<Call> for Nosy {
    fn spawn(
        &mut self,
        mut reply: Reply<Call, spawner::call::Spawn>,
        name: &str,
        image: &str,
        arguments: TextList<'_>,
        limits: spawner::LimitsReader<'_>,
        grants: List<'_, spawner::GrantReader<'_>>,
    ) -> Answered {
        let mut seen = name.len() + image.len() + usize::from(limits.value().is_ok());
        for argument in arguments.iter() {
            seen += argument.map_or(0, str::len);
        }
        for grant in grants.iter() {
            seen += grant.name().map_or(0, str::len);
            let _ = reply.take_cap(grant.transfer().into());
        }
        assert!(seen < 1 << 24, "a message is read at most so often");
        reply.send(spawner::SpawnReply {
            process: CapArg::copy(1),
        })
    }

    fn spawn_memory(
        &mut self,
        reply: Reply<Call, spawner::call::SpawnMemory>,
        name: &str,
        image: u64,
        _: u64,
        _: TextList<'_>,
        _: spawner::LimitsReader<'_>,
        _: List<'_, spawner::GrantReader<'_>>,
    ) -> Answered {
        assert!(image < 3, "a handle that was sent");
        assert!(name.len() < 1 << 24);
        reply.refuse(Refusal::Failed)
    }
}

impl log_sink::Server<Call> for Nosy {
    fn write(
        &mut self,
        reply: Reply<Call, log_sink::call::Write>,
        _: log_sink::Level,
        line: &str,
    ) -> Answered {
        assert!(line.len() < 1 << 24);
        reply.send(())
    }
}

/// The first byte says which interface and method, the rest is the message.
pub fn stub(data: &[u8]) -> bool {
    let Some((selector, rest)) = data.split_first() else {
        return false;
    };
    // Messages are 8-byte aligned, and a multiple of 8 bytes long.
    let words: Vec<u64> = rest
        .chunks_exact(8)
        .map(|bytes| u64::from_le_bytes(bytes.try_into().unwrap_or_default()))
        .collect();
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    let mut aligned = vec![0; bytes.len() + 8];
    let start = aligned.as_ptr().align_offset(8);
    aligned[start..start + bytes.len()].copy_from_slice(&bytes);
    let message = &aligned[start..start + bytes.len()];
    let answered = Rc::new(Cell::new(false));
    let call = Call {
        caps: [Some(0), Some(1), Some(2)],
        answered: answered.clone(),
    };
    let received = Received {
        method: u16::from(selector >> 1 & 7),
        payload: Payload::Message(message),
    };
    let _: Answered = match selector & 1 {
        0 => spawner::dispatch(&mut Nosy, received, call),
        _ => log_sink::dispatch(&mut Nosy, received, call),
    };
    answered.get()
}
