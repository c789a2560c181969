@0xd1c0a5e5b0a72014;
# Three services that wait for each other; the first one only waits for them.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "bad",
  services = [
    (name = "user", binary = "a", grants = [(name = "block", export = (service = "y", export = "block"))]),
    (name = "x", binary = "a", exports = [(name = "block", interface = "BlockDevice")],
      grants = [(name = "endpoint", endpoint = void), (name = "block", export = (service = "y", export = "block"))]),
    (name = "y", binary = "a", exports = [(name = "block", interface = "BlockDevice")],
      grants = [(name = "endpoint", endpoint = void), (name = "block", export = (service = "z", export = "block"))]),
    (name = "z", binary = "a", exports = [(name = "block", interface = "BlockDevice")],
      grants = [(name = "endpoint", endpoint = void), (name = "block", export = (service = "x", export = "block"))]),
  ],
);
