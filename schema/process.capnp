@0xd1c0a5e5b0a70001;
# Processes, memory, time and the console: what the kernel itself serves.
#
# Conventions for every file in this folder:
# - A method whose parameters and results are at most 32 bytes of plain data travels in registers.
# - Bulk data never travels in a message: it lies in a MemoryObject that both sides map.
# - `Ns` is nanoseconds on the monotonic clock; a deadline of 2^64-1 never comes.
# - Every refusal is one of the codes in crates/base/ring-abi (`Refusal`).
# - A comment stands before what it is about, or behind it on its line; what a method adds to the refusals that every
#   method has stands last, behind `Refuses:`. The book's pages are made of these comments.

using Stub = import "stub.capnp";

# The serial line, served by the kernel; one object for all holders.
interface Console @0xd1c0a5e5b0a70101 {
  # Takes at most 4096 bytes and says how many it took.
  # Refuses: `busy` where 16 calls of the process wait for room.
  write @0 (bytes :Data) -> (written :UInt32);
  # Waits for at least one byte of input and gives up to 24 of them, packed little-endian into `a`, `b`, `c`. The
  # kernel keeps up to 4096 bytes that nobody has read yet; more stays with its sender, who is held.
  # Refuses: `busy` where 4 calls of the process wait for input.
  read @1 () -> (count :UInt8, a :UInt64, b :UInt64, c :UInt64);
}

# Appends to the system log, a ring of 1024 lines that the kernel holds. The source of a line is the name of the
# calling process, which it cannot choose.
interface LogSink @0xd1c0a5e5b0a70102 {
  # Appends one line. A line that begins with `@` is a fact and also goes to the serial line, unless the machine was booted with
  # `log=quiet`.
  # Refuses: `outOfRange` over 512 bytes.
  write @0 (level :Level, line :Text) -> ();
  enum Level { error @0; warn @1; info @2; debug @3; }
}

# Reads the system log from any sequence number on.
interface LogReader @0xd1c0a5e5b0a70103 {
  # Gives at most 24 records; `next` is where to go on, `dropped` counts what fell out of the ring before it was
  # read.
  read @0 (from :UInt64) -> (next :UInt64, dropped :UInt64, records :List(Record));
  struct Record { sequence @0 :UInt64; ns @1 :UInt64; level @2 :LogSink.Level; source @3 :Text; line @4 :Text; }
}

# Monotonic nanoseconds since the start of the machine.
interface Timer @0xd1c0a5e5b0a70104 {
  now @0 () -> (ns :UInt64);
  # Completes at `untilNs` or later, never before.
  sleep @1 (untilNs :UInt64) -> ();
}

# The time of day in universal time, as the machine has it from somebody. It may be wrong, and it jumps when it is set: nothing
# is to wait by it or to rest its authority on it. Who sets it holds a WallClockControl.
interface WallClock @0xd1c0a5e5b0a70122 {
  # `ns` is since 1970, 0 where nobody has said the time; `atNs` is when that was so, `setNs` when it was last set. `changes`
  # counts how often it was set since the start.
  now @0 () -> (ns :Int64, atNs :UInt64, setNs :UInt64, changes :UInt32, source :Source);
  # `machineClock`: the real-time clock, read at the start, to a second. `firmware`: what the loader had from firmware, where there
  # is no such clock. The others were set since.
  enum Source { none @0; machineClock @1; firmware @2; network @3; person @4; }
}

# Sets the time of day, for whoever has it from a network or a person. Each time is a line of the log, with the setter's name.
interface WallClockControl @0xd1c0a5e5b0a70123 {
  # Sets it to `ns` since 1970, which it was at `atNs`. `steppedNs` is by how much that is later than it was.
  # Refuses: `badArgument` (a source that nobody sets), `notGranted` (narrowed to another), `outOfRange` (`atNs` is to come, or the
  # time lies before 1970 or after 2199).
  set @0 (ns :Int64, atNs :UInt64, source :WallClock.Source) -> (steppedNs :Int64);
  # The right to set it in that name alone.
  # Refuses: `badArgument`, `notGranted`, `overBudget`.
  narrow @1 (source :WallClock.Source) -> (control :WallClockControl);
}

