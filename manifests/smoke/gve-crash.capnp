@0xca5e655fb780ba3b;
# A gVNIC, the network stack, and a client with one port to listen at, who ends the interface's driver.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "smoke-gve-crash",
  exitWith = "mirror",
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
      arguments = ["status", "tcp-listen ports=7 sockets=8"],
      exports = [
        (name = "status", interface = "NetworkManager"),
        (name = "listen", interface = "TcpListenAuthority"),
      ],
      limits = (memoryPages = 8192),
      grants = [
        (endpoint = void),
        (export = (service = "nic", export = "nic")),
        (kernel = logSink),
        (kernel = timer),
        (kernel = entropySource),
      ] ),
    ( name = "mirror", binary = "net-mirror", arguments = ["nic", "2", "100000"],
      grants = [
        (name = "network", export = (service = "netstack", export = "status")),
        (export = (service = "netstack", export = "listen")),
        (kernel = logSink),
        (kernel = timer),
        (kernel = systemInfo),
        (kernel = processControl),
      ] ),
  ],
);
