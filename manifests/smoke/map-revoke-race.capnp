@0xd1c0a5e5b0a71a22;
# One NVMe controller, and a program that may claim it.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "smoke-map-revoke-race",
  exitWith = "smoke",
  drivers = import "../common/drivers.capnp".linked,
  services = [
    ( name = "smoke", binary = "map-windows", arguments = ["free"],
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
