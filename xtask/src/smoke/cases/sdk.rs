//! What the SDK offers beyond calls.

use crate::smoke::case::Smoke;
use crate::smoke::cases::PROGRAM;

inventory::submit! {
    Smoke {
        name: "sdk",
        question: "Do the SDK's tasks, lists, channels, locks and heap figures do in a guest what their pages say?",
        manifest: "smoke/sdk",
        required: &[
            "@sdk.memory whole=true given=true blocks=1 mapped=true even=true back=true",
            "@sdk.threads received=200 in_order=true sent=true done=2 slept=true",
            "@sdk.sleep slept=8 early=false late=timedOut",
            "@sdk.turns order=123 left=16",
            "@sdk.either rung=true silent=true left=1 under_way=0",
            "@sdk.calls own=32 too_long=badMessage",
            "@sdk.lists same=true sums=true back=true total=65844 empty=true least=true",
            "@sdk.given-up silent=true held=1 begun=true gone_before=0 given_back=true again=ok under_way=0",
            "@sdk.stuck kind=panicked named=true",
        ],
        ..PROGRAM
    }
}
