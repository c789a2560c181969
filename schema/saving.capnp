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
