@0xd1c0a5e5b0a72113;
# An application that saves on a volume of the machine, and a bridge on the host, to which that is brought when it is there.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "smoke-save-offline",
  exitWith = "diary",
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
    ( name = "virtio", binary = "virtio-blk-provider", priority = 24, restart = always,
      exports = [(name = "block", interface = "BlockDevice")],
      grants = [
        (endpoint = void),
        (device = (driver = "virtio-blk", nth = 0)),
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
      arguments = [
        "volume at=10.0.2.2 port=8787",
        "facet tenant=05050505050505050505050505050505 profile=01010101010101010101010101010101 key=bridge",
      ],
      exports = [(name = "saveStore", interface = "SaveStore")],
      limits = (memoryPages = 4096),
      grants = [
        (endpoint = void),
        (export = (service = "virtio", export = "block")),
        (export = (service = "netstack", export = "connect")),
        (kernel = logSink),
        (kernel = timer),
      ] ),
    ( name = "diary", binary = "diary",
      grants = [
        (export = (service = "saves", export = "saveStore")),
        (kernel = console),
        (kernel = entropySource),
        (kernel = timer),
      ] ),
  ],
);
