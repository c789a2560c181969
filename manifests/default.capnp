@0xd1c0a5e5b0a71001;
# The system that `cargo xtask run` boots: up to two NVMe disks, their FAT volumes, a shell on the serial line.

using M = import "../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "default",
  exitWith = "shell",
  drivers = import "common/drivers.capnp".linked,
  services = [
    ( name = "nvme", binary = "nvme-provider", priority = 24, restart = always,
      exports = [(name = "block", interface = "BlockDevice")],
      grants = [
        (name = "endpoint", endpoint = void),
        # Without the disk the service runs all the same and refuses `noDevice`.
        (name = "device", device = (driver = "nvme", nth = 0, optional = true)),
        (name = "console", kernel = console),
        (name = "logSink", kernel = logSink),
        (name = "timer", kernel = timer),
      ] ),
    ( name = "nvme1", binary = "nvme-provider", priority = 24, restart = always,
      exports = [(name = "block", interface = "BlockDevice")],
      grants = [
        (name = "endpoint", endpoint = void),
        (name = "device", device = (driver = "nvme", nth = 1, optional = true)),
        (name = "console", kernel = console),
        (name = "logSink", kernel = logSink),
        (name = "timer", kernel = timer),
      ] ),
    ( name = "fat", binary = "fat", priority = 20, restart = always,
      exports = [(name = "volume", interface = "Volume")],
      grants = [
        (name = "endpoint", endpoint = void),
        (name = "block", export = (service = "nvme", export = "block")),
        (name = "console", kernel = console),
        (name = "logSink", kernel = logSink),
        (name = "timer", kernel = timer),
      ] ),
    ( name = "fat1", binary = "fat", priority = 20, restart = always,
      exports = [(name = "volume", interface = "Volume")],
      grants = [
        (name = "endpoint", endpoint = void),
        (name = "block", export = (service = "nvme1", export = "block")),
        (name = "console", kernel = console),
        (name = "logSink", kernel = logSink),
        (name = "timer", kernel = timer),
      ] ),
    # Takes the serial line when the shell lends it: for when disks and their services are what is broken.
    ( name = "diagnostics", binary = "diagnostics", priority = 16, restart = always,
      exports = [(name = "session", interface = "ConsoleSession")],
      grants = [
        (name = "endpoint", endpoint = void),
        (name = "console", kernel = console),
        (name = "logSink", kernel = logSink),
        (name = "logReader", kernel = logReader),
        (name = "timer", kernel = timer),
        (name = "systemInfo", kernel = systemInfo),
        (name = "systemControl", kernel = systemControl),
        (name = "machineInspector", kernel = machineInspector),
      ] ),
    ( name = "shell", binary = "shell", priority = 16, restart = onFailure,
      grants = [
        (name = "console", kernel = console),
        (name = "logSink", kernel = logSink),
        (name = "logReader", kernel = logReader),
        (name = "timer", kernel = timer),
        (name = "systemInfo", kernel = systemInfo),
        (name = "processControl", kernel = processControl),
        (name = "systemControl", kernel = systemControl),
        (name = "deviceRegistry", kernel = deviceRegistry),
        (name = "block", export = (service = "nvme", export = "block")),
        (name = "block1", export = (service = "nvme1", export = "block")),
        (name = "disk", export = (service = "fat", export = "volume")),
        (name = "disk1", export = (service = "fat1", export = "volume")),
        (name = "diagnostics", export = (service = "diagnostics", export = "session")),
      ] ),
  ],
);
