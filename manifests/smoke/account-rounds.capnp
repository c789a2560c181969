@0xd1c0a5e5b0a711b4;
# An edu device, and a program that takes something of everything, a thousand times.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "smoke-account-rounds",
  exitWith = "smoke",
  drivers = import "../common/drivers.capnp".linked,
  services = [
    ( name = "smoke", binary = "account-rounds", priority = 16,
      limits = import "../common/limits.capnp".spawner,
      grants = [
        (kernel = console),
        (kernel = timer),
        (kernel = endpointFactory),
        (kernel = processSpawner),
        (kernel = systemInfo),
        (kernel = deviceRegistry),
        (kernel = machineInspector),
      ] ),
  ],
);
