@0xd1c0a5e5b0a7a0d3;
# An NVMe disk and two virtio disks, somebody who has them clear blocks, and a shell to end with.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "smoke-block-clear",
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
    ( name = "virtio", binary = "virtio-blk-provider", priority = 24, restart = always,
      exports = [(name = "block", interface = "BlockDevice")],
      grants = [
        (endpoint = void),
        (device = (driver = "virtio-blk", nth = 0)),
        (kernel = logSink),
        (kernel = timer),
      ] ),
    ( name = "plain", binary = "virtio-blk-provider", priority = 24, restart = always,
      exports = [(name = "block", interface = "BlockDevice")],
      grants = [
        (endpoint = void),
        (device = (driver = "virtio-blk", nth = 1)),
        (kernel = logSink),
        (kernel = timer),
      ] ),
    ( name = "smoke", binary = "block-clear",
      grants = [
        (name = "nvme", export = (service = "nvme", export = "block")),
        (name = "virtio", export = (service = "virtio", export = "block")),
        (name = "plain", export = (service = "plain", export = "block")),
        (kernel = console),
      ] ),
    ( name = "shell", binary = "shell",
      grants = [
        (name = "console", kernel = rawConsole),
        (kernel = logSink),
        (kernel = timer),
        (kernel = systemControl),
      ] ),
  ],
);
