@0xd1c0a5e5b0a72010;
# An interface that no schema declares.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "bad",
  services = [
    (name = "a", binary = "a", grants = [(name = "endpoint", endpoint = void)], exports = [(name = "block", interface = "BlockDevices")]),
  ],
);
