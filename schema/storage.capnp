@0xd1c0a5e5b0a70004;
# Files: what `services/system/fat` and `services/system/install-source` serve, read-only, and where the latter has them from.

using Process = import "process.capnp";
using Stub = import "stub.capnp";

# One volume of a disk. The FAT service mounts it when somebody first asks, and tries again after it could not.
interface Volume @0xd1c0a5e5b0a70401 {
  # Refuses: `noDevice`, `notSupported` (no FAT volume, or one this reader does not take), `corrupt`, `deviceError`.
  info @0 () -> (format :Text, label :Text, totalBytes :UInt64, clusterBytes :UInt32, readOnly :Bool) $Stub.idempotent;
  # Opens the root. The window is the client's own memory; file data of this session is written into it.
  # Refuses: as `info`, and `readOnly` (a window that cannot be written), `outOfRange` (empty, or over 16 MiB),
  # `overBudget`.
  attach @1 (window :Process.MemoryObject) -> (root :Directory);
  # Gives one line on why there is no volume, empty if there is one.
  problem @2 () -> (text :Text) $Stub.idempotent;
  # Lists everything that lies on the disk: partitions, namespaces, what cannot be read. Begin with 0 and go on with `next`
  # until `end`. On a part it is the same list.
  # Refuses: `noDevice`, `deviceError`.
  parts @3 (cursor :UInt32) -> (next :UInt32, parts :List(Part), end :Bool) $Stub.idempotent;
  # Gives the part at that place of the list, counted from 0, as a volume of its own.
  # Refuses: `notFound`, and as `info`.
  part @4 (number :UInt32) -> (volume :Volume);
  # `name` is `p` and the partition's number, with `n` and the namespace's before it where there are several; empty for a disk
  # that is one volume. `what` says what it is, or why it cannot be read; `label` is the table's. `main` is the part that
  # this export stands for.
  struct Part { name @0 :Text; what @1 :Text; label @2 :Text; bytes @3 :UInt64; readable @4 :Bool; main @5 :Bool; }
}

# The CD that the machine was booted from, where the kernel reads it itself, behind legacy IDE. Nothing can be written through it,
# and it leads to no other drive.
interface BootMedium @0xd1c0a5e5b0a70404 {
  # Refuses: `noDevice` where the kernel reads no medium.
  info @0 () -> (sectorBytes :UInt32, sectors :UInt32, readSectors :UInt32) $Stub.idempotent;
  # Reads `count` sectors, at most `readSectors`, from `lba` on into the window at `offset`.
  # Refuses: `noDevice`, `zeroLength`, `outOfRange` (sectors, window), `readOnly` (a window that cannot be written), `busy` (one
  # read at a time), `deviceError`, `timedOut`.
  read @1 (window :Process.MemoryObject, lba :UInt32, count :UInt32, offset :UInt64) -> () $Stub.idempotent;
}

# A directory and all below it, and nothing else: there is no way up.
interface Directory @0xd1c0a5e5b0a70402 {
  # Gives a File in the same session.
  # Refuses: `notFound`, `isDirectory`, `notDirectory`, `badArgument` (an absolute path, `..`, an ill-formed name),
  # `overBudget`, `corrupt`, `deviceError`.
  open @0 (path :Text) -> (file :File);
  # Gives a part of the entries; begin with cursor 0 and go on with `next` until `end`.
  # Refuses: `corrupt`, `deviceError`.
  list @1 (cursor :UInt64) -> (next :UInt64, entries :List(Entry), end :Bool) $Stub.idempotent;
  # Refuses: as `open`, `notDirectory` for a file.
  sub @2 (path :Text) -> (directory :Directory);
  # Times are as the volume states them, local time without a zone; `timeSource` says where they come from. They are
  # no clock.
  # Refuses: as `open`.
  stat @3 (path :Text) -> (stat :Stat) $Stub.idempotent;
  struct Entry { name @0 :Text; stat @1 :Stat; }
  struct Stat {
    bytes @0 :UInt64; kind @1 :Kind;
    createdNs @2 :Int64; modifiedNs @3 :Int64; # since 1970, 0 where unknown
    timeSource @4 :TimeSource;
    readOnly @5 :Bool; hidden @6 :Bool; system @7 :Bool;
  }
  enum Kind { file @0; directory @1; }
  enum TimeSource { none @0; fatMetadata @1; mediumMetadata @2; }
}

# One file.
interface File @0xd1c0a5e5b0a70403 {
  # Writes up to `length` bytes from `offset` on to `windowOffset` of the session's window. 0 bytes: the end. Where
  # a chain is broken, the good bytes come first and the refusal with the next read.
  # Refuses: `zeroLength`, `outOfRange` (window), `corrupt`, `deviceError`.
  read @0 (offset :UInt64, length :UInt32, windowOffset :UInt32) -> (bytes :UInt32) $Stub.idempotent;
  stat @1 () -> (bytes :UInt64, modifiedNs :Int64) $Stub.idempotent;
}
