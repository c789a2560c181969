@0xd1c0a5e5b0a711a0;
# The system of the smoke `receives`: init and the one program that asks.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "smoke-receives",
  exitWith = "smoke",
  drivers = import "../common/drivers.capnp".linked,
  services = [
    ( name = "smoke", binary = "smoke-receives", priority = 16, limits = (memoryPages = 16384, handles = 16384, threads = 256, endpoints = 1024, facets = 65536),
      grants = [
        (kernel = console),
        (kernel = timer),
        (kernel = endpointFactory),
        (kernel = processSpawner),
        (kernel = systemInfo),
      ] ),
  ],
);
