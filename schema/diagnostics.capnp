@0xd1c0a5e5b0a7000d;
# Diagnostics: the state of the machine as records, and a console that shows them.
#
# Conventions beside those of process.capnp:
# - Nothing changes through a MachineInspector, and nothing it says is an address of memory that a device may reach.
# - A method with `from` and `next` gives a page of at most 16 records: begin at 0, go on at `next`, stop when it is 0.
# - The kernel gives records; words and tables are whoever shows them.

using Device = import "device.capnp";

# What a person needs who looks for a fault. The whole machine, to be looked at and not to be touched.
interface MachineInspector @0xd1c0a5e5b0a70d01 {
  # Every processor that the tables list: those that run first, in the order of their numbers.
  cpus @0 (from :UInt32) -> (next :UInt32, list :List(Cpu));
  memory @1 () -> (memory :Memory);
  # What each process holds of what it may hold, by ascending id.
  charges @2 (from :UInt64) -> (next :UInt64, list :List(Charge));
  # What `DeviceRegistry.list` says, and what it does not say; without the right to claim anything.
  functions @3 (from :UInt32) -> (next :UInt32, list :List(Function));
  # The ledger's record of every function that has a driver.
  claims @4 (from :UInt32) -> (next :UInt32, list :List(Claim));
  # The interrupt vectors that are in use: by processor, then ascending.
  vectors @5 (from :UInt32) -> (next :UInt32, list :List(Vector));
  clock @6 () -> (clock :Clock);
  # The ACPI tables that firmware lists, in its order, then any other that was refused.
  tables @7 (from :UInt32) -> (next :UInt32, list :List(Table));
  # How devices reach memory, and why not otherwise.
  translation @8 () -> (translation :Translation);
  # The units that could translate devices' addresses, in table order.
  units @9 (from :UInt32) -> (next :UInt32, list :List(Unit));

  struct Cpu {
    apicId @0 :UInt32;
    state @1 :CpuState;
    # Since it runs; 0 for one that does not.
    idleNs @2 :UInt64;
    busyNs @3 :UInt64;
    # Switches from one thread to another.
    switches @4 :UInt64;
    # How many of them came between accounts of which one is distrusting.
    barriers @19 :UInt64;
    # When its timer fires next, 2^64-1 for never.
    nextDeadlineNs @5 :UInt64;
    # Interrupts of devices; spurious ones; ones on a vector that nobody owns.
    interrupts @15 :UInt64; spurious @16 :UInt64; unowned @17 :UInt64;
    # Device vectors in use on it.
    vectors @18 :UInt16;
    # What it was found to offer when it came up.
    nx @6 :Bool; smep @7 :Bool; smap @8 :Bool; umip @9 :Bool; gibPages @10 :Bool;
    x2apic @11 :Bool; tscDeadline @12 :Bool; invariantTsc @13 :Bool; rdrand @14 :Bool;
  }
  # `silent` was started and did not answer; `leftOut` was not started.
  enum CpuState { online @0; silent @1; leftOut @2; }

  struct Memory {
    # Frames of 4 KiB.
    totalFrames @0 :UInt64;
    freeFrames @1 :UInt64;
    # Frames that only the kernel itself gets.
    reservedFrames @2 :UInt64;
    # Frames of devices that never proved that they stopped: out of use for good.
    quarantinedFrames @3 :UInt64;
    # What the kernel's heap took from the frames, and what of it is in use.
    heapBytes @4 :UInt64;
    heapUsedBytes @5 :UInt64;
  }

  struct Charge {
    id @0 :UInt64; name @1 :Text;
    pages @2 :UInt32; pagesLimit @3 :UInt32;
    threads @4 :UInt32; threadsLimit @5 :UInt32;
    endpoints @6 :UInt32; endpointsLimit @7 :UInt32;
    facets @8 :UInt32; facetsLimit @9 :UInt32;
    # Places of the handle table: in use, set aside for a transfer under way, worn out for good.
    handles @10 :UInt32; handlesLimit @11 :UInt32; handlesReserved @12 :UInt32; handlesRetired @13 :UInt32;
  }