# RDRAND, and nothing weaker in its place.
interface EntropySource @0xd1c0a5e5b0a70105 {
  # 32 random bytes from the processor; refused `notSupported` where it has none.
  # Refuses: `notSupported` without RDRAND, or when it gives nothing.
  fill @0 () -> (a :UInt64, b :UInt64, c :UInt64, d :UInt64);
}

# The holder's own address space; every process finds its own as `vm`. Lengths are rounded up to pages; protection
# bits are 1 read, 2 write, 4 execute. All methods are refused `wrongOwner` when called from another process than
# the one whose memory it is.
interface VirtualMemory @0xd1c0a5e5b0a70106 {
  # Gives zeroed pages at an address of the kernel's choice, with an unmapped page on either side.
  # Refuses: `zeroLength`, `outOfRange`, `writeExecute`, `badArgument` (protection), `overBudget`, `noMemory`.
  map @0 (bytes :UInt64, protection :UInt8) -> (address :UInt64);
  # Returns when no CPU can reach the pages any more.
  # Refuses: `notFound` unless one region covers the range, `busy` while another thread changes it, `overBudget` where a
  # part remains whose record nothing pays for, `misaligned`, `zeroLength`.
  unmap @1 (address :UInt64, bytes :UInt64) -> ();
  # Refuses: `notFound`, `readOnly`, `writeExecute`, `misaligned`, `zeroLength`.
  protect @2 (address :UInt64, bytes :UInt64, protection :UInt8) -> ();
  # Gives zeroed pages that can be shared; they stay charged to the maker until the last handle and mapping are
  # gone.
  # Refuses: `zeroLength`, `overBudget`, `noMemory`.
  createMemory @3 (bytes :UInt64) -> (memory :MemoryObject);
}

# Pages that several processes may map.
interface MemoryObject @0xd1c0a5e5b0a70107 {
  info @0 () -> (bytes :UInt64, writable :Bool);
  # Maps into the caller's address space. A mapping for execution is refused.
  # Refuses: `misaligned`, `zeroLength`, `outOfRange`, `readOnly`, `writeExecute`, `revoked`, `overBudget`,
  # `noMemory`.
  map @1 (offset :UInt64, bytes :UInt64, protection :UInt8) -> (address :UInt64);
  # Refuses: `notFound`.
  unmap @2 (address :UInt64) -> ();
  # Gives a narrower object over the same pages, revoked with this one.
  # Refuses: `overBudget`.
  readOnly @3 () -> (memory :MemoryObject);
  # Ends every mapping and handle of the object in every process, and returns when no CPU can reach a page through
  # one. For whoever made the object: what `readOnly` gave, and a window over somebody else's pages, ends with what it was
  # made from and carries no such right.
  # The end of the account that made the object does the same.
  # Refuses: `notSupported`.
  revoke @4 () -> ();
  # Gives a narrower object over some of the pages, revoked with this one: how much of it somebody may use.
  # Refuses: `misaligned`, `zeroLength`, `outOfRange`, `overBudget`.
  part @5 (offset :UInt64, bytes :UInt64) -> (memory :MemoryObject);
}

# Starts threads in the holder's own process; every process finds its own as `threads`.
interface ThreadSpawner @0xd1c0a5e5b0a70108 {
  # `submissions` is a power of two from 8 to 256, `messageBytes` at most 64 KiB, `priority` at most the process's
  # own, `cpu` -1 for any.
  # Refuses: `outOfRange` (entry or stack outside user space, no such CPU), `badArgument` (ring shape),
  # `overBudget`, `noMemory`, `wrongState`, `wrongOwner`.
  spawn @0 (entry :UInt64, stackTop :UInt64, argument :UInt64, shape :Shape) -> (thread :ThreadHandle);
  # A bell that nobody has rung. The caller pays.
  # Refuses: `overBudget`.
  bell @1 () -> (bell :Bell);
  struct Shape { submissions @0 :UInt16; messageBytes @1 :UInt32; priority @2 :UInt8; cpu @3 :Int16 = -1; }
}

