@0xd1c0a5e5b0a71003;
# What `cargo xtask bench` boots for the rows that read a disk.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "bench-block",
  exitWith = "bench",
  drivers = import "../common/drivers.capnp".linked,
  services = [
    ( name = "nvme", binary = "nvme-provider", priority = 24, restart = always,
      exports = [(name = "block", interface = "BlockDevice")],
      grants = [
        (name = "endpoint", endpoint = void),
        (name = "device", device = (driver = "nvme", nth = 0, optional = true)),
        (name = "console", kernel = console),
        (name = "logSink", kernel = logSink),
        (name = "timer", kernel = timer),
      ] ),
    ( name = "bench", binary = "bench", arguments = ["block"],
      grants = [
        (name = "console", kernel = console),
        (name = "timer", kernel = timer),
        (name = "block", export = (service = "nvme", export = "block")),
      ] ),
  ],
);
