@0xd1c0a5e5b0a7201b;
# A service that may receive but exports nothing.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "bad",
  services = [
    (name = "a", binary = "a", grants = [(name = "endpoint", endpoint = void)]),
  ],
);
