@0xbaf9d1940d9f57ab;
# The system of the smoke `serial-stuck`: init and the one program that asks.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "smoke-serial-stuck",
  exitWith = "smoke",
  drivers = import "../common/drivers.capnp".linked,
  services = [
    ( name = "smoke", binary = "smoke-lines", priority = 20,
      limits = import "../common/limits.capnp".spawner,
      arguments = ["stuck"],
      grants = [
        (kernel = console),
        (kernel = logSink),
        (kernel = timer),
        (kernel = endpointFactory),
        (kernel = processSpawner),
        (kernel = systemInfo),
      ] ),
  ],
);
