@0xd1c0a5e5b0a70001;
# Processes, memory, time and the console: what the kernel itself serves.
#
# Conventions for every file in this folder:
# - A method whose parameters and results are at most 32 bytes of plain data travels in registers.
# - Bulk data never travels in a message: it lies in a MemoryObject that both sides map.
# - `Ns` is nanoseconds on the monotonic clock; a deadline of 2^64-1 never comes.
# - Every refusal is one of the codes in crates/ring-abi (`Refusal`).

using Stub = import "stub.capnp";

interface Console @0xd1c0a5e5b0a70101 {
  # The serial line. `write` takes at most 4096 bytes and returns how many it took.
  write @0 (bytes :Data) -> (written :UInt32);
  # Waits for at least one byte of input and returns up to 24: `count` of them, packed little-endian.
  read @1 () -> (count :UInt8, a :UInt64, b :UInt64, c :UInt64);
}

interface LogSink @0xd1c0a5e5b0a70102 {
  # Appends one line (at most 512 bytes) to the system log under the holder's name.
  write @0 (level :Level, line :Text) -> ();
  enum Level { error @0; warn @1; info @2; debug @3; }
}

interface LogReader @0xd1c0a5e5b0a70103 {
  # Copies records from sequence number `from` on. `next` is where to go on; `dropped` counts the
  # records between `from` and the first one still held.
  read @0 (from :UInt64) -> (next :UInt64, dropped :UInt64, records :List(Record));
  struct Record { sequence @0 :UInt64; ns @1 :UInt64; level @2 :LogSink.Level; source @3 :Text; line @4 :Text; }
}

interface Timer @0xd1c0a5e5b0a70104 {
  now @0 () -> (ns :UInt64);
  # Completes at the absolute time `untilNs`, never before.
  sleep @1 (untilNs :UInt64) -> ();
}

interface EntropySource @0xd1c0a5e5b0a70105 {
  # 32 random bytes from the processor; refused `notSupported` where it has none.
  fill @0 () -> (a :UInt64, b :UInt64, c :UInt64, d :UInt64);
}

interface VirtualMemory @0xd1c0a5e5b0a70106 {
  # The holder's own address space. Lengths are bytes, rounded up to pages; addresses are the kernel's choice.
  # Protection bits: 1 read, 2 write, 4 execute; write with execute is refused.
  map @0 (bytes :UInt64, protection :UInt8) -> (address :UInt64);
  unmap @1 (address :UInt64, bytes :UInt64) -> ();
  protect @2 (address :UInt64, bytes :UInt64, protection :UInt8) -> ();
  # Zeroed pages that can be shared: charged to the holder's quota until the last handle is gone.
  createMemory @3 (bytes :UInt64) -> (memory :MemoryObject);
}

interface MemoryObject @0xd1c0a5e5b0a70107 {
  info @0 () -> (bytes :UInt64, writable :Bool);
  # Maps `bytes` from `offset` into the caller's address space. Read-only objects refuse write.
  map @1 (offset :UInt64, bytes :UInt64, protection :UInt8) -> (address :UInt64);
  unmap @2 (address :UInt64) -> ();
  # A narrower object: the same pages, never writable through it, revoked with this one. It cannot revoke.
  readOnly @3 () -> (memory :MemoryObject);
  # Ends every mapping and handle of this object, in every process; returns when no processor can still reach a page.
  revoke @4 () -> ();
}

interface ThreadSpawner @0xd1c0a5e5b0a70108 {
  # Starts a thread in the caller's own process with a ring and a message area of its own.
  # `submissions` is a power of two from 8 to 256; `messageBytes` is rounded up to pages, at most 64 KiB.
  spawn @0 (entry :UInt64, stackTop :UInt64, argument :UInt64, shape :Shape) -> (thread :ThreadHandle);
  struct Shape { submissions @0 :UInt16; messageBytes @1 :UInt32; priority @2 :UInt8; cpu @3 :Int16 = -1; }
}

