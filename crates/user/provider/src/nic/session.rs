//! The one session of an interface: which of its pieces are where, and who waits for an event.

use arrayvec::ArrayVec;
use provider_core::Data;
use provider_core::nic::{Event, Lane, Traffic};
use sdk::net::nic_session::{self, Kind};
use sdk::{DeviceQueue, DmaBuffer, Late, Refusal};

use super::MAX_PIECES;
use crate::queue::{self, BATCH, Item};

/// The one session.
pub(super) struct Session {
    pub(super) cookie: u64,
    pub(super) buffer: DmaBuffer,
    pub(super) traffic: Traffic,
    /// Pieces on their way that the device's queue had no place for yet.
    receive: Batch,
    transmit: Batch,
    /// The call that waits for an event, and how many it takes.
    pub(super) wait: Option<(Late<nic_session::call::Wait>, u16)>,
    /// The client is gone.
    pub(super) is_closing: bool,
    pub(super) completed: u64,
}

type Batch = ArrayVec<(u64, Data), BATCH>;

impl Session {
    /// A session over `buffer`, whose client's facet has this cookie.
    pub(super) fn new(cookie: u64, buffer: DmaBuffer, traffic: Traffic) -> Self {
        Self {
            cookie,
            buffer,
            traffic,
            receive: ArrayVec::new(),
            transmit: ArrayVec::new(),
            wait: None,
            is_closing: false,
            completed: 0,
        }
    }

    /// Gives the device what it has place for.
    pub(super) fn submit(&mut self, queue: &DeviceQueue, lane: Lane) -> Result<(), Refusal> {
        let batch = match lane {
            Lane::Receive => &mut self.receive,
            Lane::Transmit => &mut self.transmit,
        };
        loop {
            while !batch.is_full()
                && let Some(planned) = self.traffic.plan(lane)
            {
                batch.push(planned);
            }
            if batch.is_empty() {
                return Ok(());
            }
            let items = batch.iter().map(|(cookie, data)| Item {
                cookie: *cookie,
                template: &[],
                data: Some(*data),
            });
            let (accepted, refusal) = queue::submit(queue, items)?;
            batch.drain(..accepted);
            match refusal {
                None if accepted > 0 => {}
                // The pages of a piece may take more descriptors than one: completions will make room.
                Some(Refusal::QueueFull)
                    if usize::from(self.traffic.flying(lane)) > batch.len() =>
                {
                    return Ok(());
                }
                refusal => {
                    if !batch.is_empty() {
                        let (cookie, _) = batch.remove(0);
                        let why = refusal.unwrap_or(Refusal::Failed);
                        self.traffic.done(lane, cookie, Err(why));
                    }
                }
            }
        }
    }

    /// Takes what the device has given back; how many frames came through.
    pub(super) fn complete(&mut self, queue: &DeviceQueue, lane: Lane) -> Result<u64, Refusal> {
        let mut frames = 0;
        while self.traffic.flying(lane) > 0 {
            let done = queue::take(queue)?;
            for completion in &done {
                self.completed += 1;
                frames += u64::from(completion.outcome.is_ok());
                let outcome = completion.outcome.map(|(_, bytes)| bytes);
                self.traffic.done(lane, completion.cookie, outcome);
            }
            if !done.is_full() {
                break;
            }
        }
        Ok(frames)
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
        self.is_closing && !self.is_sending() && self.traffic.flying(Lane::Receive) > 0
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
