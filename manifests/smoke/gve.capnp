@0xd1c0a5e5b0a72130;
# A gVNIC, the network stack, and a client with one port to listen at and one network to reach.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "smoke-gve",
  exitWith = "probe",
  drivers = import "../common/drivers.capnp".linked,
  services = [
    ( name = "nic", binary = "gve-provider", priority = 24, restart = always,
      exports = [(name = "nic", interface = "Nic")],
      grants = [
        (endpoint = void),
        (device = (driver = "gve", nth = 0)),
        (kernel = logSink),
        (kernel = timer),
      ] ),
    ( name = "netstack", binary = "netstack", priority = 22, restart = always,
      arguments = ["status", "echo", "tcp-listen ports=7 sockets=8", "tcp-connect to=10.0.2.0/24 ports=80 sockets=8"],
      exports = [
        (name = "status", interface = "NetworkManager"),
        (name = "echo", interface = "IcmpEcho"),
        (name = "listen", interface = "TcpListenAuthority"),
        (name = "connect", interface = "TcpConnectAuthority"),
      ],
      limits = (memoryPages = 8192),
      grants = [
        (endpoint = void),
        (export = (service = "nic", export = "nic")),
        (kernel = logSink),
        (kernel = timer),
        (kernel = entropySource),
      ] ),
    ( name = "probe", binary = "net-probe",
      grants = [
        (name = "network", export = (service = "netstack", export = "status")),
        (export = (service = "netstack", export = "echo")),
        (export = (service = "netstack", export = "listen")),
        (export = (service = "netstack", export = "connect")),
        (kernel = logSink),
        (kernel = timer),
      ] ),
  ],
);
