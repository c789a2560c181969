@0xd1c0a5e5b0a710e2;
# A virtio disk, somebody who writes to it, and a shell to end with.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "smoke-virtio-blk",
  exitWith = "shell",
  drivers = import "../common/drivers.capnp".linked,
  services = [
    ( name = "disk", binary = "virtio-blk-provider", priority = 24, restart = always,
      exports = [(name = "block", interface = "BlockDevice")],
      grants = [
        (name = "endpoint", endpoint = void),
        (name = "device", device = (driver = "virtio-blk", nth = 0)),
        (name = "logSink", kernel = logSink),
        (name = "timer", kernel = timer),
      ] ),
    ( name = "writer", binary = "disk-writer",
      grants = [
        (name = "block", export = (service = "disk", export = "block")),
        (name = "logSink", kernel = logSink),
      ] ),
    ( name = "shell", binary = "shell",
      grants = [
        (name = "console", kernel = rawConsole),
        (name = "logSink", kernel = logSink),
        (name = "timer", kernel = timer),
        (name = "systemControl", kernel = systemControl),
      ] ),
  ],
);
