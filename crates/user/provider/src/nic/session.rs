//! The one session of an interface: which of its pieces are where, and who waits for an event.

use arrayvec::ArrayVec;
use device_ring::{Binding, Command, Opcode};
use provider_core::nic::{Event, Lane, Traffic};
use sdk::net::nic_session::{self, Kind};
use sdk::{DmaBuffer, Late, Refusal};

use super::MAX_PIECES;
use crate::ring::{BATCH, QueueRing};

/// The one session.
pub(super) struct Session {
    pub(super) cookie: u64,
    pub(super) buffer: DmaBuffer,
    pub(super) traffic: Traffic,
    /// Where the buffer is bound to either queue.
    receive: Binding,
    transmit: Binding,
    /// The call that waits for an event, and how many it takes.
    pub(super) wait: Option<(Late<nic_session::call::Wait>, u16)>,
    /// The client is gone.
    pub(super) is_closing: bool,
    /// The queues are this session's, and the device keeps a list of its pages.
    pub(super) is_attached: bool,
    pub(super) completed: u64,
}

impl Session {
    /// A session over `buffer`, bound to the receive and the transmit queue, whose client's facet has this cookie.
    pub(super) fn new(
        cookie: u64,
        buffer: DmaBuffer,
        (receive, transmit): (Binding, Binding),
        traffic: Traffic,
    ) -> Self {
        Self {
            cookie,
            buffer,
            traffic,
            receive,
            transmit,
            wait: None,
            is_closing: false,
            is_attached: false,
            completed: 0,
        }
    }

    /// Gives the device what it has place for; how many frames came through meanwhile.
    pub(super) fn submit(&mut self, queue: &mut QueueRing, lane: Lane) -> Result<u64, Refusal> {
        let (opcode, binding) = match lane {
            Lane::Receive => (Opcode::Read, self.receive),
            Lane::Transmit => (Opcode::Write, self.transmit),
        };
        let mut frames = 0;
        loop {
            let room = queue.look_for_room()?;
            let mut pushed = 0;
            while pushed < room
                && let Some((cookie, piece)) = self.traffic.plan(lane)
            {
                let command = Command::bare(cookie, opcode, 0);
                queue.push(&command.with(binding, piece.offset, piece.length))?;
                pushed += 1;
            }
            if pushed == 0 {
                return Ok(frames);
            }
            frames += self.kick(queue, lane)?.0;
        }
    }

    /// Takes what the device has given back; how many frames came through.
    pub(super) fn complete(&mut self, queue: &mut QueueRing, lane: Lane) -> Result<u64, Refusal> {
        let mut frames = 0;
        while self.traffic.flying(lane) > 0 {
            let (more, given) = self.kick(queue, lane)?;
            frames += more;
            if given < BATCH {
                break;
            }
        }
        Ok(frames)
    }

    /// Has the kernel look at the lane's ring: how many frames came through, and how many completions.
    fn kick(&mut self, queue: &mut QueueRing, lane: Lane) -> Result<(u64, u16), Refusal> {
        let given = queue.kick(BATCH, BATCH)?.given;
        let mut frames = 0;
        while let Some(done) = queue.take()? {
            self.completed += 1;
            let outcome = done.outcome.and_then(|(status, bytes)| match status {
                0 => Ok(bytes),
                _ => Err(Refusal::DeviceError),
            });
            frames += u64::from(outcome.is_ok());
            self.traffic.done(lane, done.cookie, outcome);
        }
        Ok((frames, given))
    }

    /// Answers the call that waits, if there is something to say.
    pub(super) fn tell(&mut self) {
        if self.traffic.has_event()
            && let Some((late, most)) = self.wait.take()
        {
            let events = events(&self.traffic, most);
            late.send(nic_session::WaitReply { events: &events });
        }
    }

    /// Whether frames that the client handed over are still on their way out.
    pub(super) fn is_sending(&self) -> bool {
        self.traffic.has_plan(Lane::Transmit) || self.traffic.flying(Lane::Transmit) > 0
    }

    /// The device holds pages that only a reset gets back.
    pub(super) fn needs_reset(&self) -> bool {
        let is_held = self.is_attached || self.traffic.flying(Lane::Receive) > 0;
        self.is_closing && !self.is_sending() && is_held
    }
}

/// The events that an answer for at most `most` of them carries.
pub(super) fn events(traffic: &Traffic, most: u16) -> ArrayVec<nic_session::Event, MAX_PIECES> {
    traffic
        .events()
        .take(usize::from(most).min(MAX_PIECES))
        .map(event)
        .collect()
}

fn event(event: Event) -> nic_session::Event {
    let (length, refusal) = match event.outcome {
        Ok(length) => (length, None),
        Err(refusal) => (0, Some(refusal)),
    };
    nic_session::Event {
        kind: match event.lane {
            Lane::Receive => Kind::Received,
            Lane::Transmit => Kind::Transmitted,
        },
        offset: event.offset,
        length,
        refusal,
    }
}
