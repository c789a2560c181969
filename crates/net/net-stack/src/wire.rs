//! Frames on their way out, and smoltcp's device over them.

use alloc::boxed::Box;
use alloc::vec::Vec;

use smoltcp::phy::{Checksum, Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::time::Instant;
use smoltcp::wire::{EthernetAddress, EthernetFrame, EthernetProtocol};

/// Bytes of the longest frame, with its header and without its check sequence.
pub const MAX_FRAME: usize = 1514;
/// Bytes of an Ethernet header.
pub(crate) const HEADER: usize = 14;
/// Frames that may wait to go out.
const PLACES: usize = 64;

/// Frames that wait to go out, the oldest first.
pub(crate) struct Out {
    places: Box<[[u8; MAX_FRAME]]>,
    lengths: [u16; PLACES],
    first: usize,
    count: usize,
    /// Where a frame is written that there is no room for.
    spill: Box<[u8; MAX_FRAME]>,
    pub spilled: u64,
    mtu: u16,
}

impl Out {
    /// For packets of at most `mtu` bytes.
    pub fn new(mtu: u16) -> Self {
        let places: Vec<_> = (0..PLACES).map(|_| [0; MAX_FRAME]).collect();
        Self {
            places: places.into_boxed_slice(),
            lengths: [0; PLACES],
            first: 0,
            count: 0,
            spill: Box::new([0; MAX_FRAME]),
            spilled: 0,
            mtu: mtu.min((MAX_FRAME - HEADER) as u16),
        }
    }

    /// The longest packet.
    pub const fn mtu(&self) -> u16 {
        self.mtu
    }

    /// Whether another frame finds a place.
    pub const fn has_room(&self) -> bool {
        self.count < PLACES
    }

    /// The oldest frame.
    pub fn first(&self) -> Option<&[u8]> {
        if self.count == 0 {
            return None;
        }
        let length = *self.lengths.get(self.first)?;
        self.places.get(self.first)?.get(..usize::from(length))
    }

    /// Takes the oldest frame out.
    pub fn drop_first(&mut self) {
        if self.count > 0 {
            self.first = (self.first + 1) % PLACES;
            self.count -= 1;
        }
    }

    /// A place for a frame of so many bytes, which goes out; one that does not, where there is no room.
    pub fn add(&mut self, length: usize) -> &mut [u8] {
        let length = length.min(MAX_FRAME);
        if !self.has_room() {
            self.spilled += 1;
            return self.spill.get_mut(..length).unwrap_or_default();
        }
        let at = (self.first + self.count) % PLACES;
        self.count += 1;
        if let Some(place) = self.lengths.get_mut(at) {
            *place = length as u16;
        }
        let place = self.places.get_mut(at);
        place
            .and_then(|place| place.get_mut(..length))
            .unwrap_or_default()
    }

    /// Sends a packet to this address on the link; `write` gets its bytes.
    pub fn packet(
        &mut self,
        ends: (EthernetAddress, EthernetAddress),
        kind: EthernetProtocol,
        length: usize,
        write: impl FnOnce(&mut [u8]),
    ) {
        let mut frame = EthernetFrame::new_unchecked(self.add(HEADER + length));
        if frame.as_ref().len() < HEADER {
            return;
        }
        frame.set_src_addr(ends.0);
        frame.set_dst_addr(ends.1);
        frame.set_ethertype(kind);
        write(frame.payload_mut());
    }
}

/// The device while one frame arrives, or none.
pub(crate) struct Wire<'a> {
    pub arrived: Option<&'a [u8]>,
    pub out: &'a mut Out,
}

pub(crate) struct Arrived<'a>(&'a [u8]);
pub(crate) struct Leaving<'a>(&'a mut Out);

impl RxToken for Arrived<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(self.0)
    }
}

impl TxToken for Leaving<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, f: F) -> R {
        f(self.0.add(length))
    }
}

impl Device for Wire<'_> {
    type RxToken<'b>
        = Arrived<'b>
    where
        Self: 'b;
    type TxToken<'b>
        = Leaving<'b>
    where
        Self: 'b;

    fn receive(&mut self, _: Instant) -> Option<(Arrived<'_>, Leaving<'_>)> {
        let frame = self.arrived.take()?;
        Some((Arrived(frame), Leaving(self.out)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Leaving<'_>> {
        self.out.has_room().then_some(Leaving(self.out))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = usize::from(self.out.mtu) + HEADER;
        // Sums are looked at once, before anybody is asked whose a packet is.
        capabilities.checksum.tcp = Checksum::Tx;
        capabilities.checksum.udp = Checksum::Tx;
        capabilities.checksum.icmpv4 = Checksum::Tx;
        capabilities
    }
}
