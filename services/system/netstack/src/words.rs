//! The stack's words in those of the schema.

use net_demux::Endpoint as End;
use net_stack::State;
use sdk::net::tcp_socket;
use sdk::{Refusal, ip};

/// Both parts of an end as a message carries them; nothing of none.
pub fn octets_of(end: Option<End>) -> (ip::Octets, u16) {
    end.map_or_else(Default::default, |end| (ip::octets(end.address), end.port))
}

/// What a client is told.
pub const fn refusal(refusal: net_stack::Refusal) -> Refusal {
    use net_demux::Refusal as Demux;
    match refusal {
        net_stack::Refusal::Demux(demux) => match demux {
            Demux::Stale => Refusal::Stale,
            Demux::NotGranted => Refusal::NotGranted,
            Demux::InUse => Refusal::AlreadyExists,
            Demux::Address => Refusal::Unreachable,
            Demux::Share | Demux::Promised => Refusal::OverBudget,
            Demux::NoPort => Refusal::Exhausted,
            Demux::Kind => Refusal::WrongKind,
        },
        net_stack::Refusal::NoAddress => Refusal::Unreachable,
        net_stack::Refusal::Position => Refusal::OutOfRange,
        net_stack::Refusal::Refused => Refusal::Unreachable,
        net_stack::Refusal::Reset => Refusal::ConnectionReset,
        net_stack::Refusal::TimedOut => Refusal::TimedOut,
        net_stack::Refusal::Shut => Refusal::WrongState,
        net_stack::Refusal::Busy => Refusal::Busy,
    }
}

/// The same in the interface's words.
pub const fn state(state: State) -> tcp_socket::State {
    match state {
        State::Connecting => tcp_socket::State::Connecting,
        State::Open => tcp_socket::State::Open,
        State::PeerDone => tcp_socket::State::PeerDone,
        State::Done => tcp_socket::State::Done,
        State::Closed => tcp_socket::State::Closed,
        State::Broken => tcp_socket::State::Broken,
    }
}
