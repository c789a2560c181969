@0xd1c0a5e5b0a70005;
# What a bootable system consists of: names only, no bytes. Authored as a constant in manifests/*.capnp.

using Stub = import "stub.capnp";

struct Manifest {
  version @0 :UInt32 = 1;
  name @1 :Text;
  services @2 :List(Service);
  # When this service ends, the system halts with its exit code. Empty: never.
  exitWith @3 :Text;
  dma @4 :DmaPolicy = auto;
  # Drivers whose brokers must be in the kernel; the boot stops if the table differs.
  drivers @5 :List(Text);
  # Groups of functions that remapping units cannot keep apart, by the names that `@iommu.group` gives them: one holder may have
  # several functions of such a group, in a domain each. Others are given out one at a time.
  trustedGroups @6 :List(Text);

  enum DmaPolicy {
    auto @0; # each device in a domain of its own where a remapping unit is verified; brokers write all addresses
    bounce @1; # no unit is turned on
    direct @2; # as `auto`; and whoever holds a claim may have queues whose commands it writes itself (`Device.direct`)
  }
}

struct Service {
  name @0 :Text;
  # The file below boot/bins/.
  binary @1 :Text;
  arguments @2 :List(Text);
  grants @3 :List(Grant);
  # What other services may be granted; one interface each, served on the service's one endpoint.
  exports @4 :List(Export);
  restart @5 :Restart = never;
  # Higher runs first. A service may only call services of the same or a higher priority.
  priority @6 :UInt8 = 16;
  limits @7 :Limits;
  # At most this many restarts in a row without `stableNs` of life between them.
  maxRestarts @8 :UInt16 = 8;
  critical @9 :Bool;
  # `critical`: the system halts with code 1 when the service ends for good.
  # The program is built for the processor's floating-point and vector unit and may use it; the registers that are kept for
  # each of its threads are charged to it. Without this the target computes in software, and an instruction of the unit ends
  # the process.
  fpu @10 :Bool;
  # Its account distrusts every other: on a switch between the two the processor is told to forget what it learned of branches
  # (IBPB), where it can. What the service starts distrusts too. No other switch costs anything.
  distrusting @11 :Bool;
  # Pages of 4 KiB of its first thread's stack, and of that thread's area (its ring and the messages that it sends and
  # receives). 0 stands for 32 and for 16. Both count as its memory. Threads that it starts have what it gives them.
  stackPages @12 :UInt16;
  areaPages @13 :UInt16;
  enum Restart { never @0; onFailure @1; always @2; }
}

struct Limits {
  memoryPages @0 :UInt32 = 4096;
  handles @1 :UInt32 = 1024;
  threads @2 :UInt16 = 16;
  endpoints @3 :UInt16 = 64;
  facets @4 :UInt32 = 4096;
  # Thousandths of one CPU that its threads, and those of what it starts, may use in each period of 20 ms; 0 stands for as much as
  # there is.
  cpuPerMille @5 :UInt16;
}

struct Export {
  name @0 :Text;
  interface @1 :Text; # by name, for example "BlockDevice"
}

struct Grant {
  # The name under which the service finds the capability. Without one it is that of its source: a kernel source's, an
  # export's, `device`, `endpoint`.
  name @0 :Text;
  union {
    kernel @1 :KernelSource;
    export @2 :ExportSource;
    device @3 :DeviceSource;
    # The service's own endpoint: the right to receive calls on its exports.
    endpoint @4 :Void;
  }
  # A program's own memory and threads are not granted: every process has its own, as `vm` and `threads`.
  # `console` shows text alone: what else a program writes to it, escape sequences too, arrives as dots. Who talks with a
  # person, and so moves a cursor, is given `rawConsole`, which takes every byte as it is.
  enum KernelSource $Stub.sources {
    console @0; # The serial line, for text alone.
    logSink @1; # Appends to the system log.
    logReader @2; # Reads the system log.
    timer @3; # The monotonic clock.
    entropySource @4; # Random bytes of the processor.
    endpointFactory @5; # Makes endpoints.
    processSpawner @6; # Starts processes.
    systemInfo @7; # Lists processes and memory.
    processControl @8; # Ends any process.
    systemControl @9; # Halts and resets the machine.
    deviceRegistry @10; # Lists and claims devices.
    bootPackage @11; # What came with the kernel.
    machineInspector @12; # Shows the state of the machine.
    bootMedium @13; # Reads the CD that the machine was booted from.
    hardwareAuditLog @14; # Reads what was done with device authority.
    auditGate @15; # Where to ask to read it at run time.
    auditBroker @16; # Says who may read it at run time.
    rawConsole @17 $Stub.serves("Console"); # The serial line, for every byte.
    processTracer @18; # Shows what processes call.
    wallClock @19; # The time of day.
    wallClockControl @20; # Sets the time of day.
    systemGraph @21; # Shows who holds what.
  }
  struct ExportSource { service @0 :Text; export @1 :Text; }
  struct DeviceSource {
    # The nth function (0 is the first in address order) that the named driver's table matches.
    driver @0 :Text; nth @1 :UInt32;
    # Without the device the service is started all the same, without this grant.
    optional @2 :Bool;
  }
}
