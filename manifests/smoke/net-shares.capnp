@0xcd53bf35bc5adaa4;
# The network stack with three clients, two of which take all they can get.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "smoke-net-shares",
  exitWith = "honest",
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
      arguments = ["status", "tcp-listen ports=100-999 sockets=8", "udp-connect to=10.0.2.0/24 sockets=8", "tcp-connect to=10.0.2.0/24 ports=80 sockets=2",
        "tcp-listen ports=1000-1999 sockets=8", "udp-connect to=10.0.2.0/24 sockets=8"],
      exports = [
        (name = "status", interface = "NetworkManager"),
        (name = "listen", interface = "TcpListenAuthority"),
        (name = "udp", interface = "UdpConnectAuthority"),
        (name = "connect", interface = "TcpConnectAuthority"),
        (name = "listen2", interface = "TcpListenAuthority"),
        (name = "udp2", interface = "UdpConnectAuthority"),
      ],
      limits = (memoryPages = 8192),
      grants = [
        (endpoint = void),
        (export = (service = "nic", export = "nic")),
        (kernel = logSink),
        (kernel = timer),
        (kernel = entropySource),
      ] ),
    ( name = "hog", binary = "net-hog", arguments = ["100"],
      grants = [
        (name = "network", export = (service = "netstack", export = "status")),
        (export = (service = "netstack", export = "listen")),
        (export = (service = "netstack", export = "udp")),
        (kernel = logSink),
      ] ),
    ( name = "hog2", binary = "net-hog", arguments = ["1000"],
      grants = [
        (name = "network", export = (service = "netstack", export = "status")),
        (name = "listen", export = (service = "netstack", export = "listen2")),
        (name = "udp", export = (service = "netstack", export = "udp2")),
        (kernel = logSink),
      ] ),
    ( name = "honest", binary = "net-honest",
      grants = [
        (name = "network", export = (service = "netstack", export = "status")),
        (export = (service = "netstack", export = "connect")),
        (kernel = logSink),
        (kernel = timer),
      ] ),
  ],
);
