@0xd1c0a5e5b0a72132;
# A network, somebody who may see the heads of what passes, and a shell that may see all of it.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "smoke-net-trace",
  exitWith = "shell",
  drivers = import "../common/drivers.capnp".linked,
  services = [
    ( name = "nic", binary = "virtio-net-provider", priority = 24, restart = always,
      exports = [(name = "nic", interface = "Nic")],
      grants = [
        (endpoint = void),
        (device = (driver = "virtio-net", nth = 0)),
        (kernel = logSink),
        (kernel = timer),
      ] ),
    ( name = "netstack", binary = "netstack", priority = 22, restart = always,
      arguments = ["status", "trace", "trace snap=1514"],
      exports = [
        (name = "status", interface = "NetworkManager"),
        (name = "heads", interface = "PacketTrace"),
        (name = "packets", interface = "PacketTrace"),
      ],
      limits = (memoryPages = 8192),
      grants = [
        (endpoint = void),
        (export = (service = "nic", export = "nic")),
        (kernel = logSink),
        (kernel = timer),
        (kernel = entropySource),
      ] ),
    ( name = "probe", binary = "trace-probe",
      grants = [
        (name = "network", export = (service = "netstack", export = "status")),
        (export = (service = "netstack", export = "heads")),
        (kernel = logSink),
      ] ),
    ( name = "shell", binary = "shell",
      grants = [
        (name = "console", kernel = rawConsole),
        (kernel = logSink),
        (kernel = timer),
        (kernel = systemControl),
        (name = "network", export = (service = "netstack", export = "status")),
        (export = (service = "netstack", export = "packets")),
      ] ),
  ],
);
