@0xd1c0a5e5b0a7200b;
# Two grants of one name.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "bad",
  services = [
    (name = "a", binary = "a", grants = [(name = "log", kernel = logSink), (name = "log", kernel = logReader)]),
  ],
);
