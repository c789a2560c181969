@0xd1c0a5e5b0a70010;
# What applications save: what `services/system/saves` serves.

using Stub = import "stub.capnp";

# One tenant's profile, and nothing else: no method takes a tenant or a profile, so another's cannot be named.
#
# A name is 1 to 64 of `a-z`, `0-9`, `-`, `_`, `.`, the first a letter or digit. `retry` is 16 random bytes for each call, the
# same as often as it is made: after `unavailable` the same call is made again, answers what it would have answered, and is done
# once. Every method refuses `badArgument` for what is no name, no kind or no retry key; what came of a call otherwise is `end`.
interface SaveStore @0xd1c0a5e5b0a71001 {
  # The longest payloads of the three kinds, how many earlier versions of a record are kept, and the schema version that this
  # facet writes, which is the newest that it reads.
  info @0 () -> (end :End, detail :UInt64, profileBytes :UInt32, checkpointBytes :UInt32, lineBytes :UInt32,
    keptVersions :UInt32, schema :UInt32) $Stub.idempotent;
  # The newest version of a record; none where `records` is empty.
  get @1 (kind :Kind, name :Text) -> (end :End, detail :UInt64, records :List(Record)) $Stub.idempotent;
  # Makes a new version, and says which. `version` is what is expected with `Expect.version`, which is compare-and-set.
  put @2 (kind :Kind, name :Text, expect :Expect, version :UInt64, retry :Data, payload :Data)
    -> (end :End, detail :UInt64, version :UInt64) $Stub.idempotent;
  # Adds a line to a ledger of `length` lines, and says how many it has then.
  append @3 (ledger :Text, length :UInt64, retry :Data, payload :Data)
    -> (end :End, detail :UInt64, length :UInt64) $Stub.idempotent;
  # Lines of a ledger, from the one at that place on, counted from 0; `more` where the next call gives some, too.
  readLedger @4 (ledger :Text, from :UInt64) -> (end :End, detail :UInt64, records :List(Record), more :Bool) $Stub.idempotent;
  # Records behind the one of that kind and name, in their order, checkpoints first; behind none with an empty name.
  list @5 (kind :Kind, after :Text) -> (end :End, detail :UInt64, names :List(Named), more :Bool) $Stub.idempotent;
  # The versions that are kept of a record, from that one on, the oldest first and the newest last.
  history @6 (kind :Kind, name :Text, from :UInt64) -> (end :End, detail :UInt64, records :List(Record), more :Bool) $Stub.idempotent;

  # What has become of a record at the bridge, where saves lie on this machine first: the version here that was brought last, and
  # what it became there. It asks nobody. `unavailable` while it waits; any other end says why it is not there and does not
  # wait: `conflict` where another machine has brought something. Refuses: `notSupported` where nothing is brought anywhere.
  brought @7 (kind :Kind, name :Text) -> (end :End, detail :UInt64, near :UInt64, far :UInt64) $Stub.idempotent;
  # The same of a ledger's lines.
  broughtLines @8 (ledger :Text) -> (end :End, detail :UInt64, near :UInt64, far :UInt64) $Stub.idempotent;
  # The newest version at the bridge, whatever was seen before. Refuses: as `brought`.
  theirs @9 (kind :Kind, name :Text) -> (end :End, detail :UInt64, records :List(Record)) $Stub.idempotent;
  # Says that version `version` at the bridge, 0 for none, was merged into what lies here: that goes on top of it, and what was
  # seen there before counts no more. `conflict` where another version is there. Refuses: as `brought`.
  settle @10 (kind :Kind, name :Text, version :UInt64) -> (end :End, detail :UInt64) $Stub.idempotent;

  # A profile is small, a checkpoint larger.
  enum Kind { profile @0; checkpoint @1; }
  # What must be there: nothing, that version, or whatever there is.
  enum Expect { absent @0; version @1; any @2; }
  # What came of a call, and what `detail` says of it. But for `done` nothing was saved, and of `unavailable` it is not known.
  enum End {
    done @0;
    # Another writer was faster: the version or length that is there now.
    conflict @1;
    # The payload is longer than this.
    tooLarge @2;
    # The store gave out another tenant's, profile's or name's record.
    wrongProfile @3;
    # A newer application wrote it, with this schema.
    wrongSchema @4;
    # The store changed or lost this line.
    ledgerRewrite @5;
    # The store shows less than this version, which was seen since the service began.
    rollback @6;
    # The tenant has used what it may.
    overQuota @7;
    # The store or the way to it does not answer: again in so many milliseconds.
    unavailable @8;
    # A writer of this epoch has taken over.
    fenced @9;
    # The store gave out what is no record.
    damaged @10;
  }
  # `version` counts from 1 on, and is a line's place, from 0 on. `previous` is the sum of the version or line before.
  struct Record {
    version @0 :UInt64; schema @1 :UInt32; epoch @2 :UInt64; digest @3 :Data; previous @4 :Data; payload @5 :Data;
  }
  struct Named { kind @0 :Kind; name @1 :Text; }
}

# Save capsules of one profile's records: what a user keeps at a provider of their own. Each record has a chain of its own. What stands
# with `kind`, `name`, `retry`, `end` and `detail` is as in `SaveStore`.
interface Capsules @0xd1c0a5e5b0a71002 {
  # The newest version of a record as a capsule that is to be sent, and the handle that it is called by at the provider, 16 random
  # bytes. The same one until it was sent; an empty one where nothing is newer than what was.
  seal @0 (kind :SaveStore.Kind, name :Text)
    -> (end :SaveStore.End, detail :UInt64, version :UInt64, handle :Data, capsule :Data) $Stub.idempotent;
  # The capsule of that handle is with the provider, and is given out no more. Any other handle changes nothing.
  sent @1 (kind :SaveStore.Kind, name :Text, handle :Data) -> (end :SaveStore.End, detail :UInt64) $Stub.idempotent;
  # Restores a record from a capsule, and says which version was made. `between` are the capsules between the newest that was made or
  # restored here and this one, the oldest first. Where a gate refuses it, `gate` says which, `end` is `damaged`, and nothing has
  # changed.
  restore @2 (kind :SaveStore.Kind, name :Text, retry :Data, capsule :Data, between :List(Between))
    -> (gate :Gate, end :SaveStore.End, detail :UInt64, version :UInt64) $Stub.idempotent;
  # The number of the newest capsule of a record that was made or restored here; 0 for none. It is what deletion at a provider is
  # noticed by, and where the capsules between begin.
  seen @3 (kind :SaveStore.Kind, name :Text) -> (end :SaveStore.End, detail :UInt64, number :UInt64) $Stub.idempotent;

  struct Between { capsule @0 :Data; }
  # Why a capsule is not restored; `detail` says more of some.
  enum Gate {
    passed @0;
    # Longer than any capsule.
    oversized @1;
    # Not in the form of one.
    malformed @2;
    unsigned @3;
    # Changed since it was sealed, or signed by another.
    tampered @4;
    # This content is not known here.
    unknownContent @5;
    wrongProfile @6;
    # A newer application made it, with this schema.
    wrongSchema @7;
    # This number was seen, which is newer.
    stale @8;
    # Two went on from one state: it does not follow the one that was seen.
    forked @9;
    # This number was seen, and those between are missing.
    gap @10;
    # The key that wrapped its key is destroyed, or was never here.
    keyGone @11;
    # A good one of another record.
    otherRecord @12;
  }
}
