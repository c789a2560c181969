@0xd1c0a5e5b0a710e1;
# A device's random bytes, and somebody who reads them.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "smoke-virtio-rng",
  exitWith = "reader",
  drivers = import "../common/drivers.capnp".linked,
  services = [
    ( name = "random", binary = "virtio-rng-provider", priority = 24, restart = always,
      exports = [(name = "random", interface = "HardwareRandom")],
      grants = [
        (endpoint = void),
        (device = (driver = "virtio-rng", nth = 0)),
        (kernel = logSink),
        (kernel = timer),
      ] ),
    ( name = "reader", binary = "random-reader",
      grants = [
        (export = (service = "random", export = "random")),
        (kernel = entropySource),
        (kernel = logSink),
      ] ),
  ],
);
