/* Counts the instructions of a guest, for `cargo xtask bench`.
 *
 * A plugin for QEMU's TCG. It splits what the guest executes at the canonical-address half (high is the kernel, low is
 * user code, firmware and loader), counts the instructions whose price a count does not show (address-space switches,
 * system calls, port accesses, repetitions of string instructions, locked accesses to memory), and writes one line of JSON to `out=PATH` when
 *   - the guest executes a mark: 0f 1f 80 and then 0x4b420000 + i, a no-operation at every privilege ("mark");
 *   - the loader begins ("loader"): the instruction at `watch=ADDRESS` is reached, or code that begins with the bytes
 *     `pattern=HEX`, where nobody knows the address beforehand; then the first instruction in the high half is
 *     ("kernel"), then the first one in the low half after that ("user");
 *   - the guest ends ("exit").
 * With `profile=on` it also writes, at each mark with an odd number, how often every instruction ran since the last
 * mark with an even one ("hot"), with its bytes, by which the program it belongs to is found.
 *
 * A line also says the most instructions that the kernel ran with interrupts off since the line before ("hold"):
 * between two of STI, HLT, SYSRET and IRET, the only instructions after which it may be interrupted or has left; and where
 * that stretch began ("from") and ended ("to"). With `long=N` it says where the longest stretch was after every N of its
 * instructions ("way"), too.
 *
 * With several CPUs the longest stretch is that of any of them, in instructions of that CPU. It is told whose instructions
 * were counted where each block of the kernel begins, so that only works with `long=`, and where one thread runs all CPUs.
 *
 * It never changes what the guest does, and counts exactly only with one CPU or one thread.
 */
#include "qemu-api.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

QEMU_PLUGIN_EXPORT int qemu_plugin_version = QEMU_API;

/* Fewer bytes would be found in other code too. */
#define SHORTEST_PATTERN 12

enum counter { USER, KERNEL, SYSCALL, CR3, HALT, PORT, IRET, WRMSR, REPEAT, LOCKED, COUNTERS };

static const char *const NAMES[COUNTERS] = {
    "user", "kernel", "syscall", "cr3", "halt", "port", "iret", "wrmsr", "repeat", "locked",
};

/* How often one translated instruction ran; kept for good, because a translation may be entered at any time. */
struct place {
    struct place *next;
    uint64_t address;
    uint64_t runs;
    uint8_t size;
    uint8_t bytes[15];
};

static FILE *out;
static uint64_t watch = UINT64_MAX;
static uint8_t pattern[32];
static size_t pattern_size;
static bool profiling, recording;
/* The stretch that runs on each CPU, with where it was after each step, and the longest one since the last line. */
#define STEPS 12
#define MAX_CPUS 8
struct stretch {
    uint64_t opened, opened_at, way[STEPS];
    size_t way_size;
    /* The kernel's instructions on this CPU, up to where it ran last. */
    uint64_t ran;
};
static struct stretch stretches[MAX_CPUS];
static uint64_t longest, longest_from, longest_to;
static uint64_t longest_way[STEPS];
static size_t longest_way_size;
/* The CPU that runs, and the count of all when it began to. */
static unsigned running;
static uint64_t running_since;
static uint64_t step = UINT64_MAX;
static bool seen_watch, seen_kernel, seen_user;
static struct place *places;

#if QEMU_API == 1
static uint64_t counts[COUNTERS];

static uint64_t count_of(enum counter counter)
{
    return *(volatile uint64_t *)&counts[counter];
}

static void count(struct qemu_plugin_insn *insn, enum counter counter)
{
    qemu_plugin_register_vcpu_insn_exec_inline(insn, QEMU_PLUGIN_INLINE_ADD_U64, &counts[counter], 1);
}
#else
static struct qemu_plugin_scoreboard *counts;

static qemu_plugin_u64 entry_of(enum counter counter)
{
    return (qemu_plugin_u64){ counts, counter * sizeof(uint64_t) };
}

static uint64_t count_of(enum counter counter)
{
    return qemu_plugin_u64_sum(entry_of(counter));
}

static void count(struct qemu_plugin_insn *insn, enum counter counter)
{
    qemu_plugin_register_vcpu_insn_exec_inline_per_vcpu(insn, QEMU_PLUGIN_INLINE_ADD_U64, entry_of(counter), 1);
}
#endif

/* Copies an instruction; how long it is. */
static size_t fetch(const struct qemu_plugin_insn *insn, uint8_t bytes[15])
{
    size_t size = qemu_plugin_insn_size(insn);
    if (size > 15)
        size = 15;
#if QEMU_API < 3
    memcpy(bytes, qemu_plugin_insn_data(insn), size);
#else
    size = qemu_plugin_insn_data(insn, bytes, size);
#endif
    return size;
}

