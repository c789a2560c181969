@0xd1c0a5e5b0a710e7;
# A shell on one virtio disk, and a service that kills the disk's driver again and again.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "smoke-virtio-crash",
  exitWith = "shell",
  drivers = import "../common/drivers.capnp".linked,
  services = [
    ( name = "disk", binary = "virtio-blk-provider", priority = 24, restart = always,
      exports = [(name = "block", interface = "BlockDevice")],
      grants = [
        (name = "endpoint", endpoint = void),
        (name = "device", device = (driver = "virtio-blk", nth = 0)),
        (name = "logSink", kernel = logSink),
        (name = "timer", kernel = timer),
      ] ),
    ( name = "fat", binary = "fat", priority = 20, restart = always,
      exports = [(name = "volume", interface = "Volume")],
      grants = [
        (name = "endpoint", endpoint = void),
        (name = "block", export = (service = "disk", export = "block")),
        (name = "logSink", kernel = logSink),
        (name = "timer", kernel = timer),
      ] ),
    ( name = "shell", binary = "shell", restart = onFailure,
      grants = [
        (name = "console", kernel = rawConsole),
        (name = "logSink", kernel = logSink),
        (name = "timer", kernel = timer),
        (name = "systemControl", kernel = systemControl),
        (name = "disk", export = (service = "fat", export = "volume")),
      ] ),
    ( name = "crasher", binary = "crasher", priority = 20,
      arguments = ["disk", "1", "1200"],
      grants = [
        (name = "block", export = (service = "disk", export = "block")),
        (name = "logSink", kernel = logSink),
        (name = "timer", kernel = timer),
        (name = "systemInfo", kernel = systemInfo),
        (name = "machineInspector", kernel = machineInspector),
        (name = "processControl", kernel = processControl),
      ] ),
  ],
);
