@0xd1c0a5e5b0a7000a;
# The hardware audit log: what was done with device authority. Reading it gives none. The format of records, how long
# they last and what is not claimed stand in [The hardware audit log](../audit.md).

using Process = import "process.capnp";

# The right to read.
interface HardwareAuditLog @0xd1c0a5e5b0a70a01 {
  # Copies at most `max` records from sequence number `from` on, and no more than `limit`, whatever `max` says; 0 asks for
  # the limit. The first record of a boot is 1. A cursor before the oldest record held is moved to it, and `dropped`
  # counts the records in between. Nothing is consumed. `records` are whole records of 64 bytes, `before` and `head` the
  # hash chain before the first of them and after the newest record there is. `truncated`: there are more at `next`.
  # Refuses: `outOfRange` (a cursor beyond `edge`), `noMemory`.
  snapshot @0 (from :UInt64, max :UInt32) -> (first :UInt64, next :UInt64, edge :UInt64, dropped :UInt64,
    suppressed :UInt64, limit :UInt32, truncated :Bool, before :Data, head :Data, records :Data);
  # What was counted since the boot, by kind of event. `overwritten` records went before anybody need have read them;
  # `suppressed` refusals were counted and not recorded.
  counters @1 () -> (recorded :UInt64, overwritten :UInt64, suppressed :UInt64, kinds :List(Count));
  # Completes when a record of number `from` or later is there.
  # Refuses: `busy` where 4 calls of the process wait.
  wait @2 (from :UInt64) -> (edge :UInt64);
  struct Count { kind @0 :UInt16; events @1 :UInt64; }
}

# Where a process asks to read at run time. Holding it is no right to anything.
interface AuditGate @0xd1c0a5e5b0a70a02 {
  # Turns an admission of the audit broker into the right to read. Each is good once; what comes back is revoked when
  # the broker says so.
  # Refuses: `notAdmitted` (it is no admission), `duplicate` (it was used), `revoked`.
  subscribe @0 (admission :Process.AnyFacet) -> (log :HardwareAuditLog);
}

# The authority over who reads at run time.
interface AuditBroker @0xd1c0a5e5b0a70a03 {
  # Makes an admission. `reader` names it, and what it is turned into.
  # Refuses: `overBudget` (64 at once).
  admit @0 () -> (admission :AuditAdmission, reader :UInt64);
  # Ends an admission, used or not: its handles and those of its reader refuse `revoked`, and calls that wait end so.
  # Refuses: `notFound`.
  revoke @1 (reader :UInt64) -> ();
}

# The broker's consent. It has no methods.
interface AuditAdmission @0xd1c0a5e5b0a70a04 {
}
