@0xd1c0a5e5b0a71a02;
# What `cargo xtask bench` boots for the row `hold_max`.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "bench-hold",
  exitWith = "bench",
  drivers = import "../common/drivers.capnp".linked,
  services = [
    ( name = "bench", binary = "bench", arguments = ["long"], limits = (handles = 65536, memoryPages = 600000, threads = 256, endpoints = 1024, facets = 65536),
      grants = [
        (kernel = console),
        (kernel = timer),
        (kernel = endpointFactory),
        (kernel = processSpawner),
        (kernel = deviceRegistry),
        (kernel = systemInfo),
        (kernel = logReader),
        (kernel = logSink),
        (kernel = rawConsole),
        (kernel = machineInspector),
        (kernel = systemGraph),
        (kernel = processTracer),
        (kernel = hardwareAuditLog),
        (kernel = bootPackage),
      ] ),
  ],
);
