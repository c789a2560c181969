@0xd1c0a5e5b0a710d9;
# A volume, and a program that keeps objects on it.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "smoke-storage-naming",
  exitWith = "smoke",
  drivers = import "../common/drivers.capnp".linked,
  services = [
    ( name = "virtio", binary = "virtio-blk-provider", priority = 24, restart = always,
      exports = [(name = "block", interface = "BlockDevice")],
      grants = [
        (endpoint = void),
        (device = (driver = "virtio-blk", nth = 0)),
        (kernel = console),
        (kernel = logSink),
        (kernel = timer),
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
    ( name = "smoke", binary = "smoke-storage-naming", priority = 16,
      grants = [
        (export = (service = "store", export = "volume")),
        (kernel = console),
      ] ),
  ],
);
