@0xd1c0a5e5b0a710e5;
# A virtio network interface that raises nothing, with long queues; somebody who asks for an address, and a shell to end with.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "smoke-virtio-net-polled",
  exitWith = "shell",
  drivers = import "../common/drivers.capnp".linked,
  services = [
    ( name = "nic", binary = "virtio-net-provider", priority = 24, restart = always,
      arguments = ["polled", "depth=1024"],
      exports = [(name = "nic", interface = "Nic")],
      grants = [
        (endpoint = void),
        (device = (driver = "virtio-net", nth = 0)),
        (kernel = logSink),
        (kernel = timer),
      ] ),
    ( name = "asker", binary = "dhcp-discover",
      grants = [
        (export = (service = "nic", export = "nic")),
        (kernel = logSink),
        (kernel = timer),
      ] ),
    ( name = "shell", binary = "shell",
      grants = [
        (name = "console", kernel = rawConsole),
        (kernel = logSink),
        (kernel = timer),
        (kernel = systemControl),
      ] ),
  ],
);
