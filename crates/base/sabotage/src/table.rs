//! The one table: a point's name and its sentence. Everything else that knows a point refers to its constant.

use super::Point;

/// Makes the constants and the list of them. The order is that of the names, so that two changes seldom meet; a test
/// holds it.
macro_rules! table {
    ($($name:ident: $sentence:literal,)*) => {
        /// The place of each point in the table, from 1 on; 0 is no point.
        #[allow(non_camel_case_types, clippy::upper_case_acronyms, reason = "named as the constants are")]
        #[repr(u16)]
        enum Index {
            $($name,)*
        }

        /// Every point by name.
        pub mod points {
            use super::{Index, Point, spelled};

            $(
                #[doc = $sentence]
                pub const $name: Point = Point {
                    index: Index::$name as u16 + 1,
                    name: {
                        const NAME: [u8; stringify!($name).len()] = spelled(stringify!($name));
                        match core::str::from_utf8(&NAME) {
                            Ok(name) => name,
                            Err(_) => panic!("a name is ASCII"),
                        }
                    },
                    sentence: $sentence,
                };
            )*
        }

        /// All points, by name.
        pub const POINTS: &[Point] = &[$(points::$name,)*];
    };
}

/// A constant's name as the command line has it: `SKIP_SCRUB` is `skip-scrub`.
const fn spelled<const N: usize>(name: &str) -> [u8; N] {
    let mut spelled = [0; N];
    let mut rest = name.as_bytes();
    let mut at = 0;
    while let [first, after @ ..] = rest {
        spelled[at] = if *first == b'_' {
            b'-'
        } else {
            first.to_ascii_lowercase()
        };
        rest = after;
        at += 1;
    }
    spelled
}