  struct Function {
    listed @0 :Device.DeviceRegistry.Function;
    subsystemVendor @1 :UInt16; subsystemDevice @2 :UInt16;
    revision @3 :UInt8;
    interruptPin @4 :UInt8; # 0 for none, 1 for INTA
    # Its configuration space is well formed, and it let itself be turned off at boot.
    sound @5 :Bool;
    capabilities @6 :List(Capability);
  }
  struct Capability { id @0 :UInt16; offset @1 :UInt16; extended @2 :Bool; }

  struct Claim {
    address @0 :UInt32;
    driver @1 :Text;
    state @2 :ClaimState;
    # While a teardown runs: how many of its nine steps are done.
    step @3 :UInt8;
    owner @4 :UInt64; # process id, 0 for none
    generation @5 :UInt64;
    resets @6 :UInt64;
    busMaster @7 :Bool;
    poolBudgetBytes @8 :UInt64; poolBytes @9 :UInt64;
    # Queues and lists that the broker keeps.
    brokerBytes @10 :UInt64;
    buffers @11 :UInt32; mappings @12 :UInt32;
    commandsInFlight @13 :UInt32; segmentsInFlight @14 :UInt32;
    books @15 :Books;
    pools @16 :List(Pool);
    queues @17 :List(Queue);
  }
  enum ClaimState {
    unclaimed @0; unproven @1; resetting @2; stopped @3; configured @4; enabling @5; running @6;
    revoking @7; quarantined @8; dead @9;
  }
  # Whether the totals agree with the entries they stand for; a claim with very many entries is not recounted.
  enum Books { agree @0; differ @1; notCounted @2; }
  struct Pool { budgetBytes @0 :UInt64; usedBytes @1 :UInt64; buffers @2 :UInt32; }
  struct Queue {
    depth @0 :UInt16; inFlight @1 :UInt16; bytesInFlight @2 :UInt64; segments @3 :UInt32;
    revoked @4 :UInt16; # commands that ended so, and whose holder has not been told yet
    state @5 :QueueState;
  }
  enum QueueState { opening @0; open @1; stopped @2; ended @3; resetting @4; }

  struct Vector {
    # The processor; 2^16-1 for a vector that every processor has.
    cpu @0 :UInt16;
    vector @1 :UInt8;
    use @2 :Use;
    # For `device`: the function, its source, and how it signals.
    address @3 :UInt32; source @4 :UInt16; signal @5 :Signal;
    # For `line` and `console`: the global interrupt. For `line` also how many routes share it.
    gsi @6 :UInt32; users @7 :UInt16;
    # How often it came, and was handled at once; 2^64-1 where nobody counts.
    raised @8 :UInt64;
    # How often it came while it was masked or waited for its acknowledgement; for `line`, with nobody who had raised it.
    late @9 :UInt64;
    # How often it came on a vector from which it had been moved.
    forwarded @10 :UInt64;
    # How often it was turned off because it came too often.
    storms @11 :UInt64;
    # It will not be raised now.
    masked @12 :Bool;
  }
  # `device` is a source of a function, `line` a line that such sources share; from `timer` on they are between processors.
  enum Use { device @0; line @1; console @2; timer @3; shootdown @4; reschedule @5; stop @6; drain @7; spurious @8; }
  enum Signal { none @0; msix @1; msi @2; line @3; }

  struct Table {
    # Four characters, the first in the lowest byte.
    signature @0 :UInt32;
    # What its header says; 0 for one that no list names.
    lengthBytes @1 :UInt32;
    fate @2 :Fate;
    # For one that was refused: the rule that it broke.
    rule @3 :Text;
  }
  # `unused` tables are listed, and nobody has a use for them; a `refused` one counts as absent.
  enum Fate { unused @0; read @1; refused @2; }

  struct Translation {
    # The way that was chosen, the choice's reason, and the manifest's word.
    backend @0 :Text; reason @1 :Text; policy @2 :Text;
    # How the search for units ended.
    discovery @3 :Text;
    # The first thing that direct access needs and that does not hold; empty for none.
    missing @4 :Text;
    # Functions that could be bus masters: all, served by one unit, by none, and not certain.
    functions @5 :UInt32; covered @6 :UInt32; uncovered @7 :UInt32; uncertain @8 :UInt32;
  }

