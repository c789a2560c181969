//! The options of a device descriptor: which formats of queues there are, and what else.

use crate::be;
use crate::queue::QueueFormat;
use crate::refusal::Refusal;

/// Bytes of an option's head.
pub const OPTION_BYTES: usize = 8;

/// Numbers of options (`gve_dev_opt_id`).
pub mod option_id {
    /// GQI with addresses, as it was said first: without contents.
    pub const GQI_RAW_ADDRESSING: u16 = 0x1;
    /// GQI with addresses.
    pub const GQI_RDA: u16 = 0x2;
    /// GQI with page lists.
    pub const GQI_QPL: u16 = 0x3;
    /// DQO with addresses.
    pub const DQO_RDA: u16 = 0x4;
    /// Rings of other lengths.
    pub const MODIFY_RING: u16 = 0x6;
    /// DQO with page lists.
    pub const DQO_QPL: u16 = 0x7;
    /// Larger payloads.
    pub const JUMBO_FRAMES: u16 = 0x8;
    /// Buffers of other lengths.
    pub const BUFFER_SIZES: u16 = 0xa;
}

/// Bits of an option's features.
pub mod feature {
    /// Rings of other lengths.
    pub const MODIFY_RING: u32 = 1 << 0;
    /// Larger payloads.
    pub const JUMBO_FRAMES: u32 = 1 << 2;
    /// Buffers of other lengths.
    pub const BUFFER_SIZES: u32 = 1 << 4;
}

/// One option.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DeviceOption {
    /// A format of queues, and features that come with it.
    Format {
        /// Which.
        format: QueueFormat,
        /// Bits of [`feature`].
        features: u32,
        /// [`QueueFormat::DqoQpl`]: pages for a transmit and a receive queue. [`QueueFormat::DqoRda`]: completions of a transmit
        /// queue and buffers of a receive queue, which Linux 6.1 takes from here and later drivers call reserved. Else 0.
        pages: (u16, u16),
    },
    /// Larger payloads.
    JumboFrames {
        /// Bits of [`feature`].
        features: u32,
        /// The largest payload.
        max_mtu: u16,
    },
    /// One that means nothing here, or that demands a feature that is not known here: to be left alone.
    Other {
        /// Its number.
        id: u16,
    },
}

impl DeviceOption {
    fn format(format: QueueFormat, features: u32) -> Self {
        Self::Format {
            format,
            features,
            pages: (0, 0),
        }
    }

    /// Reads one from its number, the features that it demands, and its contents. A longer one than known is taken: later devices
    /// append.
    fn read(id: u16, demands: u32, contents: &[u8]) -> Result<Self, Refusal> {
        let wants = match id {
            option_id::GQI_RAW_ADDRESSING => 0,
            option_id::GQI_RDA | option_id::GQI_QPL => 4,
            option_id::DQO_RDA | option_id::DQO_QPL | option_id::JUMBO_FRAMES => 8,
            _ => return Ok(Self::Other { id }),
        };
        if demands != 0 {
            return Ok(Self::Other { id });
        }
        if contents.len() < wants {
            return Err(Refusal::OptionLength(id));
        }
        let features = be::u32(contents, 0);
        Ok(match id {
            option_id::GQI_RAW_ADDRESSING => Self::format(QueueFormat::GqiRda, 0),
            option_id::GQI_RDA => Self::format(QueueFormat::GqiRda, features),
            option_id::GQI_QPL => Self::format(QueueFormat::GqiQpl, features),
            option_id::DQO_RDA | option_id::DQO_QPL => Self::Format {
                format: match id {
                    option_id::DQO_RDA => QueueFormat::DqoRda,
                    _ => QueueFormat::DqoQpl,
                },
                features,
                pages: (be::u16(contents, 4), be::u16(contents, 6)),
            },
            _ => Self::JumboFrames {
                features,
                max_mtu: be::u16(contents, 4),
            },
        })
    }

    /// Writes it, head and contents; says how many of the bytes are used. [`Self::Other`] has no contents.
    pub fn bytes(&self) -> ([u8; 16], usize) {
        let mut bytes = [0; 16];
        let (id, length) = match self {
            Self::Format { format, .. } => match format {
                QueueFormat::GqiRda => (option_id::GQI_RDA, 4),
                QueueFormat::GqiQpl => (option_id::GQI_QPL, 4),
                QueueFormat::DqoRda => (option_id::DQO_RDA, 8),
                QueueFormat::DqoQpl => (option_id::DQO_QPL, 8),
            },
            Self::JumboFrames { .. } => (option_id::JUMBO_FRAMES, 8),
            Self::Other { id } => (*id, 0),
        };
        be::put16(&mut bytes, 0, id);
        be::put16(&mut bytes, 2, length);
        match self {
            Self::Format {
                features, pages, ..
            } => {
                be::put32(&mut bytes, 8, *features);
                be::put16(&mut bytes, 12, pages.0);
                be::put16(&mut bytes, 14, pages.1);
            }
            Self::JumboFrames { features, max_mtu } => {
                be::put32(&mut bytes, 8, *features);
                be::put16(&mut bytes, 12, *max_mtu);
            }
            Self::Other { .. } => {}
        }
        (bytes, OPTION_BYTES + usize::from(length))
    }
}

/// The options, one after the other. Ends after the first that cannot be read.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    rest: &'a [u8],
    left: u16,
}

impl<'a> Options<'a> {
    pub(crate) const fn new(rest: &'a [u8], left: u16) -> Self {
        Self { rest, left }
    }

    fn take(&mut self) -> Result<DeviceOption, Refusal> {
        let (head, rest) = self
            .rest
            .split_at_checked(OPTION_BYTES)
            .ok_or(Refusal::Options)?;
        let length = usize::from(be::u16(head, 2));
        let (contents, rest) = rest.split_at_checked(length).ok_or(Refusal::Options)?;
        self.rest = rest;
        DeviceOption::read(be::u16(head, 0), be::u32(head, 4), contents)
    }
}

impl Iterator for Options<'_> {
    type Item = Result<DeviceOption, Refusal>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let option = self.take();
        if option.is_err() {
            self.left = 0;
        }
        Some(option)
    }
}

/// The formats of queues that a device offers.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Formats(u8);

impl Formats {
    /// With one more.
    #[must_use]
    pub const fn with(self, format: QueueFormat) -> Self {
        Self(self.0 | 1 << format as u8)
    }

    /// Whether it is offered.
    pub const fn has(self, format: QueueFormat) -> bool {
        self.0 & 1 << format as u8 != 0
    }

    /// The formats of a descriptor's options. A device that names none has GQI with page lists: so it was before there were
    /// options.
    ///
    /// # Errors
    /// Those of an option that cannot be read.
    pub fn of(options: Options<'_>) -> Result<Self, Refusal> {
        let mut all = Self::default();
        for option in options {
            if let DeviceOption::Format { format, .. } = option? {
                all = all.with(format);
            }
        }
        Ok(match all.0 {
            0 => all.with(QueueFormat::GqiQpl),
            _ => all,
        })
    }
}