interface ThreadHandle @0xd1c0a5e5b0a70109 {
  join @0 () -> (code :Int64);
}

interface EndpointFactory @0xd1c0a5e5b0a7010a {
  create @0 () -> (endpoint :Endpoint);
}

interface Endpoint @0xd1c0a5e5b0a7010b {
  # The right to receive. Facets are what clients hold; see docs/ARCHITECTURE.md.
  # A facet minted `durable` outlives the incarnation that minted it.
  mint @0 (cookie :UInt64, interfaceId :UInt64, durable :Bool) -> (facet :AnyFacet);
  # Revokes one facet: its handles refuse `revoked`, its pending calls complete `revoked`.
  revokeFacet @1 (facet :AnyFacet) -> ();
  # Begins a new incarnation: facets minted without `durable` by the last one refuse `stale`.
  renew @2 () -> (incarnation :UInt64);
}

interface AnyFacet @0xd1c0a5e5b0a7010c {
  # Stands for a facet of any interface in a signature. It has no methods.
}

interface ProcessSpawner @0xd1c0a5e5b0a7010d {
  # Starts the ELF image `image` (a boot-package name) as a process of its own.
  # Each grant names a capability of the caller, by its position in the transferred list, and the name under
  # which the child finds it. Nothing else reaches the child but its own memory and threads.
  spawn @0 (name :Text, image :Text, arguments :List(Text), limits :Limits, grants :List(Grant)) -> (process :ProcessHandle) $Stub.extraTransfers;
  # As `spawn`, from bytes in a MemoryObject.
  spawnMemory @1 (name :Text, image :MemoryObject, bytes :UInt64, arguments :List(Text), limits :Limits, grants :List(Grant)) -> (process :ProcessHandle) $Stub.extraTransfers;
  struct Grant { name @0 :Text; interfaceId @1 :UInt64; transfer @2 :UInt16; }
  struct Limits {
    memoryPages @0 :UInt32 = 4096;
    handles @1 :UInt32 = 1024;
    threads @2 :UInt16 = 16;
    endpoints @3 :UInt16 = 64;
    facets @4 :UInt32 = 4096;
    priority @5 :UInt8 = 16;
  }
}

interface ProcessHandle @0xd1c0a5e5b0a7010e {
  # Waits for the end of the process. `kind` says how it ended; the text is the panic message or the fault.
  wait @0 () -> (kind :End, code :Int64, text :Text);
  kill @1 () -> ();
  info @2 () -> (id :UInt64, alive :Bool, memoryPages :UInt32, cpuNs :UInt64);
  enum End { exited @0; panicked @1; faulted @2; killed @3; }
}

interface SystemInfo @0xd1c0a5e5b0a7010f {
  processes @0 (from :UInt64) -> (next :UInt64, list :List(Process));
  machine @1 () -> (cpus :UInt32, memoryKib :UInt64, freeKib :UInt64, uptimeNs :UInt64);
  struct Process { id @0 :UInt64; name @1 :Text; threads @2 :UInt16; memoryPages @3 :UInt32; cpuNs @4 :UInt64; handles @5 :UInt32; state @6 :State; }
  enum State { running @0; ready @1; blocked @2; dying @3; }
}

interface ProcessControl @0xd1c0a5e5b0a70110 {
  # Ends any process by its id. A shell holds it; a service does not.
  kill @0 (id :UInt64) -> ();
}

interface SystemControl @0xd1c0a5e5b0a70111 {
  # Prints the exit line and powers the machine off. Does not return.
  # `reboot` ends every claim on a device first, prints the exit line and resets; it returns only where it is refused:
  # `busy` while another one waits, `timedOut` if a device did not stop, and then the machine goes on.
  halt @0 (code :UInt8) -> ();
  reboot @1 () -> ();
}

interface BootPackage @0xd1c0a5e5b0a70112 {
  # The manifest and the list of images that came with the kernel.
  manifest @0 () -> (bytes :UInt64, memory :MemoryObject);
  images @1 () -> (names :List(Text));
}
