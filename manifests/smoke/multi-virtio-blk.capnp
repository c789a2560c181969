@0xd1c0a5e5b0a710e9;
# Two virtio disks, their FAT volumes, a shell on the serial line.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "smoke-multi-virtio-blk",
  exitWith = "shell",
  drivers = import "../common/drivers.capnp".linked,
  services = [
    ( name = "disk", binary = "virtio-blk-provider", priority = 24, restart = always,
      exports = [(name = "block", interface = "BlockDevice")],
      grants = [
        (endpoint = void),
        (device = (driver = "virtio-blk", nth = 0)),
        (kernel = console),
        (kernel = logSink),
        (kernel = timer),
      ] ),
    ( name = "disk1", binary = "virtio-blk-provider", priority = 24, restart = always,
      exports = [(name = "block", interface = "BlockDevice")],
      grants = [
        (endpoint = void),
        (device = (driver = "virtio-blk", nth = 1)),
        (kernel = console),
        (kernel = logSink),
        (kernel = timer),
      ] ),
    ( name = "fat", binary = "fat", priority = 20, restart = always,
      exports = [(name = "volume", interface = "Volume")],
      grants = [
        (endpoint = void),
        (export = (service = "disk", export = "block")),
        (kernel = console),
        (kernel = logSink),
      ] ),
    ( name = "fat1", binary = "fat", priority = 20, restart = always,
      exports = [(name = "volume", interface = "Volume")],
      grants = [
        (endpoint = void),
        (export = (service = "disk1", export = "block")),
        (kernel = console),
        (kernel = logSink),
      ] ),
    ( name = "shell", binary = "shell", priority = 16, restart = onFailure,
      grants = [
        (name = "console", kernel = rawConsole),
        (kernel = logSink),
        (kernel = logReader),
        (kernel = timer),
        (kernel = systemInfo),
        (kernel = processControl),
        (kernel = systemControl),
        (kernel = deviceRegistry),
        (export = (service = "disk", export = "block")),
        (name = "block1", export = (service = "disk1", export = "block")),
        (name = "disk", export = (service = "fat", export = "volume")),
        (name = "disk1", export = (service = "fat1", export = "volume")),
      ] ),
  ],
);
