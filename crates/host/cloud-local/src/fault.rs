//! What the cloud does wrong, where it is told to.

/// A field of an instance that is not as it was asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Field {
    /// A public address.
    PublicAddress,
    /// A role or service account that the instance acts in.
    Profile,
    /// Another kind of instance.
    Kind,
    /// An open metadata service, or at Google a serial console that people may type at.
    Metadata,
    /// Another firewall group, or another network.
    Group,
    /// Another image.
    Image,
    /// A firewall group that lets somebody in.
    Ingress,
    /// A disk that stays after the instance.
    KeptDisk,
    /// No end of its own to the instance.
    Endless,
}

/// One thing that goes wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// The instance is not what was asked for.
    Policy(Field),
    /// A snapshot, or Google's image, is said to be deleted, and stays.
    FailedDelete,
    /// Ending an instance is confirmed, and does not happen.
    FailedTerminate,
    /// One more instance is over the quota.
    Quota,
    /// An import makes no progress.
    Slow,
    /// An import fails, with a reason.
    FailedImport,
    /// Only this many bytes of the serial log are shown.
    CutSerial(usize),
    /// The token expires once an instance was started.
    ExpiredToken,
    /// The uploaded object loses its last byte.
    ShortObject,
}

/// Those that every cloud has here, by the names a person types.
pub const FAULTS: [(&str, Fault); 16] = [
    ("policy-public-address", Fault::Policy(Field::PublicAddress)),
    ("policy-profile", Fault::Policy(Field::Profile)),
    ("policy-kind", Fault::Policy(Field::Kind)),
    ("policy-metadata", Fault::Policy(Field::Metadata)),
    ("policy-group", Fault::Policy(Field::Group)),
    ("policy-image", Fault::Policy(Field::Image)),
    ("policy-ingress", Fault::Policy(Field::Ingress)),
    ("policy-kept-disk", Fault::Policy(Field::KeptDisk)),
    ("failed-delete", Fault::FailedDelete),
    ("failed-terminate", Fault::FailedTerminate),
    ("quota", Fault::Quota),
    ("slow", Fault::Slow),
    ("failed-import", Fault::FailedImport),
    ("cut-serial", Fault::CutSerial(512)),
    ("expired-token", Fault::ExpiredToken),
    ("short-object", Fault::ShortObject),
];

/// Those that only Google's has.
pub const GCE_FAULTS: [(&str, Fault); 1] = [("policy-endless", Fault::Policy(Field::Endless))];

impl Fault {
    /// The fault of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        FAULTS
            .iter()
            .chain(&GCE_FAULTS)
            .find(|(known, _)| *known == name)
            .map(|(_, fault)| *fault)
    }
}
