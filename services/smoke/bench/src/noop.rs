//! A program that ends at once. It never uses a capability.
#![no_std]
#![cfg_attr(not(test), no_main)]

use sdk::rt;

rt::entry!(main);

fn main(_: &rt::Env) {}
