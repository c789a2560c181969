//! Serving `HardwareRandom`: one buffer, one caller at a time.

use alloc::collections::VecDeque;

use device_ring::{Binding, Command, Opcode};
use provider::{Notice, QueueRing, Work};
use sdk::random::hardware_random::{self, call::Read};
use sdk::{Answered, Call, DmaBuffer, Late, Received, Refusal, Reply, Service, Window};

/// Bytes of the buffer: one page.
pub const MAX_BYTES: u32 = 4096;

/// The most bytes of one call.
const MOST: u32 = 1024;

/// Calls that wait; others wait in the endpoint's queue.
const WAITING: usize = 32;

/// The device, and who waits for it.
pub struct Random {
    queue: QueueRing,
    /// Bound to the queue; dropped, it would be freed.
    _buffer: DmaBuffer,
    binding: Binding,
    window: Window,
    /// How completions are noticed.
    pub notice: Notice,
    /// Oldest first; the first one's bytes are being made when `is_asked`.
    waiting: VecDeque<(Late<Read>, u32)>,
    is_asked: bool,
    /// Cookie of the last command.
    cookie: u64,
    served: u64,
}

impl Random {
    /// Serves bytes that the device writes into `buffer`, which `window` shows.
    ///
    /// # Errors
    /// As `DeviceQueue.bind`.
    pub fn new(
        queue: QueueRing,
        buffer: DmaBuffer,
        window: Window,
        notice: Notice,
    ) -> Result<Self, Refusal> {
        Ok(Self {
            binding: queue.bind(&buffer)?,
            queue,
            _buffer: buffer,
            window,
            notice,
            waiting: VecDeque::with_capacity(WAITING),
            is_asked: false,
            cookie: 0,
            served: 0,
        })
    }

    /// Gives the device the command that is in the ring, and answers with what it has written.
    fn kick(&mut self) -> Result<(), Refusal> {
        self.queue.kick(1, 1)?;
        while let Some(done) = self.queue.take()? {
            if self.is_asked && done.cookie == self.cookie {
                self.is_asked = false;
                self.answer(done.outcome.map(|(_, bytes)| bytes));
            }
        }
        Ok(())
    }

    /// Answers the oldest call with what the device wrote for it.
    fn answer(&mut self, outcome: Result<u32, Refusal>) {
        let Some((late, asked)) = self.waiting.pop_front() else {
            return;
        };
        let mut copy = [0; MOST as usize];
        let answer = outcome.and_then(|bytes| {
            let bytes = bytes.min(asked).min(MOST) as usize;
            let data = copy.get_mut(..bytes).ok_or(Refusal::OutOfRange)?;
            if data.is_empty() {
                return Err(Refusal::DeviceError);
            }
            self.window.read(0, data)?;
            // What was given away is nowhere else any more.
            self.window.write(0, &[0; MOST as usize])?;
            self.served += bytes as u64;
            Ok(hardware_random::ReadReply { data })
        });
        late.answer(answer);
    }
}

impl Work for Random {
    fn submit(&mut self) -> Result<(), Refusal> {
        while !self.is_asked
            && let Some((_, bytes)) = self.waiting.front()
        {
            self.cookie += 1;
            let command = Command::bare(self.cookie, Opcode::Read, 0);
            self.queue.push(&command.with(self.binding, 0, *bytes))?;
            self.is_asked = true;
            self.kick()?;
        }
        Ok(())
    }

    fn complete(&mut self) -> Result<(), Refusal> {
        self.kick()
    }

    fn room(&self) -> usize {
        WAITING - self.waiting.len()
    }

    fn owed(&self) -> usize {
        self.is_asked.into()
    }

    fn completed(&self) -> u64 {
        self.cookie - u64::from(self.is_asked)
    }
}

impl Service for Random {
    fn call(&mut self, received: Received<'_>, call: Call<'_>) -> Answered {
        hardware_random::dispatch(self, received, call)
    }
}

impl<'c> hardware_random::Server<Call<'c>> for Random {
    fn read(&mut self, reply: Reply<Call<'c>, Read>, bytes: u32) -> Answered {
        if bytes == 0 {
            return reply.refuse(Refusal::ZeroLength);
        }
        if bytes > MOST {
            return reply.refuse(Refusal::OutOfRange);
        }
        if self.waiting.len() >= WAITING {
            return reply.refuse(Refusal::Busy);
        }
        let (answered, later) = reply.defer();
        self.waiting.push_back((later, bytes));
        answered
    }

    fn info(&mut self, reply: Reply<Call<'c>, hardware_random::call::Info>) -> Answered {
        let delivered = self.notice.delivered();
        let served = self.served;
        let polled = matches!(self.notice, Notice::Polled);
        reply.answer(delivered.map(|delivered| hardware_random::InfoReply {
            polled,
            delivered,
            served,
        }))
    }
}
