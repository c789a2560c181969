@0xd1c0a5e5b0a72214;
# A page behind TLS: a process that has the key, and one that serves; and a shell.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "smoke-web-tls",
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
    # The key's own disk: nobody but `tls` is granted its volume.
    ( name = "virtio", binary = "virtio-blk-provider", priority = 24, restart = always,
      exports = [(name = "block", interface = "BlockDevice")],
      grants = [
        (endpoint = void),
        (device = (driver = "virtio-blk", nth = 0)),
        (kernel = logSink),
        (kernel = timer),
      ] ),
    ( name = "keys", binary = "store", priority = 20, restart = always,
      exports = [(name = "volume", interface = "Volume")],
      grants = [
        (endpoint = void),
        (export = (service = "virtio", export = "block")),
        (kernel = logSink),
        (kernel = timer),
      ] ),
    ( name = "netstack", binary = "netstack", priority = 22, restart = always,
      arguments = ["status", "tcp-listen ports=443 sockets=40"],
      exports = [
        (name = "status", interface = "NetworkManager"),
        (name = "web", interface = "TcpListenAuthority"),
      ],
      limits = (memoryPages = 8192),
      grants = [
        (endpoint = void),
        (export = (service = "nic", export = "nic")),
        (kernel = logSink),
        (kernel = timer),
        (kernel = entropySource),
      ] ),
    ( name = "tls", binary = "tls-front", priority = 20, restart = always,
      arguments = ["names=localhost,127.0.0.1"],
      exports = [(name = "sealed", interface = "TcpListenAuthority")],
      grants = [
        (endpoint = void),
        (name = "listen", export = (service = "netstack", export = "web")),
        (name = "keys", export = (service = "keys", export = "volume")),
        (kernel = logSink),
        (kernel = timer),
        (kernel = entropySource),
      ] ),
    ( name = "web", binary = "web-ui", priority = 16, restart = always,
      arguments = ["port=443", "hosts=localhost:*,127.0.0.1:*", "open=https://127.0.0.1:8443/"],
      grants = [
        (name = "network", export = (service = "netstack", export = "status")),
        (name = "listen", export = (service = "tls", export = "sealed")),
        (kernel = console),
        (kernel = logSink),
        (kernel = logReader),
        (kernel = timer),
        (kernel = entropySource),
        (kernel = systemGraph),
        (kernel = systemInfo),
        (kernel = machineInspector),
      ] ),
    ( name = "shell", binary = "shell",
      grants = [
        (name = "console", kernel = rawConsole),
        (kernel = logSink),
        (kernel = timer),
        (kernel = systemInfo),
        (kernel = processControl),
        (kernel = systemControl),
      ] ),
  ],
);
