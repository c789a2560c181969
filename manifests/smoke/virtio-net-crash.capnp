@0xd1c0a5e5b0a710e8;
# A virtio network interface, somebody who asks for addresses all the time, and a service that kills the driver.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "smoke-virtio-net-crash",
  exitWith = "asker",
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
    ( name = "asker", binary = "dhcp-rounds", arguments = ["2500"],
      grants = [
        (export = (service = "nic", export = "nic")),
        (kernel = logSink),
        (kernel = timer),
      ] ),
    ( name = "crasher", binary = "crasher", priority = 20,
      arguments = ["nic", "1", "1200"],
      grants = [
        (kernel = logSink),
        (kernel = timer),
        (kernel = systemInfo),
        (kernel = processControl),
      ] ),
  ],
);
