@0xd1c0a5e5b0a70004;
# Files: what `services/system/store` serves, and, to be read only, `services/system/fat` and `services/system/install-source`;
# and where the latter has them from.

using Process = import "process.capnp";
using Stub = import "stub.capnp";

# One volume of a disk. Its service mounts it when somebody first asks, and tries again after it could not.
interface Volume @0xd1c0a5e5b0a70401 {
  # Refuses: `noDevice`, `notSupported` (no volume of the service's kind, or one that it does not take), `corrupt`, `deviceError`.
  info @0 () -> (format :Text, label :Text, totalBytes :UInt64, clusterBytes :UInt32, readOnly :Bool) $Stub.idempotent;
  # Opens the root. The window is the client's own memory; file data of this session is written into it, and taken from it.
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
  # Says what the blocks of the volume are used for, as the last commit counts them. Of the free ones, `held` can be used after
  # two more commits, and `reserved` are kept for removing; `snapshots` are in use for snapshots alone.
  # Refuses: as `info`, and `notSupported` by services that only read.
  space @5 () -> (space :Space) $Stub.idempotent;
  # Gives the right to look after the volume, without the right to its files.
  # Refuses: `notSupported` by services that only read, `overBudget`.
  keeper @6 () -> (keeper :VolumeKeeper) $Stub.idempotent;
  # Opens the objects of the volume. The window is as with `attach`, and where the volume can be changed, they can.
  # Refuses: as `attach`, and `notSupported` by services that keep none.
  store @7 (window :Process.MemoryObject) -> (store :Store);
  # `name` is `p` and the partition's number, with `n` and the namespace's before it where there are several; empty for a disk
  # that is one volume. `what` says what it is, or why it cannot be read; `label` is the table's. `main` is the part that
  # this export stands for.
  struct Part { name @0 :Text; what @1 :Text; label @2 :Text; bytes @3 :UInt64; readable @4 :Bool; main @5 :Bool; }
  struct Space {
    blockBytes @0 :UInt32; capacity @1 :UInt64; free @2 :UInt64; held @3 :UInt64; reserved @4 :UInt64; snapshots @5 :UInt64;
  }
}

# Looks after a volume: keeps what it was, and looks whether it is sound. Shows and changes no file; only the name of a damaged
# one is told. What writes refuses, besides what stands with it: `readOnly`, `noSpace`, `noMemory`, `corrupt`, `deviceError`.
interface VolumeKeeper @0xd1c0a5e5b0a70405 {
  # Makes everything durable that was answered before, and keeps the volume as it is then. `group` is the snapshot's number. It
  # takes no room of its own: what is changed later is not freed.
  snapshot @0 () -> (group :UInt64);
  # Lists snapshots, by ascending number, from behind `after` on. Begin with 0 and go on with the last one until `end`.
  # Refuses: `corrupt`, `deviceError`.
  snapshots @1 (after :UInt64) -> (list :List(Kept), end :Bool) $Stub.idempotent;
  # Gives one of them, to be read.
  # Refuses: `notFound`, `corrupt`, `deviceError`.
  open @2 (group :UInt64) -> (snapshot :Snapshot) $Stub.idempotent;
  # Lets one go, durably: what only it held becomes free from then on, a part at a time, while others are served. What is open of it
  # refuses `stale` from then on. Works on a full volume.
  # Refuses: `notFound`.
  remove @3 (group :UInt64) -> ();
  # Reads the next piece of all that the volume or one of its snapshots holds (0: as it is now) from the disk, and compares every
  # sum. Begin with no bytes in `after` and go on with `next` until `end`; nothing is kept in between, and the volume may change
  # meanwhile. `flaws` are sentences, each of which begins with the path of the file that it is about, where there is one, or with
  # `object` and its address (`an object` where that is not found among the first 4096).
  # Refuses: `notFound`, `deviceError`, `noMemory`.
  scrub @4 (group :UInt64, after :Data) -> (next :Data, end :Bool, files :UInt64, bytes :UInt64, flaws :List(Text)) $Stub.idempotent;
  # Makes everything durable that was answered before, and has a second reader of the format count every block that the volume and
  # its snapshots reach. Nothing is repaired, and nobody else is served meanwhile. At most 24 problems come as sentences;
  # `problems` counts all.
  # Refuses: `tooLarge` (more blocks are in use than are counted while others wait: `capos-store check` does it without a guest),
  # `readOnly` where it could not make them durable.
  check @5 () -> (group :UInt64, used :UInt64, free :UInt64, inodes :UInt64, problems :UInt32, list :List(Text)) $Stub.idempotent;
  struct Kept { group @0 :UInt64; madeNs @1 :Int64; timeSource @2 :Directory.TimeSource; }
}

# A volume as it once was.
interface Snapshot @0xd1c0a5e5b0a70406 {
  # Refuses: `stale` where it was let go.
  info @0 () -> (kept :VolumeKeeper.Kept) $Stub.idempotent;
  # Opens its root, of which nothing can be changed. The window is as with `Volume.attach`.
  # Refuses: `stale`, `readOnly` (a window that cannot be written), `outOfRange`, `overBudget`.
  attach @1 (window :Process.MemoryObject) -> (root :Directory);
}

