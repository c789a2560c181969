@0xd1c0a5e5b0a71130;
# The install source, a client of it, and a disk that neither was given.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "smoke-install-source",
  exitWith = "client",
  drivers = import "../common/drivers.capnp".linked,
  services = [
    ( name = "nvme", binary = "nvme-provider", priority = 24,
      exports = [(name = "block", interface = "BlockDevice")],
      grants = [
        (endpoint = void),
        (device = (driver = "nvme", nth = 0, optional = true)),
        (kernel = logSink),
        (kernel = timer),
      ] ),
    ( name = "source", binary = "install-source", priority = 20,
      exports = [(name = "volume", interface = "Volume")],
      grants = [
        (endpoint = void),
        (name = "medium", kernel = bootMedium),
        (kernel = logSink),
      ] ),
    ( name = "client", binary = "install-client",
      grants = [
        (name = "source", export = (service = "source", export = "volume")),
        (name = "medium", kernel = bootMedium),
        (kernel = logSink),
      ] ),
  ],
);
