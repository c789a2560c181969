@0xd1c0a5e5b0a71b21;
# The system of the smoke `serve-timer`: init and the one program that asks.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "smoke-serve-timer",
  exitWith = "smoke",
  drivers = import "../common/drivers.capnp".linked,
  services = [
    ( name = "smoke", binary = "smoke-serve-timer", priority = 16,
      grants = [
        (name = "console", kernel = console),
        (name = "timer", kernel = timer),
        (name = "endpointFactory", kernel = endpointFactory),
        (name = "processSpawner", kernel = processSpawner),
        (name = "systemInfo", kernel = systemInfo),
      ] ),
  ],
);