# The objects of a volume. Each lies under its address, the 32 bytes of the BLAKE3 of what it holds, is there once, whoever put
# it, and never changes. They lie beside the files, in the same transaction groups: what is said of changes of a Directory, when
# they are seen and last, is true of them too, and what changes something refuses what that does.
# An address is the right to read: who holds a Store, or a Namespace that may be changed, reads each object whose address it knows.
# Every method refuses `badArgument` for what is no address.
interface Store @0xd1c0a5e5b0a70407 {
  # Puts `length` bytes of the session's window, from `windowOffset` on. `isNew` is false where they were there, and were read.
  # Refuses: `outOfRange` (window, or over 1 MiB), `tooLarge`; `corrupt` and `deviceError` also where they were there and cannot be
  # read: deleted, they can be put again.
  put @0 (length :UInt32, windowOffset :UInt32) -> (address :Data, isNew :Bool);
  # Reads as `File.read`.
  # Refuses: `notFound`, and as `File.read`.
  get @1 (address :Data, offset :UInt64, length :UInt32, windowOffset :UInt32) -> (bytes :UInt32) $Stub.idempotent;
  # Refuses: `notFound`.
  stat @2 (address :Data) -> (object :Object) $Stub.idempotent;
  # Works on a full volume.
  # Refuses: `notFound`, `busy` (names are bound to it).
  delete @3 (address :Data) -> ();
  # Lists objects in the order of their addresses, from behind `after` on. Begin with none and go on with the last one until `end`.
  list @4 (after :Data) -> (objects :List(Object), end :Bool) $Stub.idempotent;
  # All names of the volume, to be changed where the store may be.
  # Refuses: `overBudget`.
  names @5 () -> (names :Namespace);
  # The same store without the right to change it or any name.
  # Refuses: `overBudget`.
  readOnly @6 () -> (store :Store);
  # As `Directory.sync`.
  sync @7 () -> (group :UInt64);
  # `names` counts those that are bound to it.
  struct Object { address @0 :Data; bytes @1 :UInt64; names @2 :UInt64; createdNs @3 :Int64; timeSource @4 :Directory.TimeSource; }
}

