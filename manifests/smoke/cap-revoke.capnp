@0xd1c0a5e5b0a71104;
# The system of the smoke `cap-revoke`: init and the one program that asks.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "smoke-cap-revoke",
  exitWith = "smoke",
  drivers = import "../common/drivers.capnp".linked,
  services = [
    ( name = "smoke", binary = "smoke-cap-revoke", priority = 16,
      grants = [
        (name = "console", kernel = console),
        (name = "timer", kernel = timer),
        (name = "endpointFactory", kernel = endpointFactory),
        (name = "processSpawner", kernel = processSpawner),
        (name = "systemInfo", kernel = systemInfo),
      ] ),
  ],
);
