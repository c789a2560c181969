@0xd1c0a5e5b0a7201d;
# A process without a thread.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "bad",
  services = [
    (name = "a", binary = "a", limits = (threads = 0)),
  ],
);
