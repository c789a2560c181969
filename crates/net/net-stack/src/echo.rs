//! Echoes: those of others are answered, as many as are granted; our own are matched with their answers.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    EthernetProtocol, Icmpv4Message, Icmpv4Packet, Icmpv4Repr, Icmpv6Message, Icmpv6Packet,
    Icmpv6Repr, IpProtocol, Ipv4Packet, Ipv4Repr, Ipv6Packet, Ipv6Repr,
};
use units::Nanoseconds;

use crate::applied::NEIGHBOUR;
use crate::arrive::Packet;
use crate::count::Count;
use crate::echoes::{Echo, Echoed, MOST, Pending};
use crate::stack::Stack;
use crate::{MAX_FRAME, Refusal};

/// Bytes of an echo's payload, at most.
const MOST_BYTES: u16 = 1400;
const HOP_LIMIT: u8 = 64;

impl Stack {
    /// Sends an echo; its end comes from [`Self::echoed`].
    ///
    /// # Errors
    /// Too many are under way, there is no address to send it from, or it is too long.
    pub fn ask_echo(&mut self, now: Nanoseconds, echo: Echo) -> Result<(), Refusal> {
        if echo.bytes > MOST_BYTES {
            return Err(Refusal::Position);
        }
        let source = self.source(echo.target).ok_or(Refusal::NoAddress)?;
        let identifier = self.draw();
        let place = self.echoes.pending.iter_mut().find(|place| place.is_none());
        let place = place.ok_or(Refusal::Busy)?;
        *place = Some(Pending {
            echo,
            source,
            identifier,
            sent: now,
            again_at: Some(now),
            outcome: None,
        });
        Ok(())
    }

    /// How many echoes of others were answered, over IPv4 and over IPv6.
    #[must_use]
    pub const fn answered_echoes(&self) -> (u64, u64) {
        self.echoes.answered
    }

    /// The next echo that has ended.
    pub fn echoed(&mut self) -> Option<Echoed> {
        let is_over = |place: &&mut Option<Pending>| {
            place
                .as_ref()
                .is_some_and(|pending| pending.outcome.is_some())
        };
        let pending = self.echoes.pending.iter_mut().find(is_over)?.take()?;
        Some(Echoed {
            owner: pending.echo.owner,
            outcome: pending.outcome?,
        })
    }

    fn draw(&mut self) -> u16 {
        // Odd steps through all numbers, beginning where the seed says.
        self.echoes.last = self.echoes.last.wrapping_add(0x9e37);
        self.echoes.last
    }

    /// Sends echoes that are due, and ends those whose time is over.
    pub(crate) fn echo(&mut self, now: Nanoseconds) {
        for at in 0..MOST {
            let Some(Some(mut pending)) = self.echoes.pending.get(at).copied() else {
                continue;
            };
            if pending.outcome.is_some() {
                continue;
            }
            if pending.echo.until.has_passed(now) {
                pending.outcome = Some(Err(Refusal::TimedOut));
            } else if pending.again_at.is_some_and(|again| again.has_passed(now)) {
                let mut buffer = [0; MAX_FRAME];
                let length = write(&pending, &mut buffer);
                pending.sent = now;
                let is_sent = self.send_by_route(now, buffer.get(..length).unwrap_or_default());
                pending.again_at = (!is_sent).then(|| now.saturating_add(NEIGHBOUR));
            } else {
                continue;
            }
            if let Some(place) = self.echoes.pending.get_mut(at) {
                *place = Some(pending);
            }
        }
    }

    fn answered(
        &mut self,
        now: Nanoseconds,
        packet: &Packet<'_>,
        ident: u16,
        number: u16,
        bytes: usize,
    ) -> Result<(), Count> {
        let pending = self
            .echoes
            .find(packet.target, packet.source, ident, number);
        let pending = pending.filter(|pending| usize::from(pending.echo.bytes) == bytes);
        let pending = pending.ok_or(Count::EchoStray)?;
        pending.outcome = Some(Ok((now.since(pending.sent), packet.hop_limit)));
        Ok(())
    }

    fn unreachable(&mut self, source: IpAddr, target: IpAddr, ident: u16, number: u16) {
        if let Some(pending) = self.echoes.find(source, target, ident, number) {
            pending.outcome = Some(Err(Refusal::Refused));
        }
    }

