@0xd1c0a5e5b0a71a05;
# The system of the smoke `break`: the diagnostics console, and a program that never stops at the highest priority.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "smoke-break",
  exitWith = "spin",
  drivers = import "../common/drivers.capnp".linked,
  services = [
    ( name = "diagnostics", binary = "diagnostics", priority = 16, restart = always,
      grants = [
        (kernel = console),
        (kernel = timer),
        (kernel = systemInfo),
        (kernel = machineInspector),
      ] ),
    ( name = "spin", binary = "smoke-spin", priority = 31,
      grants = [
        (kernel = timer),
        (kernel = console),
      ] ),
  ],
);
