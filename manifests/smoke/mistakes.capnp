@0xf24bc32b9b6149ce;
# The system of the smoke `mistakes`: one service for each thing that authors get wrong, and the one that waits for their ends.

using M = import "../../schema/manifest.capnp";

const manifest :M.Manifest = (
  name = "smoke-mistakes",
  exitWith = "last",
  drivers = import "../common/drivers.capnp".linked,
  services = [
    ( name = "index", binary = "smoke-mistakes", arguments = ["index"], grants = [(kernel = console)] ),
    ( name = "recursion", binary = "smoke-mistakes", arguments = ["recursion"], grants = [(kernel = console)] ),
    ( name = "memory", binary = "smoke-mistakes", arguments = ["memory"], grants = [(kernel = console)] ),
    ( name = "missing", binary = "smoke-mistakes", arguments = ["missing"], grants = [(kernel = console), (kernel = timer)] ),
    ( name = "interface", binary = "smoke-mistakes", arguments = ["interface"], grants = [(kernel = console)] ),
    ( name = "unused", binary = "smoke-mistakes", arguments = ["unused"], grants = [(kernel = console), (kernel = systemInfo)] ),
    ( name = "refused", binary = "smoke-mistakes", arguments = ["refused"], grants = [(kernel = console), (kernel = processTracer)] ),
    ( name = "stubborn", binary = "smoke-mistakes", arguments = ["interface"], restart = onFailure, maxRestarts = 3,
      grants = [(kernel = console)] ),
    ( name = "forgets", binary = "smoke-mistakes", arguments = ["forgets"],
      exports = [(name = "random", interface = "EntropySource")],
      grants = [(endpoint = void), (kernel = console)] ),
    ( name = "asks", binary = "smoke-mistakes", arguments = ["asks"],
      grants = [(kernel = console), (export = (service = "forgets", export = "random"))] ),
    ( name = "absent", binary = "smoke-mistakes",
      exports = [(name = "random", interface = "EntropySource")],
      grants = [(endpoint = void), (device = (driver = "edu", nth = 0))] ),
    ( name = "orphan", binary = "smoke-mistakes", arguments = ["asks"],
      grants = [(kernel = console), (export = (service = "absent", export = "random"))] ),
    ( name = "keeps", binary = "smoke-mistakes", arguments = ["keeps"],
      exports = [(name = "random", interface = "EntropySource")],
      grants = [(endpoint = void), (kernel = console)] ),
    ( name = "waits", binary = "smoke-mistakes", arguments = ["asks"],
      grants = [(kernel = console), (export = (service = "keeps", export = "random"))] ),
    ( name = "itself", binary = "smoke-mistakes", arguments = ["itself"],
      exports = [(name = "random", interface = "EntropySource")],
      grants = [(endpoint = void), (kernel = console)] ),
    ( name = "starts", binary = "smoke-mistakes", arguments = ["asks"],
      grants = [(kernel = console), (export = (service = "itself", export = "random"))] ),
    ( name = "last", binary = "smoke-mistakes", priority = 1, arguments = ["last"],
      grants = [(kernel = console), (kernel = timer), (kernel = systemInfo)] ),
  ],
);
