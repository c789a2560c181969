//! Fields of a plain payload: typed values at fixed places in four words.
//!
//! `index` counts in units of the field's own size from the start of the data section, as Cap'n Proto does.

use crate::Words;

macro_rules! fields {
    ($($get:ident, $set:ident, $t:ty, $bits:literal;)*) => { $(
        #[doc = concat!("Reads the `", stringify!($t), "` at `index`.")]
        #[inline]
        pub const fn $get(words: &Words, index: usize) -> $t {
            let bit = index * $bits;
            if bit >= 256 { return 0; }
            (words[bit / 64] >> (bit % 64)) as $t
        }
        #[doc = concat!("Writes the `", stringify!($t), "` at `index`, which must still be zero.")]
        #[inline]
        pub const fn $set(words: &mut Words, index: usize, value: $t) {
            let bit = index * $bits;
            if bit < 256 {
                let mask = u64::MAX >> (64 - $bits);
                words[bit / 64] |= (value as u64 & mask) << (bit % 64);
            }
        }
    )* };
}

fields! {
    get_u8, set_u8, u8, 8;
    get_u16, set_u16, u16, 16;
    get_u32, set_u32, u32, 32;
    get_u64, set_u64, u64, 64;
    get_i8, set_i8, i8, 8;
    get_i16, set_i16, i16, 16;
    get_i32, set_i32, i32, 32;
    get_i64, set_i64, i64, 64;
}

/// Reads the bit at `index`.
#[inline]
pub const fn get_bool(words: &Words, index: usize) -> bool {
    index < 256 && (words[index / 64] >> (index % 64)) & 1 != 0
}

/// Writes the bit at `index`, which must still be zero.
#[inline]
#[expect(clippy::fn_params_excessive_bools, reason = "the value of a field")]
pub const fn set_bool(words: &mut Words, index: usize, value: bool) {
    if index < 256 {
        words[index / 64] |= (value as u64) << (index % 64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_do_not_touch_their_neighbours() {
        let mut words = [0; 4];
        set_i16(&mut words, 1, -2);
        set_u8(&mut words, 1, 0x7f);
        set_u32(&mut words, 7, 0xdead_beef);
        set_bool(&mut words, 0, true);
        assert_eq!(words, [0xfffe_7f01, 0, 0, 0xdead_beef_0000_0000]);
        assert_eq!(get_i16(&words, 1), -2);
        assert_eq!(get_u8(&words, 1), 0x7f);
        assert_eq!(get_u32(&words, 7), 0xdead_beef);
        assert!(get_bool(&words, 0) && !get_bool(&words, 1));
        assert_eq!(get_u64(&words, 4), 0);
    }
}