static void report(const char *what, unsigned id)
{
    fprintf(out, "{\"what\":\"%s\",\"id\":%u", what, id);
    for (int i = 0; i < COUNTERS; i++)
        fprintf(out, ",\"%s\":%llu", NAMES[i], (unsigned long long)count_of(i));
    fprintf(out, ",\"hold\":%llu,\"from\":%llu,\"to\":%llu,\"way\":[", (unsigned long long)longest,
            (unsigned long long)longest_from, (unsigned long long)longest_to);
    for (size_t i = 0; i < longest_way_size; i++)
        fprintf(out, "%s%llu", i ? "," : "", (unsigned long long)longest_way[i]);
    fputs("]}\n", out);
    fflush(out);
    longest = longest_from = longest_to = longest_way_size = 0;
}

/* How many instructions of the kernel this CPU, which runs, has run. */
static uint64_t kernel_of(unsigned cpu)
{
    uint64_t now = count_of(KERNEL);
    if (cpu != running) {
        stretches[running].ran += now - running_since;
        running = cpu;
        running_since = now;
    }
    return stretches[cpu].ran + now - running_since;
}

/* The kernel lets interrupts in, or leaves. */
static void on_open(unsigned cpu, void *data)
{
    if (cpu >= MAX_CPUS)
        return;
    struct stretch *s = &stretches[cpu];
    uint64_t now = kernel_of(cpu), address = (uint64_t)(uintptr_t)data;
    if (now - s->opened > longest) {
        longest = now - s->opened;
        longest_from = s->opened_at;
        longest_to = address;
        longest_way_size = s->way_size;
        memcpy(longest_way, s->way, sizeof longest_way);
    }
    s->opened = now;
    s->opened_at = address;
    s->way_size = 0;
}

static void on_block(unsigned cpu, void *data)
{
    if (cpu >= MAX_CPUS)
        return;
    struct stretch *s = &stretches[cpu];
    uint64_t now = kernel_of(cpu);
    if (s->way_size < STEPS && now - s->opened > step * (s->way_size + 1))
        s->way[s->way_size++] = (uint64_t)(uintptr_t)data;
}

static void report_places(unsigned id)
{
    for (const struct place *p = places; p; p = p->next) {
        if (!p->runs)
            continue;
        fprintf(out, "{\"what\":\"hot\",\"id\":%u,\"address\":%llu,\"runs\":%llu,\"bytes\":\"", id,
                (unsigned long long)p->address, (unsigned long long)p->runs);
        for (int i = 0; i < p->size; i++)
            fprintf(out, "%02x", p->bytes[i]);
        fputs("\"}\n", out);
    }
    fflush(out);
}

static void on_mark(unsigned cpu, void *data)
{
    unsigned id = (unsigned)(uintptr_t)data;
    (void)cpu;
    report("mark", id);
    if (!profiling)
        return;
    recording = !(id & 1);
    if (recording) {
        for (struct place *p = places; p; p = p->next)
            p->runs = 0;
    } else {
        report_places(id);
    }
}

static void on_place(unsigned cpu, void *data)
{
    (void)cpu;
    if (recording)
        ((struct place *)data)->runs++;
}

/* The event that an instruction is, or COUNTERS. */
static enum counter event_of(const uint8_t *b, size_t size)
{
    size_t at = 0;
    bool repeated = false;
    for (; at < size && (b[at] == 0xf3 || b[at] == 0xf2 || b[at] == 0x66 || b[at] == 0xf0); at++) {
        if (b[at] == 0xf0)
            return LOCKED;
        repeated |= b[at] != 0x66;
    }
    if (at < size && (b[at] & 0xf0) == 0x40)
        at++;
    if (at >= size)
        return COUNTERS;
    uint8_t op = b[at];
    if (op == 0x0f && at + 1 < size) {
        uint8_t second = b[at + 1];
        if (second == 0x05)
            return SYSCALL;
        if (second == 0x30)
            return WRMSR;
        if (second == 0x22 && at + 2 < size && (b[at + 2] >> 3 & 7) == 3)
            return CR3;
        return COUNTERS;
    }
    /* XCHG with memory locks without saying so. */
    if ((op == 0x86 || op == 0x87) && at + 1 < size && b[at + 1] >> 6 != 3)
        return LOCKED;
    if (repeated && ((op >= 0xa4 && op <= 0xa7) || (op >= 0xaa && op <= 0xaf)))
        return REPEAT;
    if (op == 0xf4)
        return HALT;
    if (op == 0xcf)
        return IRET;
    if ((op >= 0xec && op <= 0xef) || (op >= 0xe4 && op <= 0xe7))
        return PORT;
    return COUNTERS;
}

/* Whether interrupts may come behind this instruction of the kernel, or it leaves the kernel. */
static bool opens(const uint8_t *b, size_t size)
{
    size_t at = size > 1 && (b[0] & 0xf0) == 0x40;
    if (b[at] == 0xfb || b[at] == 0xf4 || b[at] == 0xcf)
        return size == at + 1;
    return size == at + 2 && b[at] == 0x0f && b[at + 1] == 0x07;
}

