@0xd1c0a5e5b0a7a0d7;
# An NVMe disk and a virtio disk that refuse some blocks, and somebody who reads and writes there.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "smoke-block-errors",
  exitWith = "smoke",
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
    ( name = "smoke", binary = "block-errors",
      grants = [
        (name = "nvme", export = (service = "nvme", export = "block")),
        (name = "virtio", export = (service = "virtio", export = "block")),
        (kernel = console),
      ] ),
  ],
);