table! {
    ACCEPT_FOREIGN_BUFFER: "A command may name a buffer of another function.",
    ACKNOWLEDGE_AGAIN: "A second acknowledgement of one interrupt is taken.",
    ADMIT_ANY_READER: "Whoever asks to read the log at run time may do so.",
    AIM_ELSEWHERE: "The teaching card is told to write to memory that is no buffer.",
    ANY_SELECTOR: "SET FEATURES and its like may name whatever they want, host memory buffers for one.",
    ANY_TEMPLATE_BIT: "The NVMe broker takes a template with addresses, identifiers or a layout in it.",
    ANY_TIME_SOURCE: "Whoever may set the time in one name may set it in any other.",
    AREAS_FOR_NOTHING: "Nobody pays for the areas of threads.",
    BELIEVE_ANY_SOURCE: "An entry for interrupts does not say whose messages may name it.",
    BELIEVE_BRIDGES: "A bridge to conventional PCI counts as one that leaves requester ids as they are.",
    BELIEVE_DEAF_UNIT: "A remapping unit that does not answer counts as one that has forgotten.",
    BELIEVE_UNIT: "A remapping unit counts as verified whatever its registers say.",
    BELL_RING_ANY: "Who may ring some bits of a bell may ring all of them.",
    BELL_SKIP_SECOND_LOOK: "Who waits for a bell does not look a second time.",
    BINDING_ANY_GENERATION: "A command may name a buffer that is not bound to a place of its queue any more.",
    BINDING_OUTLIVES_FREE: "A buffer that is to be freed stays bound to its queues.",
    BLOCK_CLEAR_ANYWHERE: "A session may discard blocks that it has not claimed, and make zeros of them.",
    BLOCK_NEVER_RETRY: "A disk's provider gives up what the device refuses once.",
    BLOCK_SHARE_RANGE: "A provider lets two sessions write to the same blocks.",
    BLOCK_SKIP_FLUSH: "A provider answers a flush without asking the disk.",
    BLOCK_TRUST_FUA: "A provider answers a durable write without a flush behind it.",
    BLOCK_WRITE_ANYWHERE: "A session may write to blocks that it has not claimed.",
    BOUND_WITHOUT_RECEIVE: "A network interface is called bound after a frame went out, before any came in.",
    BUDGET_OFF_BY_A_PAGE: "A pool gives one page more than its budget.",
    CAPSULE_ANY_CONTENT: "A save capsule is restored whatever its content is.",
    CAPSULE_ANY_PROFILE: "A save capsule of another profile is restored.",
    CAPSULE_ANY_SCHEMA: "A save capsule of a newer application is restored.",
    CAPSULE_ANY_SIGNATURE: "A save capsule is restored whoever signed it.",
    CAPSULE_ANY_SIZE: "A save capsule may be as long as it is.",
    CAPSULE_FORKED: "A save capsule need not follow the one that was seen.",
    CAPSULE_SKIP_TAG: "A save capsule is restored although its payload does not open.",
    CAPSULE_STALE: "A save capsule older than the one that was seen is restored.",
    CAPSULE_UNSIGNED: "A save capsule without a signature is restored.",
    CLAIM_QUARANTINED: "A function that never proved that it stopped is given to the next one who asks.",
    COPY_REPLY_RIGHT: "The right to answer a call can be copied.",
    COUNT_AT_SWITCHES: "The processor time of who runs now is not counted before it is switched away.",
    DEAF_TO_BREAKS: "A break on the serial line gives nobody the processor.",
    DESK_ANY_KEY: "The desk answers whoever asks, without its key.",
    DHCP_TAKE_ANY_SERVER: "An answer of DHCP counts whichever server it comes from.",
    DHCP_TAKE_ANY_TRANSACTION: "An answer of DHCP counts whatever transaction it belongs to.",
    DIRECT_WITHOUT_DOMAIN: "Whoever asks writes device addresses itself, whatever its device reaches.",
    DMA_FOR_NOTHING: "Nobody pays for the memory of devices.",
    DROP_DRIVER: "The last driver is missing from the table that the boot checks.",
    DROP_INPUT: "Input has little room, and what has none is lost and not held.",
    DROP_LATE_MESSAGE: "An interrupt message that comes before the acknowledgement is dropped.",
    DROP_PAGE_BOUND: "The kernel puts a whole list into one answer, however long it is.",
    EXT_IGNORE_SUM: "An inode of an ext volume is believed whatever its sum.",
    EXT_LEAVE_BY_LINK: "A symbolic link of an ext volume may lead above the directory that a path began in.",
    FAIL_ALLOC: "The charge or allocation that a program names is refused.",
    FAIL_BOOT_ALLOC: "The charge or allocation of the boot that the command line names is refused.",
    FIRST_OF_TWO_TABLES: "Of two ACPI tables of one name that differ, the first counts.",
    FORGET_CENTURY: "The century that the machine's clock shows is not read.",
    FORGET_CPU_TIME: "A switch counts no processor time to the account of who ran.",
    FORGET_ENDED_TRAINED: "What the processor learned of branches from a distrusting account counts as nobody's once that has ended.",
    FORGET_WHO_TRAINED: "While a processor is idle, it forgets that a distrusting account ran on it.",
    FORGIVE_ENDED: "What an account still pays for when it ends is its parent's at once.",
    FORGIVE_REFUSALS: "No claim ends for what its function asks for and is refused, however often.",
    GRAPH_FOR_EVERYBODY: "Every process finds a SystemGraph that nobody granted it.",
    GRAPH_HIDES_DEVICES: "A SystemGraph does not say which device a capability leads to.",
    GUESS_BUFFERS: "A queue's holder may name a buffer that nobody gave it.",
    GVE_BELIEVE_COUNTER: "The gVNIC broker takes an event count beyond what it told the device for the end of everything.",
    GVE_RECEIPT_WITHOUT_RELEASE: "The gVNIC broker takes the device for stopped while it still has its admin queue.",
    GVE_SKIP_LENGTH_CHECK: "The gVNIC broker takes room for a frame that is shorter than what the device may write.",
    GVE_SKIP_LIST_CHECK: "The gVNIC broker takes pages that its device was given no list of.",
    GVE_SKIP_SEQUENCE_CHECK: "The gVNIC broker takes a received frame whatever its sequence number.",
    HTTP_ANY_HOST: "A request for another host is answered.",
    HTTP_ANY_ORIGIN: "A request that another site made is answered.",
    HTTP_ANY_TOKEN: "A request that changes something needs no token.",
    HTTP_KEEP_ENDED: "A session that was ended still opens.",
    HTTP_OTHER_BUNDLE: "The web page is served as other bytes than were reviewed.",
    HTTP_TAKE_TWICE: "A header that may come once is taken from a request that has it twice.",
    IGNORE_BUDGETS: "Threads run on whose account has used its time up.",
    IGNORE_PEERS: "Functions that can reach each other around their unit are given to different holders.",
    IGNORE_PIN: "A pinned thread is woken on the first processor.",
    IGNORE_X2APIC: "The kernel reaches local APICs through memory although they offer MSRs.",
    IMAGE_FOR_NOTHING: "Nobody pays for the pages of a program's image.",
    INTERRUPT_AT_ANY_COST: "An interrupt goes on at the cost of what it came to.",
    KEEP_BUS_MASTER: "The end of a claim leaves bus mastering on.",
    KEEP_CLAIM: "A claim goes on without the capability of its device.",
    KEEP_COMPLETIONS: "An NVMe queue begins with the completions that its predecessor did not take.",
    KEEP_EMPTY_TABLES: "Page tables that became empty stay where they are.",
    KEEP_ENDED_CLAIMS: "A claim on a device goes on when the account that pays for it has ended.",
    KEEP_ENDED_PAGES: "The pages of what an ended account paid for stay as long as somebody names them.",
    KEEP_FPU: "A thread goes on with the floating-point registers as the thread before left them.",
    KEEP_FPU_MEMORY: "A new thread begins with floating-point state that nobody cleared.",
    KEEP_GENERATION: "A claim has the generation of the one before it.",
    KEEP_HUSKS: "What an ended account paid for stays in the tables of those who hold it.",
    KEEP_LENT_RECEIVES: "A receive goes on that was begun with a right that has ended.",
    KEEP_LOANS: "A server keeps the priority that a call lent it when the call ends.",
    KEEP_MAP_RECORDS: "The kernel keeps a record of every mapping that there ever was.",
    KEEP_MAPPINGS: "Revoking memory leaves the mappings of other processes.",
    KEEP_MOVED: "The sender keeps what it moved.",
    KEEP_MOVED_ENTRY: "An interrupt that moves to another CPU is led where it was before.",
    KEEP_MOVED_LOAN: "A reply right that is moved leaves the priority that its call lends behind.",
    KEEP_ORPHANS: "Processes go on whose account was part of one that has ended.",
    KEEP_REGISTERS: "A new thread begins with what the kernel had in its registers.",
    KEEP_SELECTORS: "Segment selectors stay as they are from one process to the next.",
    KEEP_TIME_SOURCE: "A time that was set is said to be from where the one before was.",
    KEEP_TRACE: "A process is traced on when nobody holds its trace any more.",
    KEEP_WHAT_ENDED_PAID: "What an account paid for outlives it in the hands of others.",
    KEEP_WINDOWS: "The end of a claim or of a buffer leaves the mappings that processes have of it.",
    LEAK_FRAME: "One page of every memory object is not given back.",
    LEAK_FRAMES: "Device memory is not given back.",
    LEAVE_AC_ON_CALL: "A system call leaves AC as the program set it: SMAP is off for its length.",
    LEAVE_AC_ON_TRAP: "An interrupt or exception leaves AC as the program set it: SMAP is off for its length.",
    LEAVE_DEVICE_OPEN: "A function's entry in the device table of an AMD-Vi unit stays invalid: its requests pass as they are.",
    LEAVE_ENTRY: "The entry of an interrupt that ended stays in its table.",
    LEAVE_FPU_ON: "A process that has no floating-point state finds the unit on, with what others left in it.",
    LEAVE_INTERRUPTS_OPEN: "No function below an AMD-Vi unit has an interrupt table: messages pass as they are.",
    LEAVE_LOOPING: "A thread that is interrupted in its program goes on there though its process is ended.",
    LEAVE_RINGS_FREE: "Buffers that a device has as the rings of a queue of its holder's can be freed.",
    LEAVE_RUNNING: "The NVMe broker says that the controller stopped, and leaves it running.",
    LEAVE_SMAP_OFF: "SMAP stays off: the kernel can read and write pages of a program by mistake.",
    LEAVE_SMEP_OFF: "SMEP stays off: the kernel can run code of a program by mistake.",
    LEAVE_UMIP_OFF: "UMIP stays off: programs can read where the kernel keeps its tables.",
    LEND_EVERYTHING: "Whoever was lent an endpoint has as many facets of it as they can pay for.",
    LEND_WHAT_CAN_BE_REFUSED: "The kernel lends for small growth that could be refused.",
    LET_COMMANDS_BE_WRITTEN: "A device may write what it was given to read alone.",
    LET_FORMAT_THROUGH: "The NVMe broker takes FORMAT NVM, which changes the size of blocks under its feet.",
    LET_MPS_THROUGH: "The NVMe broker takes any memory page size into CC.MPS.",
    LINE_TELLS_ALL: "An interrupt line wakes everybody on it, whoever asserts it.",
    LINE_WAITS_FOR_ACKNOWLEDGEMENT: "An interrupt line stays masked after its handler ran.",
    LOANS_STOP_AT_ONE: "A server that has less priority lent goes on lending what it had.",
    LOSE_REVOKED: "Nobody hears of the commands that a reset ended.",
    MAKER_PAYS_FACETS: "Facets are charged to whoever made the endpoint.",
    MAP_ANY_PAGE: "Pages of registers are mapped that the broker has not listed.",
    MAP_BY_ADDRESS: "A mapping is named by its address alone, and its entry at the object stays when it goes.",
    MAP_ONE_PAGE_MORE: "A domain of a remapping unit maps one page more than it was given.",
    MEDIUM_INTO_READ_ONLY: "The medium is read into memory that its caller may not write.",
    MOVE_TELLS_NOBODY: "An interrupt route is moved without telling the device.",
    NAME_ENTRY_BEHIND: "An input of an I/O APIC names the entry behind its own.",
    ND_TAKE_ROUTED: "Neighbour discovery is believed that came through a router.",
    NET_CONNECT_ANYWHERE: "The authority to connect to some addresses is good for all.",
    NET_IGNORE_SHARES: "A client of the network has more sockets than it was promised.",
    NET_LISTEN_ANYWHERE: "The authority to listen at some ports is good for all.",
    NET_SKIP_CHECKSUMS: "A packet goes to its socket though the sum of its TCP or UDP header is wrong.",
    NET_TRACE_PAYLOAD: "A trace shows more of a frame than was granted.",
    NET_WIDEN_PORTS: "A facet of the network is handed on for more ports than it has.",
    NET_WIDEN_PREFIX: "A facet of the network is handed on for more addresses than it has.",
    NOTICE_TO_SUCCESSOR: "A server is told of its predecessor's facets as of its own.",
    NVME_DISCARD_ANYWHERE: "The NVMe broker has blocks discarded that its namespace does not have.",
    ONE_BLOCK_QUEUE: "A queue of the kernel lies in one piece of memory.",
    OVERRUN_BUFFER: "A message longer than its receiver's buffer is written all the same.",
    PART_IS_ALL: "Whoever was given a part of some memory can map all of it.",
    QUEUE_BELIEVE_COUNTS: "An end of a session queue believes the count that the other states.",
    QUEUE_RECEIPT_WITHOUT_DELETE: "The NVMe broker says that the device let go of a queue before it has.",
    QUEUE_SKIP_SECOND_LOOK: "An end of a session queue goes to sleep without the second look.",
    REBOOT_SKIPS_TEARDOWN: "The machine is reset with the device still enabled.",
    RECEIPT_WITHOUT_CSTS: "The NVMe broker says that the controller stopped without having read CSTS.",
    RECURSE_IN_KERNEL: "The kernel calls itself at the end of a process until its stack is used up.",
    RESET_FORGETS_ROUTES: "A reset leaves the interrupt routes of before as they are.",
    RETURN_ANYWHERE: "A thread that is interrupted goes on wherever its program has jumped to, in the lower half or not.",
    ROOT_BUS_ONLY: "The PCI walk looks at bus 0 alone.",
    ROUNDING_FOR_NOTHING: "Nobody pays for a run of memory that is longer than what was asked for.",
    SAVE_ANY_EPOCH: "A writer that another has taken over from goes on saving.",
    SAVE_ANY_PROFILE: "A record counts whatever profile and name its envelope says.",
    SAVE_ANY_SCHEMA: "A record of a newer application is read and written over.",
    SAVE_ANY_VERSION: "A record is put whatever version its writer expects.",
    SAVE_BELIEVE_BRIDGE: "A client does not compare what a bridge showed before with what it shows now.",
    SAVE_BELIEVE_PROVIDER: "What a store showed before is not compared with what it shows now.",
    SAVE_FOR_NOTHING: "A tenant may store more than its allowance.",
    SAVE_FORGET_RETRY: "A save that is asked for again with its retry key is done again.",
    SAVE_FORGET_SEEN: "What was seen of a bridge is forgotten when the machine goes down.",
    SAVE_OVER_OTHERS: "What is brought to a bridge is written over whatever another machine brought.",
    SAVE_REWRITE_LEDGER: "Lines of a ledger are given out without comparing their chain.",
    SAVE_SKIP_QUEUE: "What waited for a bridge when the machine went down is not looked for.",
    SAVE_VOLUME_SKIP_COMMIT: "A save on a volume is said to be there before it is durable.",
    SAVES_ACKNOWLEDGE_LOST: "A save whose answer was lost on the way to the bridge is said to be saved.",
    SAVES_ANY_EXPECT: "A save is put whatever version its client expects.",
    SAVES_ANY_FACET: "A save through any facet reaches the first one's profile.",
    SAVES_ANY_RETRY: "A save without a retry key is taken.",
    SAVES_FORGET_KEY: "A save goes to the bridge without its retry key.",
    SECOND_REVOKER_GOES_ON: "A window can be revoked, who comes second takes one that was begun for one that is over, and mapped frames go back.",
    SERVE_STRANGERS: "What a process has of its own serves whoever holds it.",
    SERVICE_SKIP_LINK: "The audit service does not ask whether a segment names the one before it.",
    SERVICE_SKIP_SEAL: "The audit service takes any seal for a good one.",
    SHARE_AUDIT_WAITS: "All processes that wait for the audit log have one share between them.",
    SHARE_CLAIM_WAITS: "Whoever waits for a device may wait as often as they like.",
    SHARE_CONSOLE_READS: "All processes together have one share of the calls that wait for input.",
    SHARE_DOMAIN: "Every function below a unit is led to the domain of the first.",
    SHARE_WINDOW: "A new window has the pages of another session's.",
    SKIP_AUDIT_CLAMP: "A read of the log gives as many records as it is asked for.",
    SKIP_AUDIT_FOLD: "Who reads the audit log does not fold its chain.",
    SKIP_BRANCH_BARRIER: "A processor takes what it learned of branches from a distrusting account to another.",
    SKIP_BUFFER_GENERATION: "The capability of a freed buffer stands for whatever buffer has its slot now.",
    SKIP_CLAIM_CHECK: "What derives from a claim that has ended is good under the next one.",
    SKIP_CONTROL_CHECK: "Reserved bits of the control word are passed over.",
    SKIP_DEADLINE: "Operations in the ring outlive their deadlines.",
    SKIP_DIRECT_SWITCH: "A call goes through the run queue.",
    SKIP_DROP_NOTICE: "The server is not told that the last handle of a facet is gone.",
    SKIP_EPOCH_CHECK: "Handles granted before a revocation go on.",
    SKIP_GENERATION_CHECK: "A handle whose slot was used again names what is in the slot now.",
    SKIP_INCARNATION_CHECK: "A facet of an older incarnation goes on after a renewal.",
    SKIP_INHERIT: "A server works for its caller at its own priority.",
    SKIP_IOTLB_FLUSH: "A page is unmapped from a domain, and the unit is not told to forget it.",
    SKIP_IOTLB_RECEIPT: "A buffer's pages return without being unmapped from their domain.",
    SKIP_LENGTH_CHECK: "The NVMe broker takes the segments' length for the command's.",
    SKIP_LOOKS: "Long work in the kernel gives way to nobody.",
    SKIP_NO_REPLY: "A call whose reply right is dropped is left to its deadline.",
    SKIP_QUOTA_CHECK: "Charges are added up and never compared with the limit.",
    SKIP_ROLLBACK: "Moved capabilities leave the sender before the receiver's room for them is certain.",
    SKIP_SCRUB: "Freed DMA pages go back with what was written to them.",
    SKIP_SERVER_DIED: "Callers of a dead server are not told why there is no answer.",
    SKIP_SHOOTDOWN: "Pages are unmapped without telling the processors that hold the translation.",
    SKIP_SPAN_CHECK: "A message may be said to lie outside the message area.",
    SKIP_TAIL_CHECK: "More submissions are taken than a ring holds.",
    SPAWN_OUT_OF_NOTHING: "What a child may use comes from the machine and not from its parent.",
    SPLIT_LINES: "What a program writes is queued in two halves.",
    SSH_ALLOW_ANY_KEY: "Whoever has a key, whichever it is, may log in.",
    SSH_STATE_OTHER_KEY: "The host key that is stated on the serial line is not the one that connections are served with.",
    STACKS_FOR_NOTHING: "Nobody pays for the kernel stacks of threads.",
    STATE_WITHOUT_END: "Every fact is stated that the holder of a device brings about.",
    STORE_ANY_DEVICE: "The store takes any device, whatever PCI address the manifest says.",
    STORE_ANY_PARTITION: "The store mounts the first capOS volume of a disk, whatever the manifest says of where it is.",
    STORE_CHANGE_SNAPSHOT: "What a snapshot shows may be changed.",
    STORE_FORGET_TIME: "The store writes no time to what it changes.",
    STORE_HIDE_FAILURE: "The store answers a sync as if the disk had not failed.",
    STORE_LEAVE_NAMESPACE: "A namespace leads to every name of its volume.",
    STORE_SCRUB_MEMORY: "A scrub and a check look at what memory still holds of the disk.",
    STORE_SHARE_WRITER: "The store lets two clients write one file, and takes a file away that is being written.",
    STORE_SKIP_COMMIT: "The store answers a sync without committing anything.",
    STORE_SKIP_FLUSH: "The store answers a sync without having the disk flushed.",
    STORE_SKIP_REPLAY: "The store does not write again what a driver that ended may have lost.",
    STORE_WIDEN_RESULT: "A directory that comes out of one that only reads may be changed.",
    TABLES_FOR_FREE: "Nobody pays for page tables.",
    TAKE_ANY_RECEIVER: "A call in registers goes to whoever receives first, as if that waited in registers too.",
    TAKE_LOADED_FOR_LEFT: "A processor that is to forget translations takes the space that it has loaded for one that it has left.",
    TEXT_WRITABLE_DIRECTLY: "A page of the kernel's text can be written through the direct map.",
    TEXT_WRITABLE_ELSEWHERE: "A page of the kernel's text can be written where device registers are mapped.",
    THREAD_ABOVE_PROCESS: "A thread has whatever priority it is started with.",
    TLS_FORGET_KEY: "A key that was kept is thrown away, and another one is made.",
    TLS_STATE_OTHER_KEY: "The key that is stated on the serial line is not the one that connections are served with.",
    TRUST_ANY_HOLDER: "Functions of a trusted group, which can reach each other, are given to whoever asks.",
    TRUST_ECAM: "A configuration window counts without being compared with the ports.",
    TRUST_FIRMWARE: "What firmware left on at the devices stays on.",
    TURN_ATS_ON: "A function may translate addresses itself (ATS) when it is made bus master.",
    VAULT_ANY_RECORD: "A save capsule is restored whatever record is in it.",
    VAULT_FORGET_UNSENT: "A save capsule that has not left yet is forgotten for a newer one.",
    VAULT_WITHOUT_ANCHOR: "A save is restored from a capsule without the anchor that goes with it.",
    VIRTIO_ANY_FEATURE: "Virtio features that change where or how the device touches memory can be asked for.",
    VIRTIO_ANY_TEMPLATE: "A template of a virtio disk that is no request is taken for one.",
    VIRTIO_CONFIG_EVERYTHING: "Every port of a legacy virtio BAR can be read.",
    VIRTIO_RECEIPT_WITHOUT_STATUS: "The virtio broker says that the device stopped without having asked it.",
    VIRTIO_SKIP_LENGTH_CHECK: "The virtio broker takes whatever length and place the segments come to.",
    VIRTIO_TRUST_USED: "The virtio broker believes whatever the used ring says.",
    VOLUME_DELETE_BOUND: "A volume deletes an object that a name is bound to.",
    VOLUME_IGNORE_SUM: "A volume is read without comparing the sum in a pointer.",
    VOLUME_KEEP_NO_NUMBERS: "A volume tells the number of a binding that its last root does not keep.",
    VOLUME_KEEP_NOTHING: "A volume keeps no room for deletions.",
    VOLUME_REUSE_EARLY: "A volume uses a block again that its last root still reaches.",
    VOLUME_SKIP_DATA_FLUSH: "A volume writes its root before what it leads to is durable.",
    VOLUME_SKIP_ROOT_FLUSH: "A volume answers a commit before its root is durable.",
    VOLUME_SKIP_VERIFY: "A mount believes a root that was written without a flush before it.",
    WEAK_ENTROPY: "Without RDRAND the clock stands in for it.",
    WRITE_ANY_BIT: "Bits of a declared register change that are not the provider's.",
    WRITE_ANYWHERE: "A register is written that its broker has not declared.",
}

