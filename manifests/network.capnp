@0xd1c0a5e5b0a72111;
# A system with a network: a virtio interface, one stack over it, a resolver, a page that shows the system, and a shell whose words use
# them.

using M = import "../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "network",
  exitWith = "shell",
  drivers = import "common/drivers.capnp".linked,
  services = [
    ( name = "nic", binary = "virtio-net-provider", priority = 24, restart = always,
      exports = [(name = "nic", interface = "Nic")],
      grants = [
        (endpoint = void),
        # Without the interface the service runs all the same and refuses `noDevice`.
        (device = (driver = "virtio-net", nth = 0, optional = true)),
        (kernel = logSink),
        (kernel = timer),
      ] ),
    ( name = "netstack", binary = "netstack", priority = 22, restart = always,
      # What each export stands for, in their order.
      arguments = ["status", "echo", "tcp-listen sockets=16", "tcp-connect sockets=16", "udp-connect ports=53 sockets=8", "tcp-listen ports=80 sockets=24",
        "trace snap=1514"],
      exports = [
        (name = "status", interface = "NetworkManager"),
        (name = "echo", interface = "IcmpEcho"),
        (name = "listen", interface = "TcpListenAuthority"),
        (name = "connect", interface = "TcpConnectAuthority"),
        (name = "names", interface = "UdpConnectAuthority"),
        (name = "web", interface = "TcpListenAuthority"),
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
    ( name = "resolver", binary = "resolver", priority = 20, restart = always,
      exports = [(name = "resolver", interface = "DnsResolver")],
      grants = [
        (endpoint = void),
        (name = "network", export = (service = "netstack", export = "status")),
        (name = "udp", export = (service = "netstack", export = "names")),
        (kernel = logSink),
        (kernel = timer),
        (kernel = entropySource),
      ] ),
    # The page that shows the system, at one port; the address is said on the serial line.
    ( name = "web", binary = "web-ui", priority = 16, restart = always,
      arguments = ["port=80", "hosts=localhost:*,127.0.0.1:*", "open=http://127.0.0.1:8080/"],
      grants = [
        (name = "network", export = (service = "netstack", export = "status")),
        (name = "listen", export = (service = "netstack", export = "web")),
        (kernel = console),
        (kernel = logSink),
        (kernel = logReader),
        (kernel = timer),
        (kernel = entropySource),
        (kernel = systemGraph),
        (kernel = systemInfo),
        (kernel = machineInspector),
      ] ),
    ( name = "shell", binary = "shell", priority = 16, restart = onFailure,
      grants = [
        (name = "console", kernel = rawConsole),
        (kernel = logSink),
        (kernel = logReader),
        (kernel = timer),
        (kernel = systemInfo),
        (kernel = processControl),
        (kernel = systemControl),
        (kernel = deviceRegistry),
        (name = "network", export = (service = "netstack", export = "status")),
        (export = (service = "netstack", export = "echo")),
        (export = (service = "netstack", export = "listen")),
        (export = (service = "netstack", export = "connect")),
        (export = (service = "resolver", export = "resolver")),
        (export = (service = "netstack", export = "packets")),
      ] ),
  ],
);
