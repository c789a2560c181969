@0xd1c0a5e5b0a7200e;
# A grant from a service that is not there.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "bad",
  services = [
    (name = "a", binary = "a", grants = [(name = "block", export = (service = "nvme9", export = "block"))]),
  ],
);
