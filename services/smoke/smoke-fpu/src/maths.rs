//! Sums in floating point whose results are the same on every machine that follows IEEE 754, so that the host can check them.

use sdk::alloc::boxed::Box;
use sdk::alloc::vec::Vec;

/// The square root by Newton's method, on a number in a box.
#[must_use]
pub fn root(of: f64) -> Box<f64> {
    let mut guess = Box::new(of);
    for _ in 0..64 {
        *guess = (*guess + of / *guess) / 2.0;
    }
    guess
}

/// The area under `1 / (1 + x * x)` from 0 to 1, four times: pi, by rectangles.
#[must_use]
pub fn pi(steps: u32) -> f64 {
    let width = 1.0 / f64::from(steps);
    let heights: Vec<f64> = (0..steps)
        .map(|step| {
            let x = (f64::from(step) + 0.5) * width;
            4.0 / (1.0 + x * x)
        })
        .collect();
    heights.iter().sum::<f64>() * width
}

/// A sum in single precision, and what is left of it as an integer.
#[must_use]
pub fn harmonic(terms: u16) -> i32 {
    let sum: f32 = (1..=terms).map(|n| 1.0 / f32::from(n)).sum();
    (sum * 1_000_000.0) as i32
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::{harmonic, pi, root};

    // The smoke requires the same of the guest.
    #[test]
    fn the_host_computes_what_the_smoke_requires() {
        assert_eq!(root(2.0).to_bits(), 0x3ff6_a09e_667f_3bcc);
        assert!((*root(2.0) - 2.0_f64.sqrt()).abs() < 1e-15);
        assert_eq!(pi(1000).to_bits(), 0x4009_21fb_5f73_7cd0);
        assert_eq!(harmonic(1000), 7_485_478);
    }
}
