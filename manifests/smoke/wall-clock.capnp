@0xd1c0a5e5b0a721f0;
# The system of the smoke `wall-clock`: init and the one program that asks.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "smoke-wall-clock",
  exitWith = "smoke",
  drivers = import "../common/drivers.capnp".linked,
  services = [
    ( name = "smoke", binary = "smoke-wall-clock", priority = 16,
      grants = [
        (kernel = console),
        (kernel = timer),
        (kernel = wallClock),
        (kernel = wallClockControl),
      ] ),
  ],
);
