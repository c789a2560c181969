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
        (name = "endpoint", endpoint = void),
        (name = "device", device = (driver = "virtio-net", nth = 0)),
        (name = "logSink", kernel = logSink),
        (name = "timer", kernel = timer),
      ] ),
    ( name = "asker", binary = "dhcp-rounds", arguments = ["2500"],
      grants = [
        (name = "nic", export = (service = "nic", export = "nic")),
        (name = "logSink", kernel = logSink),
        (name = "timer", kernel = timer),
      ] ),
    ( name = "crasher", binary = "crasher", priority = 20,
      arguments = ["nic", "1", "1200"],
      grants = [
        (name = "logSink", kernel = logSink),
        (name = "timer", kernel = timer),
        (name = "systemInfo", kernel = systemInfo),
        (name = "processControl", kernel = processControl),
      ] ),
  ],
);
