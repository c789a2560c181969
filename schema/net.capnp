@0xd1c0a5e5b0a7000f;
# Network interfaces, as a provider serves them: Ethernet frames in a window, without their check sequence.

using Process = import "process.capnp";
using Stub = import "stub.capnp";

# An interface that moves Ethernet frames.
interface Nic @0xd1c0a5e5b0a70f01 {
  # The first byte of the address is the most significant of `mac`'s 48 bits. `frameBytes` is the longest frame, with its
  # header and without its check sequence.
  # Refuses: `noDevice`.
  info @0 () -> (mac :UInt64, mtu :UInt16, frameBytes :UInt16, linkUp :Bool, polled :Bool) $Stub.idempotent;
  # Opens the session with a window of its own; there is one at a time. When its last handle goes, the device gives up
  # what was posted, and the window is revoked and scrubbed. The window is rounded up to pages, at most 8 MiB. Asked while
  # the last session is ending, it waits for the end.
  # Refuses: `zeroLength`, `busy` (there is a session), `overBudget`, `noMemory`, `noDevice`.
  open @1 (windowBytes :UInt32) -> (session :NicSession, window :Process.MemoryObject, windowBytes :UInt32);
  # `delivered` counts the interrupts that the device has raised, `resets` how often it was brought up.
  # Refuses: `noDevice`.
  counters @2 () -> (received :UInt64, transmitted :UInt64, delivered :UInt64, resets :UInt64) $Stub.idempotent;
}

# Pieces are ranges of the session's own window, one frame each, and belong to the device until their event: up to 64 in one call.
interface NicSession @0xd1c0a5e5b0a70f02 {
  # Sends frames, in order. All or the first `accepted`; `refusal` says why the next one was refused. A
  # place is taken until the event of its piece is given up.
  # Refuses: per piece, in `refusal`: `outOfRange`, `lengthMismatch` (under 14 bytes, or over `frameBytes`), `queueFull`,
  # `overBudget` (more than 64 in one call).
  transmit @0 (frames :List(Piece)) -> (accepted :UInt16, refusal :UInt8 $Stub.refusal);
  # Gives memory for frames to come: one frame each, so each holds `frameBytes`.
  # Refuses: as `transmit`; `lengthMismatch` under `frameBytes`.
  post @1 (buffers :List(Piece)) -> (accepted :UInt16, refusal :UInt8 $Stub.refusal);
  # Completes as soon as event number `from` is there: that one and those that follow, up to 64. Events are numbered from 0
  # on in the order in which they come; asking from one on gives up all before it, and with them their places.
  # Refuses: `zeroLength`, `outOfRange` (an event given up before, or one that cannot be yet), `cancelled` (another call
  # waits now).
  wait @2 (from :UInt64, max :UInt16) -> (events :List(Event)) $Stub.idempotent;

  struct Piece { offset @0 :UInt32; length @1 :UInt32; }
  struct Event {
    kind @0 :Kind;
    # That of the piece.
    offset @1 :UInt32;
    # Bytes of the frame.
    length @2 :UInt32;
    # 0, or why there is no frame.
    refusal @3 :UInt8 $Stub.refusal;
  }
  enum Kind { received @0; transmitted @1; }
}