# A bell: 64 bits that are rung by one process and waited for by another. The holder waits, and gives out the right to ring.
interface Bell @0xd1c0a5e5b0a70120 {
  # Rings bits: they stay until somebody takes them.
  ring @0 (bits :UInt64) -> ();
  # Waits until one of the bits of `mask` was rung, and takes those that were. At most eight wait at one bell; each bit goes to one
  # of them.
  # Refuses: `badArgument` (an empty mask), `busy` (eight wait already).
  wait @1 (mask :UInt64) -> (bits :UInt64);
  # The right to ring some bits, and to give that on.
  # Refuses: `overBudget`.
  narrow @2 (bits :UInt64) -> (ringer :BellRinger);
  # Revokes every right to ring that was given out so far.
  silence @3 () -> ();
}

# The right to ring some bits of a bell.
interface BellRinger @0xd1c0a5e5b0a70121 {
  # Rings bits.
  # Refuses: `outOfRange` (not given).
  ring @0 (bits :UInt64) -> ();
  # The right to ring some of them.
  # Refuses: `outOfRange` (not given), `overBudget`.
  narrow @1 (bits :UInt64) -> (ringer :BellRinger);
}

# One thread.
interface ThreadHandle @0xd1c0a5e5b0a70109 {
  # Waits for its end.
  join @0 () -> (code :Int64);
}

# Makes endpoints; the caller pays.
interface EndpointFactory @0xd1c0a5e5b0a7010a {
  # Refuses: `overBudget`.
  create @0 () -> (endpoint :Endpoint);
}

# The right to receive, and to mint what clients hold. When its last handle goes, every queued call completes
# `revoked`.
interface Endpoint @0xd1c0a5e5b0a7010b {
  # Makes a facet with an epoch of its own. Its cookie comes with every call through it; when its last handle goes,
  # one notice with the cookie comes, whose place was reserved here. The caller pays for facet and notice until it was
  # heard, whoever made the endpoint. When the caller's account ends the facet is `stale`, or `revoked` where it is durable;
  # but a durable one lives on where whoever lent the endpoint gave the caller its account, or is above whoever did. A facet of one incarnation becomes `stale` at the next `renew`, and
  # nobody hears of its end after that. A durable one must mean the same to every incarnation: its notice says which one minted
  # it, and comes to a later one as of an earlier one.
  # Refuses: `overBudget`, `noMemory`, `overShare` where the endpoint was lent with fewer.
  mint @0 (cookie :UInt64, interfaceId :UInt64, lifetime :Lifetime) -> (facet :AnyFacet);
  # Kills the facet's handles everywhere and completes its pending calls `revoked`.
  # Refuses: `wrongKind`, `wrongOwner` (a facet of another endpoint).
  revokeFacet @1 (facet :AnyFacet) -> ();
  # Begins the next incarnation and gives its number. `init` calls it before it starts a service again.
  # Refuses: `notSupported` where the endpoint was lent.
  renew @2 () -> (incarnation :UInt64);
  # The same right to receive and to mint, to be lent: at most `facets` facets minted through it live at once, each until its
  # notice was heard, whoever pays for them; and it begins no incarnation. What is lent on comes out of that. It ends with
  # the endpoint, which stays open when it goes. The caller pays for it.
  # Refuses: `overShare` (more than this one was lent with and has left, or lent on 32 times), `overBudget`, `noMemory`.
  lend @3 (facets :UInt32) -> (endpoint :Endpoint);
  enum Lifetime {
    incarnation @0; # until the next `renew`
    durable @1; # as long as the endpoint
  }
}

# Stands for a facet of any interface in a signature; it has no methods.
interface AnyFacet @0xd1c0a5e5b0a7010c { }

