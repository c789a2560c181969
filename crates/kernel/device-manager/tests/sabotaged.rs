//! What each sabotage breaks, and only that. One test, because the choice is the whole program's.
#![allow(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests may fail"
)]
#![cfg(sabotage)]

mod machine;

use device_manager::{Access, Layout};
use machine::Machine;
use sabotage::{choose, points};

#[test]
fn each_point_breaks_what_it_says() {
    share_window_gives_two_sessions_one_window();
    skip_scrub_frees_what_was_written();
}

fn share_window_gives_two_sessions_one_window() {
    let it = Machine::new();
    let claim = it.claim(0);
    choose(points::SHARE_WINDOW);
    let (pool, first) = it.buffer(&claim, 4096);
    let second = it
        .manager
        .buffer_allocate(&claim, pool, 4096, Layout::Scattered)
        .unwrap();
    let mine = it
        .manager
        .buffer_window(&claim, first, Access::ReadWrite)
        .unwrap();
    let theirs = it
        .manager
        .buffer_window(&claim, second, Access::Read)
        .unwrap();
    mine.write(9, &[0x5a]);
    assert_eq!(theirs.read(9), 0x5a);
    // Both would give the same page back.
    core::mem::forget((mine, theirs, it));
}

fn skip_scrub_frees_what_was_written() {
    let it = Machine::new();
    let claim = it.claim(0);
    let (_, buffer) = it.buffer(&claim, 4096);
    it.manager
        .buffer_window(&claim, buffer, Access::ReadWrite)
        .unwrap()
        .write(0, b"secret");
    choose(points::SKIP_SCRUB);
    let freed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _ = it.manager.buffer_free(&claim, buffer);
    }));
    let complaint = freed.unwrap_err();
    assert!(
        complaint
            .downcast_ref::<&str>()
            .is_some_and(|text| text.contains("freed dirty"))
    );
    // The fake is of no more use: its lock was held when it complained.
    core::mem::forget(it);
}
