//! What a provider and the broker say to each other.

#[test]
fn what_a_provider_is_told_comes_back_whole() {
    use gve_format::QueueFormat;
    use gve_format::brokered::{Facts, Template, WORDS};
    for (format, pages) in [
        (QueueFormat::GqiQpl, (256, 64)),
        (QueueFormat::DqoRda, (0, 0)),
        (QueueFormat::DqoQpl, (4095, 1)),
    ] {
        let facts = Facts {
            format,
            mac: [0x42, 1, 0x0a, 0, 2, 0xff],
            mtu: 1460,
            depths: (255, 512),
            pages,
        };
        let words =
            std::array::from_fn::<_, { WORDS as usize }, _>(|word| facts.word(word as u8).unwrap());
        assert_eq!(Facts::of(words), Some(facts));
        assert_eq!(facts.word(WORDS), None);
    }
    assert_eq!(Facts::of([0, 0, 0, 9 << 24]), None);
    // Of all templates, these alone are read, and as what they were written.
    let mut known = 0;
    for bytes in (0..1 << 16).map(|word: u32| word.to_le_bytes()) {
        if let Some(template) = Template::read(&bytes) {
            assert_eq!(template.bytes(), bytes);
            known += 1;
        }
    }
    assert_eq!(known, 2 + u32::from(WORDS));
    assert_eq!(Template::read(&[1, 1, 1, 0]), None);
    assert_eq!(Template::read(&[1, 1, 0]), None);
}
