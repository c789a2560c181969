@0xd1c0a5e5b0a72131;
# A network with one port for the page, a disk with a volume for it to show, somebody who can be ended, and a shell.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "smoke-web-ui",
  exitWith = "shell",
  drivers = import "../common/drivers.capnp".linked,
  services = [
    ( name = "disk", binary = "virtio-blk-provider", priority = 24, restart = always,
      exports = [(name = "block", interface = "BlockDevice")],
      grants = [
        (endpoint = void),
        (device = (driver = "virtio-blk", nth = 0)),
        (kernel = logSink),
        (kernel = timer),
      ] ),
    ( name = "volume", binary = "fat", priority = 20, restart = always,
      exports = [(name = "volume", interface = "Volume")],
      grants = [
        (endpoint = void),
        (export = (service = "disk", export = "block")),
        (kernel = logSink),
      ] ),
    ( name = "nic", binary = "virtio-net-provider", priority = 24, restart = always,
      exports = [(name = "nic", interface = "Nic")],
      grants = [
        (endpoint = void),
        (device = (driver = "virtio-net", nth = 0)),
        (kernel = logSink),
        (kernel = timer),
      ] ),
    ( name = "netstack", binary = "netstack", priority = 22, restart = always,
      arguments = ["status", "tcp-listen ports=80 sockets=40"],
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
    ( name = "victim", binary = "smoke-graph", arguments = ["idle"],
      grants = [
        (export = (service = "volume", export = "volume")),
        (kernel = logSink),
        (kernel = timer),
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
