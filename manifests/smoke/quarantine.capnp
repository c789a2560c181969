@0xd1c0a5e5b0a7104a;
# An NVMe controller that will fall silent, and a program that may claim it.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "smoke-quarantine",
  exitWith = "smoke",
  drivers = import "../common/drivers.capnp".linked,
  services = [
    ( name = "smoke", binary = "quarantine",
      grants = [
        (name = "console", kernel = console),
        (name = "timer", kernel = timer),
        (name = "endpointFactory", kernel = endpointFactory),
        (name = "processSpawner", kernel = processSpawner),
        (name = "systemInfo", kernel = systemInfo),
        (name = "deviceRegistry", kernel = deviceRegistry),
      ] ),
  ],
);
