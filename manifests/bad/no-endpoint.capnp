@0xd1c0a5e5b0a7201a;
# A service that exports but may not receive.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "bad",
  services = [
    (name = "a", binary = "a", exports = [(name = "block", interface = "BlockDevice")]),
  ],
);
