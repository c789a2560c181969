@0xd1c0a5e5b0a71045;
# An NVMe controller, and a program that may claim it.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "smoke-grant-exit",
  exitWith = "smoke",
  drivers = import "../common/drivers.capnp".linked,
  services = [
    ( name = "smoke", binary = "grant-exit", limits = (memoryPages = 262144),
      grants = [
        (name = "console", kernel = console),
        (name = "timer", kernel = timer),
        (name = "endpointFactory", kernel = endpointFactory),
        (name = "processSpawner", kernel = processSpawner),
        (name = "systemInfo", kernel = systemInfo),
        (name = "deviceRegistry", kernel = deviceRegistry),
        (name = "logReader", kernel = logReader),
      ] ),
  ],
);
