@0xd1c0a5e5b0a72115;
# A virtio network interface, the network stack, saving at a bridge on the host, and one of several guests that race there.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "smoke-save-race",
  exitWith = "racer",
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
      arguments = ["tcp-connect to=10.0.2.2/32 ports=8787 sockets=8"],
      exports = [(name = "connect", interface = "TcpConnectAuthority")],
      limits = (memoryPages = 8192),
      grants = [
        (endpoint = void),
        (export = (service = "nic", export = "nic")),
        (kernel = logSink),
        (kernel = timer),
        (kernel = entropySource),
      ] ),
    ( name = "saves", binary = "saves", priority = 20, restart = always,
      arguments = ["bridge at=10.0.2.2 port=8787", "facet token=the~first~token"],
      exports = [
        (name = "one", interface = "SaveStore"),
      ],
      limits = (memoryPages = 2048),
      grants = [
        (endpoint = void),
        (export = (service = "netstack", export = "connect")),
        (kernel = logSink),
        (kernel = timer),
      ] ),
    ( name = "racer", binary = "save-racer",
      grants = [
        (export = (service = "saves", export = "one")),
        (kernel = console),
        (kernel = entropySource),
        (kernel = timer),
      ] ),
  ],
);
