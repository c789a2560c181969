@0xd1c0a5e5b0a7104a;
# An NVMe controller that will fall silent, and a program that may claim it.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "smoke-quarantine",
  exitWith = "smoke",
  drivers = import "../common/drivers.capnp".linked,
  services = [
    ( name = "smoke", binary = "quarantine",
      limits = import "../common/limits.capnp".spawner,
      grants = [
        (kernel = console),
        (kernel = timer),
        (kernel = endpointFactory),
        (kernel = processSpawner),
        (kernel = systemInfo),
        (kernel = deviceRegistry),
      ] ),
  ],
);
