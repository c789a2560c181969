//! An input of several records, each at its time.

/// What is in the input: how many seconds pass, what it is, its bytes.
pub fn records(mut data: &[u8]) -> impl Iterator<Item = (u64, u8, &[u8])> {
    std::iter::from_fn(move || {
        let (head, rest) = data.split_at_checked(3)?;
        let length = usize::from(head[2]) * 2;
        let (record, rest) = rest.split_at(length.min(rest.len()));
        data = rest;
        Some((head[0].into(), head[1], record))
    })
}

/// Writes one of them.
pub fn record(seconds: u8, kind: u8, bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes.resize(bytes.len().next_multiple_of(2), 0);
    [&[seconds, kind, (bytes.len() / 2) as u8][..], &bytes].concat()
}
