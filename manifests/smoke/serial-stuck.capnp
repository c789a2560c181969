@0xd1c0a5e5b0a71a02;
# The system of the smoke `serial-stuck`: init and the one program that asks.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "smoke-serial-stuck",
  exitWith = "smoke",
  drivers = import "../common/drivers.capnp".linked,
  services = [
    ( name = "smoke", binary = "smoke-lines", priority = 20,
      arguments = ["stuck"],
      grants = [
        (name = "console", kernel = console),
        (name = "logSink", kernel = logSink),
        (name = "timer", kernel = timer),
        (name = "endpointFactory", kernel = endpointFactory),
        (name = "processSpawner", kernel = processSpawner),
        (name = "systemInfo", kernel = systemInfo),
      ] ),
  ],
);