# Starts processes. What a child gets is exactly the grants, plus `vm` and `threads` of its own.
interface ProcessSpawner @0xd1c0a5e5b0a7010d {
  # Starts an image of the boot package. Each grant names one of the capabilities that travel with the call, by its
  # position.
  # `limits` is given out of what the caller itself has left; it comes back when the child ends, and what the child
  # still pays for then as it goes.
  # Refuses: `notFound` (no such image), `badImage`, `badArgument` (name, grant name), `alreadyExists` (two grants
  # of one name), `outOfRange` (more than 32 grants, arguments over the startup pages, a stack or an area of a size that is not allowed), `overBudget` (more than the caller has of anything,
  # a priority above its own, or too little to start with), `noMemory`, `badTransfer`, `notSupported` (`fpu` without one).
  spawn @0 (name :Text, image :Text, arguments :List(Text), limits :Limits, grants :List(Grant)) -> (process :ProcessHandle) $Stub.extraTransfers;
  # Starts an image from a MemoryObject. The kernel copies it first and checks the copy.
  # Refuses: as `spawn`, and `wrongKind`, `outOfRange` over 32 MiB.
  spawnMemory @1 (name :Text, image :MemoryObject, bytes :UInt64, arguments :List(Text), limits :Limits, grants :List(Grant)) -> (process :ProcessHandle) $Stub.extraTransfers;
  # `transfer` is the position of a capability that travels with the call, or 65535: `handle` names one of the caller's own then, which is
  # copied. So more are granted than travel with one message.
  struct Grant { name @0 :Text; interfaceId @1 :UInt64; transfer @2 :UInt16; handle @3 :UInt64; }
  struct Limits {
    memoryPages @0 :UInt32 = 4096;
    handles @1 :UInt32 = 1024;
    threads @2 :UInt16 = 16;
    endpoints @3 :UInt16 = 64;
    facets @4 :UInt32 = 4096;
    priority @5 :UInt8 = 16;
    # How often its starter has started it anew: what SystemInfo shows, and nothing more.
    restarts @6 :UInt32;
    # Its threads may use the floating-point and vector unit (x87, SSE, and AVX where the processor has it); the state that is
    # kept for each is charged to it.
    fpu @7 :Bool;
    # On a switch between its account and another the processor is told to forget what it learned of branches (IBPB), where it
    # can. What it starts is distrusting too.
    distrusting @8 :Bool;
    # Pages of its first thread's stack, 4 to 4096; 0 stands for 32. Below it lies a page that is not mapped. They are charged
    # to it, as is what follows.
    stackPages @9 :UInt16;
    # Pages of its first thread's area, ring and messages together, 1 to 16; 0 stands for 16. They lie in one run, so what is no
    # power of two is charged as the next one. The ring has 16 submissions in one page, 32 in two or three, 64 in more.
    areaPages @10 :UInt16;
    # Thousandths of one CPU that its threads may use in each period of 20 ms, and those of what it starts without a budget of
    # its own: 1000 are a whole CPU. Out of its starter's, where that has any. When they are used up none of them runs until the
    # next period, whatever its priority. 0 stands for no budget but its starter's.
    cpuPerMille @11 :UInt16;
  }
}

# A started process, as its starter sees it. Dropping the handle does not end it.
interface ProcessHandle @0xd1c0a5e5b0a7010e {
  # Completes when every thread has left and everything the process held is gone. `text` is the panic message, or
  # the rule that was broken.
  wait @0 () -> (kind :End, code :Int64, text :Text);
  # Begins the end; `wait` says when it is over.
  kill @1 () -> ();
  info @2 () -> (id :UInt64, alive :Bool, memoryPages :UInt32, cpuNs :UInt64);
  enum End { exited @0; panicked @1; faulted @2; killed @3; }
}