# Names that are bound to objects, and nothing else: there is no way to the names around them. A name is words with a `/` between
# two of them, none of which is empty, `.` or `..`, or has a zero byte in it; with what leads to the namespace it has at most 255 bytes.
# What is no name is refused with `badArgument`.
interface Namespace @0xd1c0a5e5b0a70408 {
  # Binds a name to an object, in place of what it was bound to. `version` is what is expected with `Expect.version`, which is
  # compare-and-set. Gives the binding's version, which no other binding of the volume ever had, nor has after a loss of this one.
  # Refuses: `notFound` (the object; or the name, where a version is expected), `alreadyExists` (`Expect.unbound`), `wrongState`
  # (another version).
  bind @0 (name :Text, address :Data, expect :Expect, version :UInt64) -> (version :UInt64);
  # Refuses: `notFound`.
  resolve @1 (name :Text) -> (address :Data, version :UInt64) $Stub.idempotent;
  # Reads the object that a name is bound to, as `File.read`, and says by which binding.
  # Refuses: `notFound`, and as `File.read`.
  get @2 (name :Text, offset :UInt64, length :UInt32, windowOffset :UInt32) -> (bytes :UInt32, version :UInt64) $Stub.idempotent;
  # Takes a name away; the object stays. Works on a full volume.
  # Refuses: as `bind`, and `notFound`.
  unbind @3 (name :Text, expect :Expect, version :UInt64) -> ();
  # Lists names in the order of their bytes, from behind `after` on. Begin with an empty one and go on with the last one until `end`.
  list @4 (after :Text) -> (bindings :List(Binding), end :Bool) $Stub.idempotent;
  # The names that begin with `name` and `/`, without that. It need not lead to any.
  # Refuses: `overBudget`.
  sub @5 (name :Text) -> (names :Namespace);
  # The same names without the right to change them.
  # Refuses: `overBudget`.
  readOnly @6 () -> (names :Namespace);
  # As `Directory.sync`.
  sync @7 () -> (group :UInt64);
  struct Binding { name @0 :Text; address @1 :Data; version @2 :UInt64; }
  # What a name must be bound to: nothing, that version, or whatever it is.
  enum Expect { unbound @0; version @1; any @2; }
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

# A directory and all below it, and nothing else: there is no way up. Each change is made whole or not at all, and is seen at
# once; it lasts when `sync` was answered after it, here or at a file of the same volume, or when the service says so in its
# log. Until then a power cut takes it back, in the order in which changes were made.
# What changes something refuses, besides what stands with it: `readOnly` (the facet, the volume, its disk), `notFound`,
# `notDirectory`, `badArgument` (as `open`), `noSpace`, `noMemory`, `corrupt`, `deviceError`. Nothing was changed then.
interface Directory @0xd1c0a5e5b0a70402 {
  # Gives a File in the same session, to be read.
  # Refuses: `notFound`, `isDirectory`, `notDirectory`, `badArgument` (an absolute path, `..`, an ill-formed name),
  # `overBudget`, `corrupt`, `deviceError`.
  open @0 (path :Text) -> (file :File);
  # Gives a part of the entries; begin with cursor 0 and go on with `next` until `end`.
  # Refuses: `corrupt`, `deviceError`.
  list @1 (cursor :UInt64) -> (next :UInt64, entries :List(Entry), end :Bool) $Stub.idempotent;
  # Refuses: as `open`, `notDirectory` for a file.
  sub @2 (path :Text) -> (directory :Directory);
  # Times are as the volume states them: universal time, or of FAT and ISO 9660 volumes local time without a zone. `timeSource`
  # says where `modifiedNs` comes from. They are no clock.
  # Refuses: as `open`.
  stat @3 (path :Text) -> (stat :Stat) $Stub.idempotent;
  # Makes an empty file, and gives it to be written.
  # Refuses: `alreadyExists`, `overBudget`.
  create @4 (path :Text) -> (file :File);
  # Makes an empty directory.
  # Refuses: `alreadyExists`.
  mkdir @5 (path :Text) -> ();
  # Takes a name away, with the file or the empty directory that it names. Works on a full volume.
  # Refuses: `notEmpty`, `busy` (somebody has the file to be written).
  remove @6 (path :Text) -> ();
  # Gives what `path` names another name in the same directory. `name` is no path.
  # Refuses: `alreadyExists`.
  rename @7 (path :Text, name :Text) -> ();
  # Gives what `path` names the name `to`, a path below this directory as well.
  # Refuses: `alreadyExists`, `badArgument` (a directory would lie below itself).
  moveTo @8 (path :Text, to :Text) -> ();
  # Gives a file to be written. One client at a time has it so; it gives it back by dropping it.
  # Refuses: `isDirectory`, `busy` (somebody else has it), `overBudget`.
  edit @9 (path :Text) -> (file :File);
  # Makes everything durable that was answered before, on the whole volume. `group` is the number of the last durable
  # transaction group. Refuses with `deviceError`, `corrupt` or `noMemory` also where changes that were answered before were
  # dropped, once in each session: what the volume holds then is its last durable group, that of the last sync or a later
  # one. Where it was the disk that failed, all that follows is refused with `readOnly`. Where the service ended, the session is
  # gone (`stale`), and with it what was in no durable group.
  sync @10 () -> (group :UInt64);
  # The same directory without the right to change it or anything below.
  # Refuses: `overBudget`.
  readOnly @11 () -> (directory :Directory);
  struct Entry { name @0 :Text; stat @1 :Stat; }
  struct Stat {
    bytes @0 :UInt64; kind @1 :Kind;
    createdNs @2 :Int64; modifiedNs @3 :Int64; # since 1970, 0 where unknown
    timeSource @4 :TimeSource;
    readOnly @5 :Bool; hidden @6 :Bool; system @7 :Bool;
  }
  enum Kind { file @0; directory @1; }
  # `clockAtBoot`: the machine's clock, read when it was started. `tool`: a program on another system.
  enum TimeSource { none @0; fatMetadata @1; mediumMetadata @2; clockAtBoot @3; networkTime @4; person @5; tool @6; }
}

# One file. Of what `edit` and `create` gave, everything may be called; what `open` gave refuses the rest with `readOnly`. A file
# that was removed refuses `stale`.
interface File @0xd1c0a5e5b0a70403 {
  # Writes up to `length` bytes from `offset` on to `windowOffset` of the session's window. 0 bytes: the end. Where
  # a chain is broken, the good bytes come first and the refusal with the next read.
  # Refuses: `zeroLength`, `outOfRange` (window), `corrupt`, `deviceError`.
  read @0 (offset :UInt64, length :UInt32, windowOffset :UInt32) -> (bytes :UInt32) $Stub.idempotent;
  stat @1 () -> (bytes :UInt64, modifiedNs :Int64) $Stub.idempotent;
  # Writes `length` bytes of the session's window, from `windowOffset` on, to `offset`. The file grows as needed, and what lies
  # between its end and `offset` reads as zeroes. All of it is written, or nothing.
  # Refuses: `readOnly`, `zeroLength`, `outOfRange` (window, or over 1 MiB), `tooLarge`, `noSpace`, `noMemory`, `corrupt`, `deviceError`.
  write @2 (offset :UInt64, length :UInt32, windowOffset :UInt32) -> ();
  # The same at the end of the file. Gives where that was.
  append @3 (length :UInt32, windowOffset :UInt32) -> (offset :UInt64);
  # Cuts the file, or lets it grow by zeroes. Works on a full volume.
  # Refuses: as `write`.
  truncate @4 (bytes :UInt64) -> ();
  # As `Directory.sync`.
  sync @5 () -> (group :UInt64);
}
