"""Going backwards in a replay, for GDB.

QEMU's own answer to reverse-continue (7.2 to 11.1) mostly hangs: it loads the machine's state while the processor's thread still
holds on to the end of the last run. Here each run ends with a step, which lets go of it, before the state at the start is
loaded and the same instructions are run again up to the wanted one. The number of an instruction is its position.
"""

import re

import gdb

# The state that QEMU kept when the recording began.
START = "start"


def monitor(words):
    return gdb.execute("monitor " + words, to_string=True)


def position():
    found = re.search(r"Replaying.*instruction count = (\d+)", monitor("info replay"))
    if found is None:
        raise gdb.GdbError("this guest is no replay")
    return int(found.group(1))


def to_start():
    said = monitor("loadvm " + START).strip()
    if said:
        raise gdb.GdbError("this recording goes forward only: " + said)
    gdb.execute("maintenance flush register-cache", to_string=True)


class Hits:
    """Whether the last stop was at a breakpoint."""

    def __init__(self):
        self.last = False
        gdb.events.stop.connect(self.stopped)

    def stopped(self, event):
        self.last = isinstance(event, gdb.BreakpointEvent)

    def after(self, command):
        self.last = False
        gdb.execute(command, to_string=True)
        return self.last


def stands_at_breakpoint():
    """Whether a breakpoint would have stopped here, where something else did."""
    here = gdb.selected_frame().pc()
    for one in gdb.breakpoints():
        if not one.enabled or one.type not in (gdb.BP_BREAKPOINT, gdb.BP_HARDWARE_BREAKPOINT):
            continue
        listed = gdb.execute("info breakpoints %d" % one.number, to_string=True)
        places = [int(place, 16) for place in re.findall(r"\b0x[0-9a-f]{16}\b", listed)]
        if here in places and (not one.condition or gdb.parse_and_eval(one.condition)):
            return True
    return False


def forward(hits, limit):
    """Runs up to an instruction. True, if a breakpoint came first or lies there."""
    if position() < limit - 1:
        monitor("replay_break %d" % (limit - 1))
        hit = hits.after("continue")
        at = position()
        if at < limit - 1:
            monitor("replay_delete_break")
            return hit
        if hit or stands_at_breakpoint():
            return True
    return hits.after("stepi")


def to(hits, count):
    """Goes to an instruction, from the start, past all breakpoints."""
    to_start()
    enabled = [one for one in gdb.breakpoints() if one.enabled]
    for one in enabled:
        one.enabled = False
    try:
        if count:
            forward(hits, count)
    finally:
        for one in enabled:
            one.enabled = True
    if position() != count:
        raise gdb.GdbError("instruction %d was not reached" % count)


def show():
    gdb.execute("frame")


class ReverseContinue(gdb.Command):
    """Go back to the last breakpoint before this instruction; without one, to the start."""

    def __init__(self, hits):
        super().__init__("reverse-continue", gdb.COMMAND_RUNNING)
        self.hits = hits

    def invoke(self, argument, from_tty):
        end = position()
        last = 0
        to_start()
        while position() < end - 1:
            before = position()
            if forward(self.hits, end - 1):
                last = position()
            elif position() <= before:
                raise gdb.GdbError("the guest stands still at instruction %d" % before)
        to(self.hits, last)
        print("back at instruction %d, from %d" % (last, end))
        show()


class ReverseStepi(gdb.Command):
    """Go back by one instruction, or by as many as are said."""

    def __init__(self, hits):
        super().__init__("reverse-stepi", gdb.COMMAND_RUNNING)
        self.hits = hits

    def invoke(self, argument, from_tty):
        steps = int(gdb.parse_and_eval(argument)) if argument else 1
        to(self.hits, max(position() - steps, 0))
        show()


class Absent(gdb.Command):
    """Not offered in a replay: reverse-stepi and reverse-continue are."""

    def __init__(self, name):
        super().__init__(name, gdb.COMMAND_RUNNING)
        self.name = name

    def invoke(self, argument, from_tty):
        raise gdb.GdbError(self.name + " would hang QEMU; reverse-stepi [N] and reverse-continue go backwards")


def offer():
    try:
        position()
    except (gdb.error, gdb.GdbError):
        return
    hits = Hits()
    ReverseContinue(hits)
    ReverseStepi(hits)
    for name in ("reverse-step", "reverse-next", "reverse-nexti", "reverse-finish"):
        Absent(name)


offer()
