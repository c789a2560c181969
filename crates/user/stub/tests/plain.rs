//! Which messages are as good as four words in registers.

use stub::wire::plain_words;

fn plain(message: &[u64]) -> Option<[u64; 4]> {
    plain_words(message.len(), |at| message[at])
}

#[test]
fn a_root_of_one_to_four_data_words_is_plain() {
    assert_eq!(plain(&[4 << 32, 1, 2, 3, 4]), Some([1, 2, 3, 4]));
    assert_eq!(plain(&[1 << 32, 9]), Some([9, 0, 0, 0]));
}

#[test]
fn anything_else_is_not() {
    let root = 4_u64 << 32;
    for message in [
        &[][..],
        &[0],
        // Longer or shorter than its root says.
        &[root, 1, 2, 3],
        &[root, 1, 2, 3, 4, 5],
        &[5 << 32, 1, 2, 3, 4, 5],
        // A pointer in the struct, a struct further on, a list, a far pointer, a capability.
        &[root | 1 << 48, 1, 2, 3, 4],
        &[root | 1 << 2, 1, 2, 3, 4],
        &[root | 1, 1, 2, 3, 4],
        &[root | 2, 1, 2, 3, 4],
        &[root | 3, 1, 2, 3, 4],
    ] {
        assert_eq!(plain(message), None, "{message:x?}");
    }
}
