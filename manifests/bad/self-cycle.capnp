@0xd1c0a5e5b0a72015;
# A service that would call itself.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "bad",
  services = [
    (name = "x", binary = "a", exports = [(name = "block", interface = "BlockDevice")],
      grants = [(name = "endpoint", endpoint = void), (name = "block", export = (service = "x", export = "block"))]),
  ],
);
