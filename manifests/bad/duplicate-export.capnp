@0xd1c0a5e5b0a7200c;
# Two exports of one name.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "bad",
  services = [
    (name = "a", binary = "a", grants = [(name = "endpoint", endpoint = void)],
      exports = [(name = "block", interface = "BlockDevice"), (name = "block", interface = "Volume")]),
  ],
);
