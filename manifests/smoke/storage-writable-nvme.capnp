@0xd1c0a5e5b0a710c5;
# Two clients of a volume on an NVMe disk, in one program.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "smoke-storage-writable-nvme",
  exitWith = "writable",
  drivers = import "../common/drivers.capnp".linked,
  services = [
    ( name = "nvme", binary = "nvme-provider", priority = 24, restart = always,
      exports = [(name = "block", interface = "BlockDevice")],
      grants = [
        (endpoint = void),
        (device = (driver = "nvme", nth = 0)),
        (kernel = console),
        (kernel = logSink),
        (kernel = timer),
      ] ),
    ( name = "store", binary = "store", priority = 20, restart = always,
      exports = [(name = "volume", interface = "Volume")],
      grants = [
        (endpoint = void),
        (export = (service = "nvme", export = "block")),
        (kernel = console),
        (kernel = logSink),
        (kernel = timer),
      ] ),
    ( name = "writable", binary = "smoke-storage-writable", priority = 16,
      grants = [
        (export = (service = "store", export = "volume")),
        (kernel = console),
      ] ),
  ],
);
