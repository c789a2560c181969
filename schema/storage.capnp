@0xd1c0a5e5b0a70004;
# Files and directories.

using Process = import "process.capnp";
using Stub = import "stub.capnp";

interface Volume @0xd1c0a5e5b0a70401 {
  info @0 () -> (format :Text, label :Text, totalBytes :UInt64, clusterBytes :UInt32, readOnly :Bool) $Stub.idempotent;
  # Opens the root. File data of this session is written into `window`, which the client made and pays for.
  attach @1 (window :Process.MemoryObject) -> (root :Directory);
  # One line on why there is no volume, or empty.
  problem @2 () -> (text :Text) $Stub.idempotent;
}

interface Directory @0xd1c0a5e5b0a70402 {
  # Names are UTF-8, one component or several parted by '/'; there is no way up and no absolute path.
  open @0 (path :Text) -> (file :File);
  list @1 (cursor :UInt64) -> (next :UInt64, entries :List(Entry), end :Bool) $Stub.idempotent;
  sub @2 (path :Text) -> (directory :Directory);
  stat @3 (path :Text) -> (stat :Stat) $Stub.idempotent;
  struct Entry { name @0 :Text; stat @1 :Stat; }
  struct Stat {
    bytes @0 :UInt64; kind @1 :Kind;
    createdNs @2 :Int64; modifiedNs @3 :Int64; # since 1970, 0 where unknown
    timeSource @4 :TimeSource;
    readOnly @5 :Bool; hidden @6 :Bool; system @7 :Bool;
  }
  enum Kind { file @0; directory @1; }
  enum TimeSource { none @0; fatMetadata @1; }
}

interface File @0xd1c0a5e5b0a70403 {
  # Writes up to `length` bytes of the file, from `offset` on, into the session's window at `windowOffset`. 0 bytes: the end.
  read @0 (offset :UInt64, length :UInt32, windowOffset :UInt32) -> (bytes :UInt32) $Stub.idempotent;
  stat @1 () -> (bytes :UInt64, modifiedNs :Int64) $Stub.idempotent;
}
