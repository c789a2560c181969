@0xd1c0a5e5b0a71140;
# A program that drives virtio devices by hand.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "smoke-virtio-queues",
  exitWith = "virtio",
  drivers = import "../common/drivers.capnp".linked,
  services = [
    ( name = "virtio", binary = "virtio-queues",
      grants = [
        (name = "rngModern", device = (driver = "virtio-rng", nth = 0)),
        (name = "rngLegacy", device = (driver = "virtio-rng", nth = 1)),
        (name = "rngPortVectors", device = (driver = "virtio-rng", nth = 2)),
        (kernel = console),
        (kernel = timer),
      ] ),
  ],
);
