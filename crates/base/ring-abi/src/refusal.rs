//! Why something is refused: one code, name and sentence for each reason, the same through every layer.

/// Declares the refusal codes once: the enum, its numbers, its names and its sentences.
macro_rules! refusals {
    ($($name:ident = $code:literal, $text:literal, $doc:literal;)*) => {
        /// Why an operation was refused. Codes are part of the ABI, non-zero, and never reused.
        #[derive(Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Refusal { $(#[doc = $doc] $name = $code,)* }
        impl Refusal {
            /// Reads a code; 0 is success and has no refusal, an unknown code reads as `Failed`.
            pub const fn from_code(code: u8) -> Option<Self> {
                match code { 0 => None, $($code => Some(Self::$name),)* _ => Some(Self::Failed) }
            }
            /// The code on the wire.
            pub const fn code(self) -> u8 { self as u8 }
            /// The name that evidence lines use.
            pub const fn name(self) -> &'static str { match self { $(Self::$name => $text,)* } }
            /// One sentence for a person.
            pub const fn sentence(self) -> &'static str { match self { $(Self::$name => $doc,)* } }
        }
    };
}

refusals! {
    BadHandle = 1, "badHandle", "the handle was never issued to this process";
    Stale = 2, "stale", "the handle, generation or incarnation is an old one";
    Revoked = 3, "revoked", "the object was revoked";
    WrongOwner = 4, "wrongOwner", "the object belongs to somebody else";
    WrongKind = 5, "wrongKind", "the handle names an object of another kind";
    NoSuchMethod = 6, "noSuchMethod", "the interface has no method of that number";
    BadMessage = 7, "badMessage", "the message is malformed or over its limits";
    BadTransfer = 8, "badTransfer", "a transferred handle is invalid, doubled or not transferable";
    OverBudget = 9, "overBudget", "the quota of the process or pool does not cover it";
    NoMemory = 10, "noMemory", "the machine is out of free memory";
    OutOfRange = 11, "outOfRange", "an offset, length or index lies outside the object";
    ZeroLength = 12, "zeroLength", "a length of zero is not a request";
    WrongState = 13, "wrongState", "the object is not in a state that allows it";
    Busy = 14, "busy", "something in flight still needs it";
    TimedOut = 15, "timedOut", "the deadline came first";
    Cancelled = 16, "cancelled", "the operation was cancelled";
    ServerDied = 17, "serverDied", "the server ended before it answered";
    NoReply = 18, "noReply", "the server dropped the call without an answer";
    ReplyTooLarge = 19, "replyTooLarge", "the reply does not fit into the reply buffer";
    NotFound = 20, "notFound", "nothing of that name exists";
    AlreadyExists = 21, "alreadyExists", "the name is taken";
    ForeignBuffer = 22, "foreignBuffer", "the buffer belongs to another device or pool";
    Duplicate = 23, "duplicate", "it was done already";
    Exhausted = 24, "exhausted", "the last generation or slot was used up";
    Quarantined = 25, "quarantined", "the device is quarantined: it never proved that it stopped";
    DeviceError = 26, "deviceError", "the device reported an error";
    TemplateRefused = 27, "templateRefused", "a command template sets bits outside its mask";
    LengthMismatch = 28, "lengthMismatch", "the recomputed transfer length differs from the segments";
    WindowRefused = 29, "windowRefused", "no register window allows this access";
    Misaligned = 30, "misaligned", "an address, offset or length is not aligned as it must be";
    NotSupported = 31, "notSupported", "this machine or object does not offer it";
    BadArgument = 32, "badArgument", "an argument has a value the method does not take";
    Corrupt = 33, "corrupt", "stored data contradicts itself";
    NotDirectory = 34, "notDirectory", "a path component is not a directory";
    IsDirectory = 35, "isDirectory", "it is a directory";
    NoDevice = 36, "noDevice", "there is no such device";
    ReadOnly = 37, "readOnly", "it cannot be written";
    BadImage = 38, "badImage", "the executable image is malformed";
    QueueFull = 39, "queueFull", "the queue has no free slot";
    WriteExecute = 40, "writeExecute", "a page may be writable or executable, never both";
    NotAdmitted = 41, "notAdmitted", "an authority must admit the asker first";
    OverShare = 42, "overShare", "whoever lent the object lets no more of it be used";
    OutOfReach = 43, "outOfReach", "the device cannot form the address of that memory";
    NotGranted = 60, "notGranted", "the authority does not cover it";
    MalformedAddress = 61, "malformedAddress", "an address has 4 octets, 16, or none";
    Ipv6Unsupported = 62, "ipv6Unsupported", "the network stack does no IPv6";
    Unreachable = 63, "unreachable", "there is no way to that address";
    ConnectionRefused = 64, "connectionRefused", "nobody takes connections there";
    ConnectionReset = 65, "connectionReset", "the connection was cut off";
    NoSpace = 70, "noSpace", "the volume is full";
    NotEmpty = 71, "notEmpty", "the directory has entries";
    TooLarge = 72, "tooLarge", "the file would be larger than its volume allows";
    Failed = 255, "failed", "the server failed for a reason of its own";
}

impl core::fmt::Debug for Refusal {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.name())
    }
}

impl core::fmt::Display for Refusal {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.sentence())
    }
}

impl core::error::Error for Refusal {}

/// A number in the type that it is for.
///
/// # Errors
/// `OutOfRange` where it has no place there.
#[inline]
pub fn narrow<T: TryFrom<U>, U>(number: U) -> Result<T, Refusal> {
    T::try_from(number).map_err(|_| Refusal::OutOfRange)
}
