@0xd1c0a5e5b0a71a9d;
# What `cargo xtask bench` boots for the row `hold_max_domain`.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "bench-hold-domain",
  exitWith = "bench",
  dma = direct,
  drivers = import "../common/drivers.capnp".linked,
  services = [
    ( name = "bench", binary = "bench", arguments = ["long-domain"], limits = (handles = 65536, memoryPages = 600000, threads = 256, endpoints = 1024, facets = 65536),
      grants = [
        (kernel = console),
        (kernel = timer),
        (kernel = deviceRegistry),
      ] ),
  ],
);
