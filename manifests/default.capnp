@0xd1c0a5e5b0a71001;
# The system that `cargo xtask run` boots: up to two NVMe disks and one virtio disk, their FAT volumes, the capOS volume of the
# virtio disk, a shell on the serial line.

using M = import "../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "default",
  exitWith = "shell",
  drivers = import "common/drivers.capnp".linked,
  services = [
    ( name = "nvme", binary = "nvme-provider", priority = 24, restart = always,
      exports = [(name = "block", interface = "BlockDevice")],
      grants = [
        (endpoint = void),
        # Without the disk the service runs all the same and refuses `noDevice`.
        (device = (driver = "nvme", nth = 0, optional = true)),
        (kernel = console),
        (kernel = logSink),
        (kernel = timer),
      ] ),
    ( name = "nvme1", binary = "nvme-provider", priority = 24, restart = always,
      exports = [(name = "block", interface = "BlockDevice")],
      grants = [
        (endpoint = void),
        (device = (driver = "nvme", nth = 1, optional = true)),
        (kernel = console),
        (kernel = logSink),
        (kernel = timer),
      ] ),
    ( name = "virtio", binary = "virtio-blk-provider", priority = 24, restart = always,
      exports = [(name = "block", interface = "BlockDevice")],
      grants = [
        (endpoint = void),
        (device = (driver = "virtio-blk", nth = 0, optional = true)),
        (kernel = console),
        (kernel = logSink),
        (kernel = timer),
      ] ),
    ( name = "fat", binary = "fat", priority = 20, restart = always,
      exports = [(name = "volume", interface = "Volume")],
      grants = [
        (endpoint = void),
        (export = (service = "nvme", export = "block")),
        (kernel = console),
        (kernel = logSink),
      ] ),
    ( name = "fat1", binary = "fat", priority = 20, restart = always,
      exports = [(name = "volume", interface = "Volume")],
      grants = [
        (endpoint = void),
        (export = (service = "nvme1", export = "block")),
        (kernel = console),
        (kernel = logSink),
      ] ),
    ( name = "fat2", binary = "fat", priority = 20, restart = always,
      exports = [(name = "volume", interface = "Volume")],
      grants = [
        (endpoint = void),
        (export = (service = "virtio", export = "block")),
        (kernel = console),
        (kernel = logSink),
      ] ),
    ( name = "store", binary = "store", priority = 20, restart = always,
      exports = [(name = "volume", interface = "Volume")],
      grants = [
        (endpoint = void),
        (export = (service = "virtio", export = "block")),
        (kernel = console),
        (kernel = logSink),
        (kernel = timer),
      ] ),
    # Takes the serial line when the shell lends it: for when disks and their services are what is broken.
    ( name = "diagnostics", binary = "diagnostics", priority = 16, restart = always,
      exports = [(name = "session", interface = "ConsoleSession")],
      grants = [
        (endpoint = void),
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
    ( name = "shell", binary = "shell", priority = 16, restart = onFailure,
      # As many as travel with one message. What the shell has to say it says on the line.
      grants = [
        (name = "console", kernel = rawConsole),
        (kernel = logReader),
        (kernel = timer),
        (kernel = systemInfo),
        (kernel = processControl),
        (kernel = processTracer),
        (kernel = systemControl),
        (kernel = deviceRegistry),
        (export = (service = "nvme", export = "block")),
        (name = "block1", export = (service = "nvme1", export = "block")),
        (name = "block2", export = (service = "virtio", export = "block")),
        (name = "disk", export = (service = "fat", export = "volume")),
        (name = "disk1", export = (service = "fat1", export = "volume")),
        (name = "disk2", export = (service = "fat2", export = "volume")),
        (export = (service = "store", export = "volume")),
        (name = "diagnostics", export = (service = "diagnostics", export = "session")),
      ] ),
  ],
);
