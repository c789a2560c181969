@0xd1c0a5e5b0a7200f;
# A grant of an export that its service does not have.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "bad",
  services = [
    (name = "a", binary = "a", grants = [(name = "block", export = (service = "b", export = "blocks"))]),
    (name = "b", binary = "b", grants = [(name = "endpoint", endpoint = void)], exports = [(name = "block", interface = "BlockDevice")]),
  ],
);
