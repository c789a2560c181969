@0xd1c0a5e5b0a70006;
# What `cargo xtask bench` measures calls with.

using Process = import "process.capnp";

interface Echo @0xd1c0a5e5b0a70601 {
  # Four words each way, in registers.
  words @0 (a :UInt64, b :UInt64, c :UInt64, d :UInt64) -> (a :UInt64, b :UInt64, c :UInt64, d :UInt64);
  # A message each way, of the same length.
  message @1 (bytes :Data) -> (bytes :Data);
  # A capability each way, with a message on the way in: the server drops what it gets and sends a copy of its own.
  exchange @2 (bytes :Data, cap :Process.AnyFacet) -> (cap :Process.AnyFacet);
}
