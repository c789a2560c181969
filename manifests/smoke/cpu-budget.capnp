@0xd1c0a5e5b0a711b9;
# The system of the smoke `cpu-budget`: init and the one program that asks.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "smoke-cpu-budget",
  exitWith = "smoke",
  drivers = import "../common/drivers.capnp".linked,
  services = [
    ( name = "smoke", binary = "smoke-cpu-budget", priority = 20,
      limits = import "../common/limits.capnp".spawner,
      grants = [
        (name = "console", kernel = console),
        (name = "timer", kernel = timer),
        (name = "endpointFactory", kernel = endpointFactory),
        (name = "processSpawner", kernel = processSpawner),
        (name = "systemInfo", kernel = systemInfo),
      ] ),
  ],
);