# What runs, and on what.
interface SystemInfo @0xd1c0a5e5b0a7010f {
  # Gives at most 32; `next` is where to go on.
  processes @0 (from :UInt64) -> (next :UInt64, list :List(Process));
  # `freeKib` is what is not lost, as `memory` counts it: what the heap and the spare stacks keep for later is free. While nothing
  # is allocated or given back, it is what all accounts together may still use.
  machine @1 () -> (cpus :UInt32, memoryKib :UInt64, freeKib :UInt64, uptimeNs :UInt64);
  # Where all memory is, in bytes: `total` is what the machine has, `lost` what the allocators gave out (rounding
  # included; what the heap and the spare stacks keep for later is not lost), `left` what all accounts together may
  # still use, `lent` what the kernel ever paid for programs that could not. While nothing is allocated or given back,
  # `total` is `lost` and `left`.
  memory @2 () -> (total :UInt64, lost :UInt64, left :UInt64, lent :UInt64);
  # `cpuNs` is the processor time that it used, up to now; `cpuBelowNs` that of processes it started, and of theirs, which
  # have ended. `waitsFor` and `waitsMethod` name the interface and method of a call to a server that one of its threads waits
  # for in registers, 0 where none does; `waitsForItself` says that the thread that waits is one that receives there.
  # `cpuPerMille`: thousandths of a CPU that its account may use and did not give on, 0 for as much as there is.
  # `startedBy` is the process out of whose account its own came, 0 for the kernel; it may have ended.
  struct Process { id @0 :UInt64; name @1 :Text; threads @2 :UInt16; memoryPages @3 :UInt32; cpuNs @4 :UInt64; handles @5 :UInt32; state @6 :State; priority @7 :UInt8; restarts @8 :UInt32; limitPages @9 :UInt32; limitHandles @10 :UInt32; limitThreads @11 :UInt16; cpuBelowNs @12 :UInt64; waitsFor @13 :UInt64; waitsMethod @14 :UInt16; waitsForItself @15 :Bool; cpuPerMille @16 :UInt16; startedBy @17 :UInt64; }
  enum State { running @0; ready @1; blocked @2; dying @3; }
}

# Ends any process; a shell and the diagnostics console hold it, a service does not.
interface ProcessControl @0xd1c0a5e5b0a70110 {
  # Ends any process by its id.
  # Refuses: `notFound`.
  kill @0 (id :UInt64) -> ();
}

# Looks at what processes call: whom they ask for what, when, and how that ended, and no word of a message.
interface ProcessTracer @0xd1c0a5e5b0a70113 {
  # Records the calls of a process from now on, until the trace's last handle or the process is gone. The last `records`
  # of them are kept, 1 to 4096, in memory that the caller pays for.
  # Refuses: `notFound`, `outOfRange`, `busy` while the process is traced already, `overBudget`.
  trace @0 (process :UInt64, records :UInt16) -> (trace :ProcessTrace);
}

# The calls of one process, in the order of their ends.
interface ProcessTrace @0xd1c0a5e5b0a70114 {
  # Gives at most 64 calls from sequence number `from` on; `next` is where to go on. `dropped` counts those that fell out
  # before they were read, and those that began while 64 others had not ended; `ended` says that the process is gone.
  read @0 (from :UInt64) -> (next :UInt64, dropped :UInt64, ended :Bool, calls :List(Call));
  # `interfaceId` is 0 where the handle named nothing, `status` 0 or the code of a refusal. `tookNs` is the time until the
  # result was there; `thread` counts within the process, from 1.
  struct Call { beganNs @0 :UInt64; tookNs @1 :UInt64; interfaceId @2 :UInt64; thread @3 :UInt32; method @4 :UInt16; status @5 :UInt8; }
}

# Ends the machine.
interface SystemControl @0xd1c0a5e5b0a70111 {
  # Prints `exit code=N` as the last serial line and powers off through ACPI, after the claims on devices that are ending have ended, or a
  # second. Returns only where it is refused.
  # Refuses: `busy` while another one waits.
  halt @0 (code :UInt8) -> ();
  # Ends every claim on a device first, then prints the exit line and resets. Returns only where it is refused, and
  # then the machine goes on.
  # Refuses: `busy` while another one waits, `timedOut` if a device did not stop.
  reboot @1 () -> ();
}

# What came with the kernel.
interface BootPackage @0xd1c0a5e5b0a70112 {
  # Gives the manifest's bytes, read-only.
  # Refuses: `notFound`.
  manifest @0 () -> (bytes :UInt64, memory :MemoryObject);
  images @1 () -> (names :List(Text));
}