    pub(crate) fn take_icmp4(
        &mut self,
        now: Nanoseconds,
        packet: &Packet<'_>,
    ) -> Result<(), Count> {
        let message = Icmpv4Packet::new_checked(packet.body).map_err(|_| Count::IcmpHeader)?;
        if !message.verify_checksum() {
            return Err(Count::IcmpChecksum);
        }
        let (ident, number) = (message.echo_ident(), message.echo_seq_no());
        match message.msg_type() {
            Icmpv4Message::EchoReply => {
                self.answered(now, packet, ident, number, message.data().len())
            }
            Icmpv4Message::EchoRequest => {
                let (IpAddr::V4(source), IpAddr::V4(target)) = (packet.source, packet.target)
                else {
                    return Err(Count::NoHost);
                };
                // Nobody answers for a group or for everybody: whoever asks so wants others to be flooded.
                if !self.is_own(packet.target) || source.is_unspecified() || source.is_multicast() {
                    return Err(Count::Group);
                }
                self.grant(now)?;
                let echo = Icmpv4Repr::EchoReply {
                    ident,
                    seq_no: number,
                    data: message.data(),
                };
                self.reply4(packet, (target, source), &echo);
                self.echoes.answered.0 += 1;
                Ok(())
            }
            Icmpv4Message::DstUnreachable => {
                if let Some((source, target, ident, number)) = quoted4(message.data()) {
                    self.unreachable(source.into(), target.into(), ident, number);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn take_icmp6(
        &mut self,
        now: Nanoseconds,
        packet: &Packet<'_>,
    ) -> Result<(), Count> {
        let message = Icmpv6Packet::new_checked(packet.body).map_err(|_| Count::IcmpHeader)?;
        let (IpAddr::V6(source), IpAddr::V6(target)) = (packet.source, packet.target) else {
            return Err(Count::NoHost);
        };
        if !message.verify_checksum(&source, &target) {
            return Err(Count::IcmpChecksum);
        }
        match message.msg_type() {
            Icmpv6Message::EchoReply => {
                let (ident, number) = (message.echo_ident(), message.echo_seq_no());
                self.answered(now, packet, ident, number, message.payload().len())
            }
            Icmpv6Message::EchoRequest => {
                if source.is_unspecified() || source.is_multicast() {
                    return Err(Count::NoHost);
                }
                // RFC 4443 section 4.2: a group is answered from an address of our own.
                let own = if target.is_multicast() {
                    match self.source(packet.source) {
                        Some(IpAddr::V6(own)) => own,
                        _ => return Err(Count::NoHost),
                    }
                } else {
                    target
                };
                self.grant(now)?;
                let echo = Icmpv6Repr::EchoReply {
                    ident: message.echo_ident(),
                    seq_no: message.echo_seq_no(),
                    data: message.payload(),
                };
                self.reply6(packet, (own, source), &echo);
                self.echoes.answered.1 += 1;
                Ok(())
            }
            Icmpv6Message::DstUnreachable => {
                if let Some((source, target, ident, number)) = quoted6(message.payload()) {
                    self.unreachable(source.into(), target.into(), ident, number);
                }
                Ok(())
            }
            _ => {
                self.show(now, packet.frame);
                Ok(())
            }
        }
    }

    fn grant(&mut self, now: Nanoseconds) -> Result<(), Count> {
        if !self.out.has_room() {
            return Err(Count::NoRoom);
        }
        if self.answers.take(now) {
            Ok(())
        } else {
            Err(Count::Enough)
        }
    }

    /// Answers whoever sent the frame: no address has to be looked for, so nobody can make others wait.
    fn reply4(&mut self, packet: &Packet<'_>, ends: (Ipv4Addr, Ipv4Addr), echo: &Icmpv4Repr<'_>) {
        let sums = ChecksumCapabilities::default();
        let header = header4(ends, echo.buffer_len());
        let length = header.buffer_len() + echo.buffer_len();
        let link = (self.hardware, packet.neighbour);
        self.out.packet(link, EthernetProtocol::Ipv4, length, |to| {
            let mut to = Ipv4Packet::new_unchecked(to);
            header.emit(&mut to, &sums);
            echo.emit(&mut Icmpv4Packet::new_unchecked(to.payload_mut()), &sums);
        });
    }

    fn reply6(&mut self, packet: &Packet<'_>, ends: (Ipv6Addr, Ipv6Addr), echo: &Icmpv6Repr<'_>) {
        let sums = ChecksumCapabilities::default();
        let header = header6(ends, echo.buffer_len());
        let length = header.buffer_len() + echo.buffer_len();
        let link = (self.hardware, packet.neighbour);
        self.out.packet(link, EthernetProtocol::Ipv6, length, |to| {
            let mut to = Ipv6Packet::new_unchecked(to);
            header.emit(&mut to);
            let mut to = Icmpv6Packet::new_unchecked(to.payload_mut());
            echo.emit(&ends.0, &ends.1, &mut to, &sums);
        });
    }
}

const fn header4(ends: (Ipv4Addr, Ipv4Addr), payload_len: usize) -> Ipv4Repr {
    Ipv4Repr {
        src_addr: ends.0,
        dst_addr: ends.1,
        next_header: IpProtocol::Icmp,
        payload_len,
        hop_limit: HOP_LIMIT,
    }
}

const fn header6(ends: (Ipv6Addr, Ipv6Addr), payload_len: usize) -> Ipv6Repr {
    Ipv6Repr {
        src_addr: ends.0,
        dst_addr: ends.1,
        next_header: IpProtocol::Icmpv6,
        payload_len,
        hop_limit: HOP_LIMIT,
    }
}

/// Writes an echo of ours; how long the packet is.
fn write(pending: &Pending, buffer: &mut [u8; MAX_FRAME]) -> usize {
    let sums = ChecksumCapabilities::default();
    let payload = [0x63; MOST_BYTES as usize];
    let data = payload.get(..pending.echo.bytes.into()).unwrap_or_default();
    let (ident, seq_no) = (pending.identifier, 1);
    match (pending.source, pending.echo.target) {
        (IpAddr::V4(source), IpAddr::V4(target)) => {
            let echo = Icmpv4Repr::EchoRequest {
                ident,
                seq_no,
                data,
            };
            let header = header4((source, target), echo.buffer_len());
            let mut to = Ipv4Packet::new_unchecked(&mut buffer[..]);
            header.emit(&mut to, &sums);
            echo.emit(&mut Icmpv4Packet::new_unchecked(to.payload_mut()), &sums);
            header.buffer_len() + echo.buffer_len()
        }
        (IpAddr::V6(source), IpAddr::V6(target)) => {
            let echo = Icmpv6Repr::EchoRequest {
                ident,
                seq_no,
                data,
            };
            let header = header6((source, target), echo.buffer_len());
            let mut to = Ipv6Packet::new_unchecked(&mut buffer[..]);
            header.emit(&mut to);
            let mut body = Icmpv6Packet::new_unchecked(to.payload_mut());
            echo.emit(&source, &target, &mut body, &sums);
            header.buffer_len() + echo.buffer_len()
        }
        _ => 0,
    }
}

/// Whose echo a message about a packet of ours quotes.
fn quoted4(quote: &[u8]) -> Option<(Ipv4Addr, Ipv4Addr, u16, u16)> {
    let header = Ipv4Packet::new_unchecked(quote);
    let length = usize::from(quote.first()? & 0x0f) * 4;
    let body = quote.get(length.max(20)..).filter(|body| body.len() >= 8)?;
    if header.next_header() != IpProtocol::Icmp {
        return None;
    }
    let echo = Icmpv4Packet::new_unchecked(body);
    Some((
        header.src_addr(),
        header.dst_addr(),
        echo.echo_ident(),
        echo.echo_seq_no(),
    ))
}

/// See [`quoted4`].
fn quoted6(quote: &[u8]) -> Option<(Ipv6Addr, Ipv6Addr, u16, u16)> {
    let body = quote.get(40..).filter(|body| body.len() >= 8)?;
    let header = Ipv6Packet::new_unchecked(quote);
    if header.next_header() != IpProtocol::Icmpv6 {
        return None;
    }
    let echo = Icmpv6Packet::new_unchecked(body);
    Some((
        header.src_addr(),
        header.dst_addr(),
        echo.echo_ident(),
        echo.echo_seq_no(),
    ))
}
