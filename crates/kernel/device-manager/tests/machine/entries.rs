//! A unit that judges messages: where each entry leads.

use std::collections::BTreeMap;

use device_manager::{Entry, Message, Raiser, Refusal};

#[derive(Default)]
pub struct Entries {
    /// Messages name entries.
    pub remaps: bool,
    /// The unit does not answer.
    pub deaf: bool,
    pub led: BTreeMap<u16, (u16, u8)>,
    next: u16,
}

impl Entries {
    pub fn admit(&mut self, raiser: Raiser, message: Message) -> Result<Message, Refusal> {
        if !self.remaps {
            return Ok(message);
        }
        if self.deaf {
            return Err(Refusal::DeviceError);
        }
        let index = self.next;
        self.next += 1;
        self.led.insert(index, (message.cpu, message.vector));
        Ok(Message {
            address: 0xfee0_0010 | u64::from(index) << 5,
            data: 0,
            entry: Some(Entry {
                unit: 0,
                source: match raiser {
                    Raiser::Function(function) => function.requester_id(),
                    Raiser::Line(_) => 0xff00,
                },
                index,
                level: matches!(raiser, Raiser::Line(_)),
            }),
            ..message
        })
    }

    pub fn redirect(&mut self, from: &mut Message, to: Message) -> Result<Message, Refusal> {
        let entry = from.entry.ok_or(Refusal::NotSupported)?;
        if self.deaf {
            return Err(Refusal::DeviceError);
        }
        *self.led.get_mut(&entry.index).unwrap() = (to.cpu, to.vector);
        from.entry = None;
        Ok(Message {
            address: from.address,
            data: from.data,
            entry: Some(entry),
            ..to
        })
    }

    /// Ends an entry; whether the vector may be given back.
    pub fn end(&mut self, message: &Message) -> bool {
        let place = (message.cpu, message.vector);
        if let Some(entry) = message.entry {
            if self.deaf {
                return false;
            }
            assert_eq!(self.led.remove(&entry.index), Some(place));
        }
        let leads_there = self.led.values().any(|to| *to == place);
        assert!(
            !leads_there,
            "an entry leads to a vector that is given back"
        );
        true
    }
}
