@0xd1c0a5e5b0a70003;
# Block devices: what providers serve (`services/system/nvme-provider`, `services/system/virtio-blk-provider`), and `sdk::Disk` uses,
# which opens a new session when the provider was restarted.

using Process = import "process.capnp";
using Stub = import "stub.capnp";

# A disk, as its provider serves it.
interface BlockDevice @0xd1c0a5e5b0a70301 {
  # `readOnly` is the device's, whoever asks. `maxZeroBytes` and `maxDiscardBytes` are the most that one `zero` and one
  # `discard` are about, and 0 where the device does no such thing.
  # Refuses: `noDevice`.
  info @0 () -> (blockBytes :UInt32, blocks :UInt64, readOnly :Bool, maxTransferBytes :UInt32, maxZeroBytes :UInt32,
                 maxDiscardBytes :UInt32) $Stub.idempotent;
  # Opens a session. `window` is memory of this session alone, rounded up to pages and at most 8 MiB (`windowBytes`
  # says how much it is). When the last handle of the session goes, the window is revoked and scrubbed.
  # Refuses: `zeroLength`, `overBudget`, `noMemory`, `noDevice`.
  open @1 (windowBytes :UInt32) -> (session :BlockSession, window :Process.MemoryObject, windowBytes :UInt32);
  # Gives what the device says about itself; `address` is its PCI address (segment << 16, bus << 8, device << 3,
  # function).
  # Refuses: `noDevice`.
  model @2 () -> (model :Text, serial :Text, firmware :Text, address :UInt32) $Stub.idempotent;
  # Lists what the device behind this one has: the namespaces of an NVMe controller, else the disk itself. Begin with 0
  # and go on with `next` until `end`.
  # Refuses: `noDevice`.
  units @3 (cursor :UInt32) -> (next :UInt32, units :List(Unit), end :Bool) $Stub.idempotent;
  # Gives the unit with that number as a device of its own.
  # Refuses: `notFound`, `notSupported` (a unit with a `problem`), `noDevice`.
  unit @4 (number :UInt32) -> (device :BlockDevice);
  # Gives the same device without the right to write to it, also for units and sessions that come of it. It outlives the
  # provider, as every `BlockDevice` does.
  # Refuses: `noDevice`.
  readOnly @5 () -> (device :BlockDevice);
  # `number` is the namespace's identifier, 0 where the device is one disk. `problem` says in one sentence what the unit is
  # and why it cannot be read, and is empty for one that can. `main` is the one that `info` and `open` of the export are about.
  struct Unit { number @0 :UInt32; blockBytes @1 :UInt32; blocks @2 :UInt64; problem @3 :Text; main @4 :Bool; }
}

# One client's session.
interface BlockSession @0xd1c0a5e5b0a70302 {
  # Reads whole blocks to `windowOffset` of the session's own window, a multiple of 4. Reading again is harmless.
  # Refuses: `zeroLength`, `outOfRange` (past the device or the window), `misaligned`, `busy` (too many requests
  # waiting), `deviceError`, `revoked` (the device was reset).
  read @0 (block :UInt64, blocks :UInt32, windowOffset :UInt32) -> (bytes :UInt32) $Stub.idempotent;
  # Only blocks that this session has claimed are written.
  # Refuses: as `read`, `readOnly`, and `notGranted` (blocks that it has not claimed).
  write @1 (block :UInt64, blocks :UInt32, windowOffset :UInt32) -> (bytes :UInt32);
  # Completes when everything written before is on the medium.
  # Refuses: `deviceError`, `revoked`, `busy`.
  flush @2 () -> ();
  # Takes blocks for this session alone to write, until it ends and nothing that it wrote is in flight any more. Anybody may read
  # them. Where only a session that has ended is in the way, it is waited for.
  # Refuses: `readOnly`, `zeroLength`, `outOfRange`, `duplicate` (this session has claimed blocks before), `busy` (another session
  # has some of them), `revoked`.
  claim @3 (block :UInt64, blocks :UInt64) -> ();
  # As `write`, and on the medium when it completes. The device's own bit for it is set where there is one, and never trusted
  # alone: where the device has a volatile cache, a flush follows and is part of the request.
  # Refuses: as `write`.
  writeDurable @4 (block :UInt64, blocks :UInt32, windowOffset :UInt32) -> (bytes :UInt32);
  # Makes zeros of blocks that this session has claimed, without data; they stay allocated. As with a write, a flush makes it
  # last.
  # Refuses: `notSupported` (the device does no such thing: write zeros), `zeroLength`, `outOfRange` (past the device, or more
  # than `maxZeroBytes`), `readOnly`, `notGranted`, `busy`, `deviceError`, `revoked`.
  zero @5 (block :UInt64, blocks :UInt32) -> ();
  # Tells the device that what blocks hold, which this session has claimed, is of no use any more. What they hold afterwards is
  # undefined until they are written again, and the device may do nothing at all.
  # Refuses: as `zero`, with `maxDiscardBytes`.
  discard @6 (block :UInt64, blocks :UInt32) -> ();
}
