@0xd1c0a5e5b0a71045;
# An NVMe controller, and a program that may claim it.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "smoke-grant-exit",
  exitWith = "smoke",
  drivers = import "../common/drivers.capnp".linked,
  services = [
    ( name = "smoke", binary = "grant-exit", limits = (memoryPages = 40960, handles = 4096, threads = 64, endpoints = 256, facets = 16384),
      grants = [
        (kernel = console),
        (kernel = timer),
        (kernel = endpointFactory),
        (kernel = processSpawner),
        (kernel = systemInfo),
        (kernel = deviceRegistry),
        (kernel = logReader),
      ] ),
  ],
);
