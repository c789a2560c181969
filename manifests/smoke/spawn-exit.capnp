@0xd1c0a5e5b0a71105;
# The system of the smoke `spawn-exit`: init and the one program that asks.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "smoke-spawn-exit",
  exitWith = "smoke",
  drivers = import "../common/drivers.capnp".linked,
  services = [
    ( name = "smoke", binary = "smoke-spawn-exit", priority = 16, stackPages = 40, areaPages = 15,
      limits = (memoryPages = 32768, handles = 16384, threads = 256, endpoints = 1024, facets = 65536),
      grants = [
        (kernel = console),
        (kernel = timer),
        (kernel = endpointFactory),
        (kernel = processSpawner),
        (kernel = systemInfo),
      ] ),
  ],
);
