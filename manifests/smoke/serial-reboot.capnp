@0xbb4b88d39f06d77f;
# The diagnostics console beside a program that has a disk up and running and never lets go of it.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "smoke-serial-reboot",
  drivers = import "../common/drivers.capnp".linked,
  services = [
    ( name = "holder", binary = "device-holder", priority = 16,
      grants = [
        (device = (driver = "nvme", nth = 0)),
        (kernel = logSink),
        (kernel = timer),
      ] ),
    ( name = "diagnostics", binary = "diagnostics", priority = 16, restart = always,
      grants = [
        (name = "console", kernel = rawConsole),
        (kernel = logSink),
        (kernel = logReader),
        (kernel = timer),
        (kernel = systemInfo),
        (kernel = systemControl),
        (kernel = machineInspector),
        (kernel = hardwareAuditLog),
      ] ),
  ],
);
