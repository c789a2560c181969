@0xd1c0a5e5b0a7213b;
# Two machines of one user: each saves in memory and has a desk for the companion page of the user's browser.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "smoke-save-desk",
  exitWith = "probe",
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
      arguments = ["tcp-listen ports=81 sockets=12", "tcp-listen ports=82 sockets=12"],
      exports = [
        (name = "home", interface = "TcpListenAuthority"),
        (name = "another", interface = "TcpListenAuthority"),
      ],
      limits = (memoryPages = 8192),
      grants = [
        (endpoint = void),
        (export = (service = "nic", export = "nic")),
        (kernel = logSink),
        (kernel = timer),
        (kernel = entropySource),
      ] ),
    ( name = "home", binary = "saves", priority = 20, restart = always,
      arguments = [
        "memory",
        "facet tenant=05050505050505050505050505050505 profile=01010101010101010101010101010101",
        "capsules of=0 content=1 secret=5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e",
      ],
      exports = [
        (name = "saves", interface = "SaveStore"),
        (name = "capsules", interface = "Capsules"),
      ],
      grants = [(endpoint = void), (kernel = entropySource)] ),
    ( name = "another", binary = "saves", priority = 20, restart = always,
      arguments = [
        "memory",
        "facet tenant=05050505050505050505050505050505 profile=01010101010101010101010101010101",
        "capsules of=0 content=1 secret=5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e",
      ],
      exports = [
        (name = "saves", interface = "SaveStore"),
        (name = "capsules", interface = "Capsules"),
      ],
      grants = [(endpoint = void), (kernel = entropySource)] ),
    ( name = "desk", binary = "desk", priority = 16, restart = always,
      arguments = ["port=81", "hosts=127.0.0.1:*", "record=checkpoint:slot-1", "open=http://127.0.0.1:8081/#"],
      # Up to a thousand capsules of 12544 bytes come back at once.
      limits = (memoryPages = 8192),
      grants = [
        (export = (service = "home", export = "capsules")),
        (name = "listen", export = (service = "netstack", export = "home")),
        (kernel = console),
        (kernel = entropySource),
        (kernel = timer),
      ] ),
    ( name = "desk2", binary = "desk", priority = 16, restart = always,
      arguments = ["port=82", "hosts=127.0.0.1:*", "record=checkpoint:slot-1", "open=http://127.0.0.1:8082/#"],
      limits = (memoryPages = 8192),
      grants = [
        (export = (service = "another", export = "capsules")),
        (name = "listen", export = (service = "netstack", export = "another")),
        (kernel = console),
        (kernel = entropySource),
        (kernel = timer),
      ] ),
    ( name = "probe", binary = "desk-probe",
      grants = [
        (name = "home", export = (service = "home", export = "saves")),
        (name = "another", export = (service = "another", export = "saves")),
        (kernel = console),
        (kernel = timer),
      ] ),
  ],
);
