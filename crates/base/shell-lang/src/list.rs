//! The list of commands.

use crate::network;
use crate::usage::{CommandHelp, help};

/// Every command, in the order in which `help` shows them.
pub const COMMANDS: &[CommandHelp] = &[
    help("help", "[COMMAND]", "shows the commands, or one of them"),
    help(
        "ls",
        "[-l] [PATH]",
        "lists a directory; disks are at /; with -l says where times come from",
    ),
    help("cd", "[PATH]", "goes to a directory"),
    help("pwd", "", "says which directory this is"),
    help(
        "cat",
        "[-r] PATH...",
        "writes files out; bytes that are not text show as '.', with -r they go out as they are",
    ),
    help(
        "stat",
        "PATH...",
        "says what is known about a file or directory",
    ),
    help("sha256", "PATH...", "writes the SHA-256 checksum of files"),
    help(
        "write",
        "[-a] PATH [WORD...]",
        "makes a file of the words, in place of what it held; with -a behind it",
    ),
    help("mkdir", "PATH...", "makes directories"),
    help(
        "cp",
        "FROM TO",
        "copies a file to a file or into a directory, in place of what is there",
    ),
    help(
        "mv",
        "FROM TO",
        "gives a file or a directory another name on its disk",
    ),
    help("rm", "PATH...", "removes files and empty directories"),
    help(
        "sync",
        "",
        "makes everything that was changed durable, and says so",
    ),
    help("df", "", "says how much room the volumes have"),
    help(
        "snap",
        "[new|rm NUMBER] [VOLUME]",
        "lists a volume's snapshots, makes one, or lets one go; one is seen as /VOLUME@NUMBER",
    ),
    help(
        "scrub",
        "[VOLUME]",
        "reads all that a volume and its snapshots hold, and names what is damaged",
    ),
    help(
        "fsck",
        "[VOLUME]",
        "has a second reader count every block of a volume; repairs nothing",
    ),
    help("lsblk", "", "lists disks"),
    help("lspci", "", "lists PCI functions"),
    help(
        "ps",
        "",
        "lists processes with priority, restarts, memory and CPU time",
    ),
    help("caps", "", "lists the capabilities this shell holds"),
    help(
        "kill",
        "ID|NAME",
        "ends a process; its supervisor may start it again",
    ),
    help(
        "top",
        "[ROUNDS]",
        "shows who uses the processors, anew each second until Ctrl-C",
    ),
    help(
        "trace",
        "ID|NAME [SECONDS]",
        "shows what a process calls, for so long or until Ctrl-C",
    ),
    help(
        "log",
        "[-f] [LINES] [TEXT]",
        "shows the system log, its last lines, or those that hold a text; with -f goes on until Ctrl-C",
    ),
    network::HELP[0],
    network::HELP[1],
    network::HELP[2],
    network::HELP[3],
    network::HELP[4],
    network::HELP[5],
    network::HELP[6],
    help("mem", "", "says how much memory there is"),
    help("uptime", "", "says how long the system has been up"),
    help(
        "date",
        "[YYYY-MM-DD [HH:MM[:SS]]]",
        "says the time of day in UTC and where it is from, or sets it",
    ),
    help("echo", "[WORD...]", "says the words"),
    help(
        "diagnostics",
        "",
        "opens the diagnostics console; exit comes back",
    ),
    help(
        "halt",
        "[CODE]",
        "powers the machine off; CODE is 0 to 255, 0 without it",
    ),
    help("reboot", "", "resets the machine"),
];
