@0xd1c0a5e5b0a71f7a;
# A provider that writes the rings of a queue itself, of two virtio disks, each in a domain of its own.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "smoke-virtio-direct",
  exitWith = "provider",
  dma = direct,
  drivers = import "../common/drivers.capnp".linked,
  services = [
    ( name = "provider", binary = "virtio-direct",
      grants = [
        (device = (driver = "virtio-blk", nth = 0)),
        (name = "other", device = (driver = "virtio-blk", nth = 1)),
        (kernel = logSink),
        (kernel = timer),
      ] ),
  ],
);