  struct Unit {
    vendor @0 :Text;
    segment @1 :UInt16;
    # It serves every function of its segment that no other unit lists.
    includeAll @2 :Bool;
    state @3 :UnitState;
    # Why its registers are not believed.
    fault @4 :Text;
    # For a verified one, what it can do.
    major @5 :UInt8; minor @6 :UInt8; addressBits @7 :UInt8; domains @8 :UInt32;
    interruptRemapping @9 :Bool; queuedInvalidation @10 :Bool;
    # What its registers say now: it translates, and its fault status as it stands there.
    translating @11 :Bool; faults @12 :UInt64;
    # Of one that was turned on: the domains that claimed functions have, the pages that they map, and the requests that
    # it told to have refused.
    on @13 :Bool; inUse @14 :UInt32; mappedPages @15 :UInt64; refused @16 :UInt64;
    # Interrupts that have an entry, or had one that the unit was not seen to forget.
    entries @17 :UInt32;
  }
  enum UnitState { unread @0; refused @1; verified @2; }

  struct Clock {
    # Where the rate of the clock was learnt: `cpuid`, `pm-timer` or `pit`.
    source @0 :Text;
    tscHz @1 :UInt64;
    # The rate of the processors' timers.
    timerHz @2 :UInt64;
    tscDeadline @3 :Bool;
    x2apic @4 :Bool;
    nowNs @5 :UInt64;
  }
}

# Who holds what: processes, what they may use, and every capability by the object that it names. To be looked at: a number
# names an object for as long as the machine runs, is never used again, and opens nothing. What changes between two pages of a list
# may be in both or in none.
interface SystemGraph @0xd1c0a5e5b0a70d03 {
  # Every process that has not ended, by ascending id.
  processes @0 (from :UInt64) -> (next :UInt64, list :List(Node));
  # What a process holds, in the order of its table; up to 32 records here. `from` and `next` are places of the table.
  # Refuses: `notFound`.
  held @1 (process :UInt64, from :UInt32) -> (next :UInt32, list :List(Holding));

  struct Node {
    id @0 :UInt64; name @1 :Text;
    # Who started it, 0 for the kernel. Its account came out of that one's.
    startedBy @2 :UInt64;
    priority @3 :UInt8;
    # It is ending, and its capabilities are given back.
    dying @4 :Bool;
    restarts @5 :UInt32;
    # Of each kind: what it uses, what it gave to those it started, what it has in all.
    memory @6 :Use; threads @7 :Use; handles @8 :Use; endpoints @9 :Use; facets @10 :Use;
    cpuNs @11 :UInt64;
  }
  struct Use { own @0 :UInt64; given @1 :UInt64; limit @2 :UInt64; }

  struct Holding {
    # The object, and the interface by which the holder was given it.
    object @0 :UInt64; interfaceId @1 :UInt64;
    kind @2 :Kind;
    standing @3 :Standing;
    about @4 :About;
    # For `endpoint`, `process` and `memory` its number; for `claim` and `device` the function's address. Memory has the number of the object
    # that was made of the pages first, so that parts of one object are seen to be that.
    subject @5 :UInt64;
    # For `memory`: how much of it.
    bytes @6 :UInt64;
  }
  # `facet`: calls go through it. `endpoint` and `lentEndpoint`: calls are received with it; with the last handle on the former
  # the endpoint ends for everybody. `reply`: a call waits for its answer. `kernel`: the kernel serves it.
  enum Kind { facet @0; endpoint @1; lentEndpoint @2; reply @3; kernel @4; }
  # `good`: it works. `revoked`: it was, or who answered is gone. `stale`: its server was started anew. `ended`: the claim on a
  # device that it derives from is over.
  enum Standing { good @0; revoked @1; stale @2; ended @3; }
  # `claim`: with its last handle the claim on the device ends. `device`: what derives from a claim.
  enum About { itself @0; endpoint @1; claim @2; device @3; process @4; memory @5; }
}

# The console, for whoever has the serial line and wants to lend it.
interface ConsoleSession @0xd1c0a5e5b0a70d02 {
  # Takes the serial line over and gives it back when the person there says `exit`. Whoever asks meanwhile waits.
  run @0 () -> ();
}
