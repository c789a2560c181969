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
        (endpoint = void),
        (device = (driver = "nvme", nth = 0, optional = true)),
        (kernel = console),
        (kernel = logSink),
        (kernel = timer),
      ] ),
    ( name = "bench", binary = "bench", arguments = ["block"],
      grants = [
        (kernel = console),
        (kernel = timer),
        (export = (service = "nvme", export = "block")),
      ] ),
  ],
);
