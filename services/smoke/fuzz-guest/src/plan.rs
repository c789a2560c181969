//! What a round is to do, as arguments of a program.

use sdk::alloc::{format, string::String, vec::Vec};
use sdk::schema::methods;

/// The numbers behind a round. Each is an argument `name=number`.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Where all chance comes from.
    pub seed: u64,
    /// The first round.
    pub from: u64,
    /// How many rounds.
    pub rounds: u64,
    /// The round under way.
    pub round: u64,
    /// Attacking processes of a round.
    pub workers: u64,
    /// Those of them that are left out, one bit each.
    pub without: u64,
    /// Threads of each.
    pub threads: u64,
    /// Steps of each thread.
    pub steps: u64,
    /// Interfaces that no step touches, one bit each by their place in the table.
    pub leave: u64,
    /// Processors of the machine.
    pub cpus: u64,
    /// Which attacking process this is.
    pub worker: u64,
    /// The first process number that may be ended.
    pub floor: u64,
}

impl Plan {
    /// Reads it; what is not named has its default.
    pub fn read<'a>(words: impl Iterator<Item = &'a str>) -> Self {
        let mut plan = Self {
            seed: 1,
            from: 0,
            rounds: 4,
            round: 0,
            workers: 5,
            without: 0,
            threads: 3,
            steps: 200,
            leave: 0,
            cpus: 2,
            worker: 0,
            floor: u64::MAX,
        };
        for word in words {
            let Some((name, value)) = word.split_once('=') else {
                continue;
            };
            let field = plan.fields().into_iter().find(|(known, _)| *known == name);
            if let (Some((_, field)), Ok(value)) = (field, value.parse()) {
                *field = value;
            }
        }
        plan
    }

    fn fields(&mut self) -> [(&'static str, &mut u64); 12] {
        [
            ("seed", &mut self.seed),
            ("from", &mut self.from),
            ("rounds", &mut self.rounds),
            ("round", &mut self.round),
            ("workers", &mut self.workers),
            ("without", &mut self.without),
            ("threads", &mut self.threads),
            ("steps", &mut self.steps),
            ("leave", &mut self.leave),
            ("cpus", &mut self.cpus),
            ("worker", &mut self.worker),
            ("floor", &mut self.floor),
        ]
    }

    /// The same as arguments.
    pub fn words(mut self) -> Vec<String> {
        let fields = self.fields();
        fields
            .into_iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect()
    }

    /// Whether steps on an interface are left out.
    pub fn leaves_out(&self, interface: usize) -> bool {
        self.leave >> (interface % 64) & 1 != 0
    }
}

/// Count of all methods.
pub fn methods() -> usize {
    methods::ALL
        .iter()
        .map(|interface| interface.methods.len())
        .sum()
}

/// The number of a method among all.
pub fn number_of(interface: usize, method: usize) -> usize {
    let before = methods::ALL.iter().take(interface);
    before
        .map(|interface| interface.methods.len())
        .sum::<usize>()
        + method
}

/// Bytes that the processes of a round count in: for each method how often it was called and answered, and behind that for
/// each interface how often it refused with what.
pub const SEEN_BYTES: u64 = 16 * 1024;
const REFUSALS_AT: u64 = 4096;
/// Refusals that are told apart; those beyond are one.
pub const CODES: u64 = 48;

/// Where calls of a method are counted, and, as the second, answers.
pub fn place_of(method: usize, which: usize) -> Option<u64> {
    let at = (method * 2 + which) as u64 * 4;
    (at < REFUSALS_AT).then_some(at)
}

/// Where an interface's refusals with a code are counted.
pub fn place_of_refusal(interface: usize, code: u64) -> Option<u64> {
    let at = REFUSALS_AT + (interface as u64 * CODES + code.min(CODES - 1)) * 4;
    (at < SEEN_BYTES).then_some(at)
}
