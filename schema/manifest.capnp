@0xd1c0a5e5b0a70005;
# What a bootable system consists of: names only, no bytes. Authored as a constant in manifests/*.capnp.

struct Manifest {
  version @0 :UInt32 = 1;
  name @1 :Text;
  services @2 :List(Service);
  # When this service ends, the system halts with its exit code. Empty: never.
  exitWith @3 :Text;
  dma @4 :DmaPolicy = auto;
  # Drivers whose brokers must be in the kernel; the boot stops if the table differs.
  drivers @5 :List(Text);

  enum DmaPolicy { auto @0; bounce @1; }
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
  enum Restart { never @0; onFailure @1; always @2; }
}

struct Limits {
  memoryPages @0 :UInt32 = 4096;
  handles @1 :UInt32 = 1024;
  threads @2 :UInt16 = 16;
  endpoints @3 :UInt16 = 64;
  facets @4 :UInt32 = 4096;
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
  enum KernelSource {
    console @0; logSink @1; logReader @2; timer @3; entropySource @4; endpointFactory @5;
    processSpawner @6; systemInfo @7; processControl @8; systemControl @9; deviceRegistry @10; bootPackage @11;
    machineInspector @12; bootMedium @13;
    hardwareAuditLog @14; auditGate @15; auditBroker @16;
    rawConsole @17;
    processTracer @18;
  }
  struct ExportSource { service @0 :Text; export @1 :Text; }
  struct DeviceSource {
    # The nth function (0 is the first in address order) that the named driver's table matches.
    driver @0 :Text; nth @1 :UInt32;
    # Without the device the service is started all the same, without this grant.
    optional @2 :Bool;
  }
}
