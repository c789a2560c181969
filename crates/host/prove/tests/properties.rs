//! The properties without a history.

use prove::{every_choice, is_deep, properties, random_choices};

#[test]
fn of_every_choice_of_numbers_of_few_bits() {
    for (name, property) in properties::ALL {
        // The pages of a transfer are thousands of choices each; small ones are tried beside `prp`.
        if name != "prp-three-pages" {
            every_choice(name, 3, property);
        }
    }
}

#[test]
fn of_random_numbers_of_64_bits() {
    for (name, property) in properties::ALL {
        random_choices(name, if is_deep() { 20_000 } else { 1000 }, property);
    }
}
