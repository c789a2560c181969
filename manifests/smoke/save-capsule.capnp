@0xd1c0a5e5b0a72114;
# A machine that saves on a volume and seals capsules of it, and others in memory: of the same user, and strangers.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "smoke-save-capsule",
  exitWith = "probe",
  drivers = import "../common/drivers.capnp".linked,
  services = [
    ( name = "virtio", binary = "virtio-blk-provider", priority = 24, restart = always,
      exports = [(name = "block", interface = "BlockDevice")],
      grants = [
        (endpoint = void),
        (device = (driver = "virtio-blk", nth = 0)),
        (kernel = logSink),
        (kernel = timer),
      ] ),
    ( name = "home", binary = "saves", priority = 20, restart = always,
      arguments = [
        "volume",
        "facet tenant=05050505050505050505050505050505 profile=01010101010101010101010101010101",
        "facet tenant=05050505050505050505050505050505 profile=07070707070707070707070707070707 bytes=40000 slots=12",
        "capsules of=0 key=capsules",
        "capsules of=1 key=drawn",
      ],
      exports = [
        (name = "saves", interface = "SaveStore"),
        (name = "drawnSaves", interface = "SaveStore"),
        (name = "capsules", interface = "Capsules"),
        (name = "drawnCapsules", interface = "Capsules"),
      ],
      limits = (memoryPages = 4096),
      grants = [
        (endpoint = void),
        (export = (service = "virtio", export = "block")),
        (kernel = entropySource),
        (kernel = logSink),
        (kernel = timer),
      ] ),
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
    ( name = "fork", binary = "saves", priority = 20, restart = always,
      arguments = [
        "memory",
        "facet tenant=05050505050505050505050505050505 profile=01010101010101010101010101010101",
        "capsules of=0 content=1 secret=5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e",
        "capsules of=0 content=2 secret=5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e",
      ],
      exports = [
        (name = "saves", interface = "SaveStore"),
        (name = "capsules", interface = "Capsules"),
        (name = "contentCapsules", interface = "Capsules"),
      ],
      grants = [(endpoint = void), (kernel = entropySource)] ),
    ( name = "stranger", binary = "saves", priority = 20, restart = always,
      arguments = [
        "memory",
        "facet tenant=05050505050505050505050505050505 profile=01010101010101010101010101010101",
        "capsules of=0 content=1 secret=6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f",
      ],
      exports = [
        (name = "saves", interface = "SaveStore"),
        (name = "capsules", interface = "Capsules"),
      ],
      grants = [(endpoint = void), (kernel = entropySource)] ),
    ( name = "profile", binary = "saves", priority = 20, restart = always,
      arguments = [
        "memory",
        "facet tenant=05050505050505050505050505050505 profile=02020202020202020202020202020202",
        "capsules of=0 content=1 secret=5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e",
      ],
      exports = [
        (name = "saves", interface = "SaveStore"),
        (name = "capsules", interface = "Capsules"),
      ],
      grants = [(endpoint = void), (kernel = entropySource)] ),
    ( name = "schema", binary = "saves", priority = 20, restart = always,
      arguments = [
        "memory",
        "facet tenant=05050505050505050505050505050505 profile=01010101010101010101010101010101 schema=2",
        "capsules of=0 content=1 secret=5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e",
      ],
      exports = [
        (name = "saves", interface = "SaveStore"),
        (name = "capsules", interface = "Capsules"),
      ],
      grants = [(endpoint = void), (kernel = entropySource)] ),
    ( name = "probe", binary = "capsule-probe",
      grants = [
        (name = "homeSaves", export = (service = "home", export = "saves")),
        (name = "homeCapsules", export = (service = "home", export = "capsules")),
        (name = "drawnSaves", export = (service = "home", export = "drawnSaves")),
        (name = "drawnCapsules", export = (service = "home", export = "drawnCapsules")),
        (name = "anotherSaves", export = (service = "another", export = "saves")),
        (name = "anotherCapsules", export = (service = "another", export = "capsules")),
        (name = "forkSaves", export = (service = "fork", export = "saves")),
        (name = "forkCapsules", export = (service = "fork", export = "capsules")),
        (name = "strangerSaves", export = (service = "stranger", export = "saves")),
        (name = "strangerCapsules", export = (service = "stranger", export = "capsules")),
        (name = "profileSaves", export = (service = "profile", export = "saves")),
        (name = "profileCapsules", export = (service = "profile", export = "capsules")),
        (name = "contentCapsules", export = (service = "fork", export = "contentCapsules")),
        (name = "schemaSaves", export = (service = "schema", export = "saves")),
        (name = "schemaCapsules", export = (service = "schema", export = "capsules")),
        (kernel = console),
      ] ),
  ],
);
