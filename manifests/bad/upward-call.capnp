@0xd1c0a5e5b0a72016;
# A service that may call one of a lower priority.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "bad",
  services = [
    (name = "low", binary = "a", priority = 10, exports = [(name = "block", interface = "BlockDevice")], grants = [(name = "endpoint", endpoint = void)]),
    (name = "high", binary = "a", priority = 11, grants = [(name = "block", export = (service = "low", export = "block"))]),
  ],
);
