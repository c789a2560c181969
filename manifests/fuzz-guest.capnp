@0xd1c0a5e5b0a71f57;
# The system of `cargo xtask fuzz-guest`: everything the kernel has to give, to one program that gives it to attackers. It is more
# than one service is granted, so another lends what is left.

using M = import "../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "fuzz-guest",
  exitWith = "fuzz",
  drivers = import "common/drivers.capnp".linked,
  services = [
    ( name = "lender", binary = "fuzz-guest", arguments = ["lend"], priority = 24,
      exports = [(name = "lent", interface = "Probe")],
      grants = [
        (endpoint = void),
        (kernel = console),
        (kernel = rawConsole),
        (kernel = bootMedium),
        (kernel = systemControl),
      ] ),
    ( name = "fuzz", binary = "fuzz-guest", arguments = ["conduct"], priority = 24,
      limits = (memoryPages = 49152, handles = 16384, threads = 256, endpoints = 1024, facets = 65536),
      grants = [
        (name = "lender", export = (service = "lender", export = "lent")),
        (kernel = logSink),
        (kernel = logReader),
        (kernel = timer),
        (kernel = entropySource),
        (kernel = endpointFactory),
        (kernel = processSpawner),
        (kernel = systemInfo),
        (kernel = processControl),
        (kernel = deviceRegistry),
        (kernel = bootPackage),
        (kernel = machineInspector),
        (kernel = hardwareAuditLog),
        (kernel = auditGate),
        (kernel = auditBroker),
        (kernel = processTracer),
      ] ),
  ],
);
