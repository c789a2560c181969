@0xd1c0a5e5b0a7000a;
# The hardware audit log: what was done with device authority. Reading it gives none.

using Process = import "process.capnp";

interface HardwareAuditLog @0xd1c0a5e5b0a70a01 {
  # Copies at most `max` records from sequence number `from` on, and no more than `limit`, whatever `max` says; 0 asks for
  # the limit. The first record of a boot is 1. A cursor before the oldest record held is moved to it, and `dropped`
  # counts the records in between; one beyond `edge` is refused `outOfRange`. Nothing is consumed.
  # `records` are whole records of 64 bytes as docs/audit.md lays them out, `before` and `head` the hash chain before the
  # first of them and after the newest record there is. `truncated`: there were more than one read gives.
  snapshot @0 (from :UInt64, max :UInt32) -> (first :UInt64, next :UInt64, edge :UInt64, dropped :UInt64,
    suppressed :UInt64, limit :UInt32, truncated :Bool, before :Data, head :Data, records :Data);
  # What was counted since the boot, by kind of event; `overwritten` records went before anybody need have read them.
  counters @1 () -> (recorded :UInt64, overwritten :UInt64, suppressed :UInt64, kinds :List(Count));
  # Completes when a record of number `from` or later is there.
  wait @2 (from :UInt64) -> (edge :UInt64);
  struct Count { kind @0 :UInt16; events @1 :UInt64; }
}

interface AuditGate @0xd1c0a5e5b0a70a02 {
  # Asks to read at run time. Only an admission of the audit broker is taken, and each once; everything else is refused
  # `notAdmitted`. What comes back is revoked when the broker says so.
  subscribe @0 (admission :Process.AnyFacet) -> (log :HardwareAuditLog);
}

interface AuditBroker @0xd1c0a5e5b0a70a03 {
  # The authority over who reads at run time. `reader` names the admission and what it was turned into.
  admit @0 () -> (admission :AuditAdmission, reader :UInt64);
  # Ends an admission, used or not: its handles refuse `revoked`, and calls that wait end `revoked`.
  revoke @1 (reader :UInt64) -> ();
}

interface AuditAdmission @0xd1c0a5e5b0a70a04 {
  # Stands for the broker's consent. It has no methods.
}
