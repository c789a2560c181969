@0xd1c0a5e5b0a70003;
# Block devices, as a provider serves them.

using Process = import "process.capnp";
using Stub = import "stub.capnp";

interface BlockDevice @0xd1c0a5e5b0a70301 {
  info @0 () -> (blockBytes :UInt32, blocks :UInt64, readOnly :Bool, maxTransferBytes :UInt32) $Stub.idempotent;
  # Opens a session with a transfer window of its own. The window belongs to this session alone and is
  # scrubbed when the last handle of the session goes.
  open @1 (windowBytes :UInt32) -> (session :BlockSession, window :Process.MemoryObject, windowBytes :UInt32);
  model @2 () -> (model :Text, serial :Text, firmware :Text, address :UInt32) $Stub.idempotent;
}

interface BlockSession @0xd1c0a5e5b0a70302 {
  # Offsets are bytes inside the session's own window. Reading again is harmless: stubs may retry it.
  read @0 (block :UInt64, blocks :UInt32, windowOffset :UInt32) -> (bytes :UInt32) $Stub.idempotent;
  write @1 (block :UInt64, blocks :UInt32, windowOffset :UInt32) -> (bytes :UInt32);
  flush @2 () -> ();
}
