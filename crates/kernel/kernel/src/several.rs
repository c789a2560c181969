//! A list that needs no memory of its own where it is of one: most buffers of devices have one page.

use alloc::vec::Vec;

use frames::Grow;

/// One, or several.
#[derive(Debug)]
pub enum Several<T> {
    /// One, or none where it was taken out.
    One(Option<T>),
    /// Any number.
    Many(Vec<T>),
}

impl<T> Several<T> {
    /// An empty list with room for `wanted`; `None` where nobody pays for that.
    pub fn with_room(wanted: usize) -> Option<Self> {
        if wanted <= 1 {
            return Some(Self::One(None));
        }
        let mut list = Vec::new();
        list.grow(wanted).ok()?;
        Some(Self::Many(list))
    }

    /// Adds one for which there is room.
    pub fn put(&mut self, one: T) {
        match self {
            Self::One(place) => *place = Some(one),
            Self::Many(list) => {
                let _ = list.put(one);
            }
        }
    }

    /// Takes the last one out.
    pub fn pop(&mut self) -> Option<T> {
        match self {
            Self::One(place) => place.take(),
            Self::Many(list) => list.pop(),
        }
    }

    /// All of them.
    pub const fn as_slice(&self) -> &[T] {
        match self {
            Self::One(place) => place.as_slice(),
            Self::Many(list) => list.as_slice(),
        }
    }
}
