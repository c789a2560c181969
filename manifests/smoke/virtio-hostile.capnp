@0xd1c0a5e5b0a710e6;
# A hostile provider with two virtio disks and nothing else.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "smoke-virtio-hostile",
  exitWith = "hostile",
  drivers = import "../common/drivers.capnp".linked,
  services = [
    ( name = "hostile", binary = "virtio-hostile",
      grants = [
        (device = (driver = "virtio-blk", nth = 0)),
        (name = "other", device = (driver = "virtio-blk", nth = 1)),
        (kernel = console),
        (kernel = timer),
      ] ),
  ],
);
