@0xd1c0a5e5b0a71040;
# Two NVMe controllers, and a program that may claim them.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "smoke-dmapool-grant",
  exitWith = "smoke",
  drivers = import "../common/drivers.capnp".linked,
  services = [
    ( name = "smoke", binary = "dmapool-grant",
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
