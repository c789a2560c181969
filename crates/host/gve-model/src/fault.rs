//! What the device does wrong when it is asked to.

/// One fault. Frames and completions are counted from 0, over all queues.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// Commands with this opcode fail, always.
    Refuse(u32),
    /// Commands with this opcode are never carried out: the event counter stands still, and everything behind it waits.
    Hang(u32),
    /// The descriptor of that received frame has the sequence number after the next one.
    Sequence(u64),
    /// From that transmit doorbell on the event counter is a ring's length ahead; with DQO, one completion comes that nobody asked for.
    Spurious(u64),
    /// That received frame is said to be shorter than its padding.
    Short(u64),
    /// That received frame is said to be longer than its buffer.
    Long(u64),
    /// The admin queue is never given back.
    StuckReset,
    /// With each received frame, the device writes to this address, too, by message.
    Hostile(u64),
    /// The link goes down with that received frame, which is dropped.
    LinkDown(u64),
    /// The device asks to be reset with that received frame.
    AskReset(u64),
}

impl Fault {
    /// What it is asked for with, and what tells that it happened begins with.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Refuse(_) => "refuse",
            Self::Hang(_) => "hang",
            Self::Sequence(_) => "sequence",
            Self::Spurious(_) => "spurious",
            Self::Short(_) => "short",
            Self::Long(_) => "long",
            Self::StuckReset => "stuck-reset",
            Self::Hostile(_) => "hostile",
            Self::LinkDown(_) => "link-down",
            Self::AskReset(_) => "ask-reset",
        }
    }

    /// Reads one: a word, and a number where one belongs to it, decimal or with `0x`.
    pub fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_whitespace();
        let (word, number) = (words.next()?, words.next());
        if words.next().is_some() {
            return None;
        }
        if word == "stuck-reset" && number.is_none() {
            return Some(Self::StuckReset);
        }
        let text = number?;
        let number = match text.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16).ok()?,
            None => text.parse().ok()?,
        };
        Some(match word {
            "refuse" => Self::Refuse(u32::try_from(number).ok()?),
            "hang" => Self::Hang(u32::try_from(number).ok()?),
            "sequence" => Self::Sequence(number),
            "spurious" => Self::Spurious(number),
            "short" => Self::Short(number),
            "long" => Self::Long(number),
            "hostile" => Self::Hostile(number),
            "link-down" => Self::LinkDown(number),
            "ask-reset" => Self::AskReset(number),
            _ => return None,
        })
    }
}
