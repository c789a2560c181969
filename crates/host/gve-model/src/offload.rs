//! What the device does to frames on their way out: checksums, and cutting into segments.

/// The ones' complement sum of bytes, not inverted.
pub fn sum(bytes: &[u8], start: u32) -> u16 {
    let mut all = u64::from(start);
    for pair in bytes.chunks(2) {
        let word = [pair[0], pair.get(1).copied().unwrap_or(0)];
        all += u64::from(u16::from_be_bytes(word));
    }
    while all > 0xffff {
        all = (all & 0xffff) + (all >> 16);
    }
    all as u16
}

/// Writes the inverted sum of what is from `start` on to `field` bytes behind it; `None` where that is not inside.
pub fn checksum(frame: &mut [u8], start: usize, field: usize) -> Option<()> {
    let inverted = match !sum(frame.get(start..)?, 0) {
        0 => 0xffff,
        other => other,
    };
    let place = frame.get_mut(start + field..)?.get_mut(..2)?;
    place.copy_from_slice(&inverted.to_be_bytes());
    Some(())
}

/// Where in a frame its headers are, and how long its segments are to be.
#[derive(Clone, Copy, Debug)]
pub struct Cut {
    /// First byte of the header of layer 3.
    pub layer3: usize,
    /// First byte of the TCP header.
    pub layer4: usize,
    /// Whether layer 3 is IPv6.
    pub ipv6: bool,
    /// Payload of a segment.
    pub segment: usize,
}

/// Bytes of all headers of a frame; `None` where they do not fit together or do not end inside.
pub fn headers(frame: &[u8], cut: &Cut) -> Option<usize> {
    let version = frame.get(cut.layer3)? >> 4;
    let tcp = usize::from(frame.get(cut.layer4 + 12)? >> 4) * 4;
    let least = cut.layer3 + if cut.ipv6 { 40 } else { 20 };
    let fits = version == if cut.ipv6 { 6 } else { 4 } && cut.layer4 >= least && tcp >= 20;
    let end = cut.layer4 + tcp;
    (fits && end < frame.len()).then_some(end)
}

/// Cuts a frame with one long TCP segment into several; `None` where it is none.
pub fn segments(frame: &[u8], cut: &Cut) -> Option<Vec<Vec<u8>>> {
    const FIN_PSH: u8 = 0x09;
    const CWR: u8 = 0x80;
    let end = headers(frame, cut)?;
    let (head, payload) = frame.split_at(end);
    let count = payload.len().div_ceil(cut.segment);
    let mut all = Vec::with_capacity(count);
    for (index, part) in payload.chunks(cut.segment).enumerate() {
        let mut one = [head, part].concat();
        let length = one.len() - cut.layer3;
        if cut.ipv6 {
            put(&mut one, cut.layer3 + 4, u16::try_from(length - 40).ok()?);
        } else {
            put(&mut one, cut.layer3 + 2, u16::try_from(length).ok()?);
            let id = u16::from_be_bytes([head[cut.layer3 + 4], head[cut.layer3 + 5]]);
            put(&mut one, cut.layer3 + 4, id.wrapping_add(index as u16));
            put(&mut one, cut.layer3 + 10, 0);
            let own = !sum(&one[cut.layer3..cut.layer4], 0);
            put(&mut one, cut.layer3 + 10, own);
        }
        let at = cut.layer4;
        let sequence = u32::from_be_bytes([one[at + 4], one[at + 5], one[at + 6], one[at + 7]]);
        let sequence = sequence.wrapping_add((index * cut.segment) as u32);
        one[at + 4..at + 8].copy_from_slice(&sequence.to_be_bytes());
        if index + 1 < count {
            one[at + 13] &= !FIN_PSH;
        }
        if index > 0 {
            one[at + 13] &= !CWR;
        }
        put(&mut one, at + 16, 0);
        let addresses = match cut.ipv6 {
            true => cut.layer3 + 8..cut.layer3 + 40,
            false => cut.layer3 + 12..cut.layer3 + 20,
        };
        let pseudo = sum(&one[addresses], 6 + (one.len() - at) as u32);
        put(&mut one, at + 16, pseudo);
        checksum(&mut one, at, 16)?;
        all.push(one);
    }
    Some(all)
}

fn put(frame: &mut [u8], at: usize, value: u16) {
    frame[at..at + 2].copy_from_slice(&value.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An Ethernet frame with IPv4 and TCP and so many bytes of payload.
    fn frame(payload: usize) -> Vec<u8> {
        let mut frame = vec![0; 14 + 20 + 20];
        frame[12] = 8;
        frame[14] = 0x45;
        frame[18..20].copy_from_slice(&[0xff, 0xff]);
        frame[23] = 6;
        frame[26..34].copy_from_slice(&[10, 0, 2, 15, 10, 0, 2, 2]);
        frame[38..42].copy_from_slice(&[0xff, 0xff, 0xff, 0xfe]);
        frame[46] = 0x50;
        frame[47] = 0x99;
        frame.extend((0..payload).map(|at| at as u8));
        frame
    }

    const CUT: Cut = Cut {
        layer3: 14,
        layer4: 34,
        ipv6: false,
        segment: 100,
    };

    #[test]
    fn segments_are_the_stream_and_each_is_sound() {
        let whole = frame(250);
        let parts = segments(&whole, &CUT).unwrap();
        assert_eq!(
            parts.iter().map(Vec::len).collect::<Vec<_>>(),
            [154, 154, 104]
        );
        let stream: Vec<u8> = parts.iter().flat_map(|part| part[54..].to_vec()).collect();
        assert_eq!(stream, whole[54..]);
        for (index, part) in parts.iter().enumerate() {
            assert_eq!(sum(&part[14..34], 0), 0xffff, "header of {index}");
            let length = (part.len() - 34) as u32;
            let pseudo = sum(&part[26..34], 6 + length);
            assert_eq!(sum(&part[34..], pseudo.into()), 0xffff, "segment {index}");
        }
        let ids = parts.iter().map(|part| [part[18], part[19]]);
        assert_eq!(ids.collect::<Vec<_>>(), [[0xff, 0xff], [0, 0], [0, 1]]);
        let sequence = parts.iter().map(|part| part[41]);
        assert_eq!(sequence.collect::<Vec<_>>(), [0xfe, 98, 198]);
        let flags = parts.iter().map(|part| part[47]);
        assert_eq!(flags.collect::<Vec<_>>(), [0x90, 0x10, 0x19]);
    }

    #[test]
    fn what_is_no_segment_is_not_cut() {
        assert!(segments(&frame(0), &CUT).is_none());
        assert!(segments(&frame(9)[..50], &CUT).is_none());
        let six = Cut { ipv6: true, ..CUT };
        assert!(segments(&frame(250), &six).is_none());
        let inside = Cut { layer4: 33, ..CUT };
        assert!(segments(&frame(250), &inside).is_none());
    }

    #[test]
    fn a_checksum_outside_of_the_frame_is_none() {
        let mut frame = vec![1; 20];
        assert_eq!(checksum(&mut frame, 21, 0), None);
        assert_eq!(checksum(&mut frame, 10, 9), None);
        assert_eq!(checksum(&mut frame, 10, 8), Some(()));
        assert_eq!(sum(&frame[10..18], 0xffff - 0x0404), 0xffff);
    }
}
