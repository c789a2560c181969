@0xd1c0a5e5b0a710c1;
# A capOS volume on an NVMe disk, and a shell to use it.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "smoke-store-nvme",
  exitWith = "shell",
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
    ( name = "shell", binary = "shell", priority = 16, restart = onFailure,
      grants = [
        (name = "console", kernel = rawConsole),
        (kernel = logSink),
        (kernel = logReader),
        (kernel = timer),
        (kernel = systemInfo),
        (kernel = processControl),
        (kernel = systemControl),
        (export = (service = "nvme", export = "block")),
        (export = (service = "store", export = "volume")),
      ] ),
  ],
);
