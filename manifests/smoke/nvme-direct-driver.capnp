@0xd1c0a5e5b0a71f7b;
# An NVMe disk whose provider writes the commands itself, somebody who writes to it, and a shell to end with.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "smoke-nvme-direct-driver",
  exitWith = "shell",
  dma = direct,
  drivers = import "../common/drivers.capnp".linked,
  services = [
    ( name = "disk", binary = "nvme-provider", arguments = ["direct"], priority = 24, restart = always,
      exports = [(name = "block", interface = "BlockDevice")],
      grants = [
        (endpoint = void),
        (device = (driver = "nvme", nth = 0)),
        (kernel = logSink),
        (kernel = timer),
      ] ),
    ( name = "writer", binary = "disk-writer",
      grants = [
        (export = (service = "disk", export = "block")),
        (kernel = logSink),
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