/* Whether a block begins as the pattern does; a short block must be as the pattern's beginning. */
static bool begins_as_pattern(const struct qemu_plugin_tb *tb)
{
    size_t at = 0;
    for (size_t i = 0; i < qemu_plugin_tb_n_insns(tb) && at < pattern_size; i++) {
        uint8_t b[15];
        size_t size = fetch(qemu_plugin_tb_get_insn(tb, i), b);
        if (size > pattern_size - at)
            size = pattern_size - at;
        if (memcmp(pattern + at, b, size))
            return false;
        at += size;
    }
    return at >= SHORTEST_PATTERN;
}

/* A block is translated right before it first runs, so the counts are those of the moment. */
static void note_stages(const struct qemu_plugin_tb *tb, uint64_t address)
{
    bool high = address >> 63;
    if (!seen_watch && !seen_kernel && (address == watch || (pattern_size && begins_as_pattern(tb)))) {
        seen_watch = true;
        report("loader", 0);
    }
    if (!seen_kernel && high) {
        seen_kernel = true;
        report("kernel", 0);
    }
    if (seen_kernel && !seen_user && !high) {
        seen_user = true;
        report("user", 0);
    }
}

static void on_translation(qemu_plugin_id_t plugin, struct qemu_plugin_tb *tb)
{
    (void)plugin;
    if (step != UINT64_MAX && qemu_plugin_tb_n_insns(tb)) {
        uint64_t start = qemu_plugin_insn_vaddr(qemu_plugin_tb_get_insn(tb, 0));
        if (start >> 63)
            qemu_plugin_register_vcpu_tb_exec_cb(tb, on_block, QEMU_PLUGIN_CB_NO_REGS, (void *)(uintptr_t)start);
    }
    for (size_t i = 0; i < qemu_plugin_tb_n_insns(tb); i++) {
        struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
        uint64_t address = qemu_plugin_insn_vaddr(insn);
        uint8_t b[15];
        size_t size = fetch(insn, b);
        if (i == 0)
            note_stages(tb, address);
        count(insn, address >> 63 ? KERNEL : USER);
        enum counter event = event_of(b, size);
        if (event != COUNTERS)
            count(insn, event);
        if (address >> 63 && opens(b, size))
            qemu_plugin_register_vcpu_insn_exec_cb(insn, on_open, QEMU_PLUGIN_CB_NO_REGS, (void *)(uintptr_t)address);
        if (profiling) {
            struct place *p = calloc(1, sizeof *p);
            if (!p)
                abort();
            p->next = places;
            p->address = address;
            p->size = (uint8_t)size;
            memcpy(p->bytes, b, size);
            places = p;
            qemu_plugin_register_vcpu_insn_exec_cb(insn, on_place, QEMU_PLUGIN_CB_NO_REGS, p);
        }
        if (size == 7 && b[0] == 0x0f && b[1] == 0x1f && b[2] == 0x80 && b[5] == 0x42 && b[6] == 0x4b)
            qemu_plugin_register_vcpu_insn_exec_cb(insn, on_mark, QEMU_PLUGIN_CB_NO_REGS,
                                                   (void *)(uintptr_t)(b[3] | b[4] << 8));
    }
}

static void on_end(qemu_plugin_id_t plugin, void *data)
{
    (void)plugin;
    (void)data;
    report("exit", 0);
}

QEMU_PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t plugin, const qemu_info_t *info, int argc, char **argv)
{
    (void)info;
    for (int i = 0; i < argc; i++) {
        if (!strncmp(argv[i], "out=", 4))
            out = fopen(argv[i] + 4, "w");
        else if (!strncmp(argv[i], "watch=", 6))
            watch = strtoull(argv[i] + 6, NULL, 0);
        else if (!strncmp(argv[i], "long=", 5))
            step = strtoull(argv[i] + 5, NULL, 0);
        else if (!strncmp(argv[i], "pattern=", 8)) {
            const char *hex = argv[i] + 8;
            unsigned byte;
            while (pattern_size < sizeof pattern && sscanf(hex + 2 * pattern_size, "%2x", &byte) == 1)
                pattern[pattern_size++] = (uint8_t)byte;
        } else if (!strcmp(argv[i], "profile=on"))
            profiling = true;
    }
    if (!out) {
        fputs("icount: out=PATH is missing or cannot be written\n", stderr);
        return 1;
    }
#if QEMU_API > 1
    counts = qemu_plugin_scoreboard_new(COUNTERS * sizeof(uint64_t));
#endif
    qemu_plugin_register_vcpu_tb_trans_cb(plugin, on_translation);
    qemu_plugin_register_atexit_cb(plugin, on_end, NULL);
    return 0;
}
