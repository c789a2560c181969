@0xd1c0a5e5b0a71a02;
# What `cargo xtask bench` boots for the row `hold_max`.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "bench-hold",
  exitWith = "bench",
  drivers = import "../common/drivers.capnp".linked,
  services = [
    ( name = "bench", binary = "bench", arguments = ["long"], limits = (handles = 16384, memoryPages = 1000000, threads = 64),
      grants = [
        (name = "console", kernel = console),
        (name = "timer", kernel = timer),
        (name = "endpointFactory", kernel = endpointFactory),
        (name = "processSpawner", kernel = processSpawner),
        (name = "deviceRegistry", kernel = deviceRegistry),
      ] ),
  ],
);
