@0xd1c0a5e5b0a7213a;
# A disk, a volume over it, a reader of that, a stranger to both, and somebody who looks at who holds what.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "smoke-graph",
  exitWith = "smoke",
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
    # More than travel with one message.
    ( name = "reader", binary = "smoke-graph", arguments = ["idle", "tell"],
      grants = [
        (kernel = console),
        (kernel = logSink),
        (kernel = logReader),
        (kernel = timer),
        (kernel = entropySource),
        (kernel = endpointFactory),
        (kernel = processSpawner),
        (kernel = systemInfo),
        (kernel = processControl),
        (kernel = bootPackage),
        (kernel = machineInspector),
        (kernel = bootMedium),
        (kernel = hardwareAuditLog),
        (kernel = auditGate),
        (kernel = auditBroker),
        (kernel = rawConsole),
        (kernel = processTracer),
        (export = (service = "volume", export = "volume")),
      ] ),
    ( name = "stranger", binary = "smoke-graph", arguments = ["stranger"],
      grants = [
        (kernel = logSink),
        (kernel = timer),
      ] ),
    ( name = "smoke", binary = "smoke-graph",
      limits = import "../common/limits.capnp".spawner,
      grants = [
        (kernel = logSink),
        (kernel = timer),
        (kernel = endpointFactory),
        (kernel = processSpawner),
        (kernel = systemInfo),
        (kernel = systemGraph),
      ] ),
  ],
);
