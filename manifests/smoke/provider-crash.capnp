@0xd1c0a5e5b0a71012;
# A shell on one disk, and a service that kills the disk's driver again and again.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "smoke-provider-crash",
  exitWith = "shell",
  drivers = import "../common/drivers.capnp".linked,
  services = [
    ( name = "nvme", binary = "nvme-provider", priority = 24, restart = always,
      exports = [(name = "block", interface = "BlockDevice")],
      grants = [
        (endpoint = void),
        (device = (driver = "nvme", nth = 0)),
        (kernel = logSink),
        (kernel = timer),
      ] ),
    ( name = "fat", binary = "fat", priority = 20, restart = always,
      exports = [(name = "volume", interface = "Volume")],
      grants = [
        (endpoint = void),
        (export = (service = "nvme", export = "block")),
        (kernel = logSink),
      ] ),
    ( name = "shell", binary = "shell", restart = onFailure,
      grants = [
        (name = "console", kernel = rawConsole),
        (kernel = logSink),
        (kernel = timer),
        (kernel = systemControl),
        (name = "disk", export = (service = "fat", export = "volume")),
      ] ),
    ( name = "crasher", binary = "crasher", priority = 20,
      arguments = ["nvme", "2", "1200"],
      grants = [
        (export = (service = "nvme", export = "block")),
        (kernel = logSink),
        (kernel = timer),
        (kernel = systemInfo),
        (kernel = machineInspector),
        (kernel = processControl),
      ] ),
  ],
);
