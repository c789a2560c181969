@0xd1c0a5e5b0a711f6;
# What `cargo xtask bench` boots for the rows about devices in a domain.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "bench-domain",
  exitWith = "bench",
  dma = direct,
  drivers = import "../common/drivers.capnp".linked,
  services = [
    ( name = "disk", binary = "virtio-blk-provider", priority = 24, restart = always,
      exports = [(name = "block", interface = "BlockDevice")],
      grants = [
        (endpoint = void),
        (device = (driver = "virtio-blk", nth = 0)),
        (kernel = logSink),
        (kernel = timer),
      ] ),
    ( name = "bench", binary = "bench", arguments = ["domain"], 
      grants = [
        (kernel = console),
        (kernel = timer),
        (kernel = deviceRegistry),
        (export = (service = "disk", export = "block")),
      ] ),
  ],
);
