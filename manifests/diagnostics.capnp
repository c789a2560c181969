@0xd1c0a5e5b0a71020;
# The diagnostics console alone on the serial line: no disk, no network, nothing that could fail but the console itself.

using M = import "../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "diagnostics",
  drivers = import "common/drivers.capnp".linked,
  services = [
    ( name = "diagnostics", binary = "diagnostics", priority = 16, restart = always,
      grants = [
        (name = "console", kernel = rawConsole),
        (kernel = logSink),
        (kernel = logReader),
        (kernel = timer),
        (kernel = systemInfo),
        (kernel = processControl),
        (kernel = systemControl),
        (kernel = machineInspector),
        (kernel = hardwareAuditLog),
      ] ),
  ],
);