#[cfg(test)]
mod tests {
    use super::{POINTS, points};
    use crate::{Point, sabotage};

    #[test]
    fn the_table_is_in_order_and_each_name_leads_back_to_its_point() {
        assert!(
            POINTS.is_sorted_by(|a, b| a.name() < b.name()),
            "sort the table by name"
        );
        for point in POINTS {
            assert_eq!(Point::named(point.name()), Some(*point));
            assert!(point.sentence().ends_with('.'), "{point}");
        }
        assert_eq!(points::SKIP_SCRUB.name(), "skip-scrub");
        assert_eq!(Point::named("SKIP_SCRUB"), None);
        assert_eq!(Point::named(""), None);
    }

    #[cfg(not(sabotage))]
    #[test]
    fn in_production_no_point_is_ever_chosen() {
        const { assert!(!sabotage!(SKIP_SCRUB)) };
        sabotage!(SKIP_SCRUB => a_name_that_is_nowhere());
    }

    #[cfg(sabotage)]
    #[test]
    fn the_chosen_point_and_no_other_is_chosen() {
        assert_eq!(crate::chosen(), None);
        assert!(POINTS.iter().all(|point| !crate::is_chosen(*point)));
        crate::choose(points::SKIP_SCRUB);
        assert_eq!(crate::chosen(), Some(points::SKIP_SCRUB));
        assert!(sabotage!(SKIP_SCRUB) && !sabotage!(SKIP_SHOOTDOWN));
        let mut done = 0;
        sabotage!(SKIP_SCRUB => done += 1);
        sabotage!(SKIP_SHOOTDOWN => done += 10);
        assert_eq!(done, 1);
    }
}
