@0xd1c0a5e5b0a70007;
# What the smoke programs speak with each other. No service of a system serves it.

using Process = import "process.capnp";
using Stub = import "stub.capnp";

interface Probe @0xd1c0a5e5b0a70701 {
  # Four words each way, in registers: the sum of `a` and `b`, the cookie of the facet, how many calls were served before.
  words @0 (a :UInt64, b :UInt64) -> (sum :UInt64, cookie :UInt64, before :UInt64) $Stub.idempotent;
  # A message each way, of the same length.
  echo @1 (bytes :Data) -> (bytes :Data);
  # Is answered when the server sees fit, perhaps never.
  hold @2 () -> (word :UInt64);
  # Takes every capability that comes with it. `tag` says what for.
  take @3 (tag :Data) -> (taken :UInt64) $Stub.extraTransfers;
  # Hands out a capability.
  give @4 (what :UInt64) -> (cap :Process.AnyFacet);
  # Does what the smoke agreed on.
  act @5 (what :UInt64, word :UInt64) -> (word :UInt64);
  # Lists of integers each way: back come, for each of `small`, the sum of those before it; `signed`; and the sum of everything.
  sums @6 (small :List(UInt16), signed :List(Int64), bytes :List(UInt8)) -> (sums :List(UInt32), signed :List(Int64), total :Int64);
}
