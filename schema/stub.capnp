@0xd1c0a5e5b0a7ff00;
# What the stub generator (xtask codegen) reads beside the interfaces themselves.

# Doing it twice is the same as doing it once: stubs may retry the method when its server died.
annotation idempotent @0xd1c0a5e5b0a7ff01 (method) :Void;

# Capabilities beyond those that parameters name travel behind them; parameters refer to them by index.
annotation extraTransfers @0xd1c0a5e5b0a7ff02 (method) :Void;

# The field is 0, or the code of a refusal.
annotation refusal @0xd1c0a5e5b0a7ff03 (field, param) :Void;

# Its values are what the kernel itself serves; each names the interface of the same name, or says another.
annotation sources @0xd1c0a5e5b0a7ff04 (enum) :Void;

# The interface of a source.
annotation serves @0xd1c0a5e5b0a7ff05 (enumerant) :Text;
