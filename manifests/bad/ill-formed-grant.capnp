@0xd1c0a5e5b0a72009;
# Names of grants are letters and digits.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "bad",
  services = [
    (name = "a", binary = "a", grants = [(name = "log-sink", kernel = logSink)]),
  ],
);
