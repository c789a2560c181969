//! Finding what the kernel asks for: identifiers on 8-byte boundaries of the loaded image, between the delimiters.

use core::ops::Range;

use arrayvec::ArrayVec;
use elf_image::Image;

use crate::error::Error;
use crate::memory::u64_at;

/// The base revision of the protocol that is spoken.
pub const BASE_REVISION: u64 = 2;
/// Most requests of any kind, known or unknown.
pub const MAX_REQUESTS: usize = 64;

const COMMON: [u64; 2] = [0xc7b1_dd30_df4c_8b88, 0x0a82_e883_a194_f07b];
const START: [u64; 4] = [
    0xf6b8_f4b3_9de7_d1ae,
    0xfab9_1a69_40fc_b9cf,
    0x785c_6ed0_15d3_e316,
    0x181e_920a_7852_b9d9,
];
const END: [u64; 2] = [0xadc0_e053_1bb1_0d03, 0x9572_709f_3176_4c62];
const BASE: [u64; 2] = [0xf956_2b2d_5c95_a6c8, 0x6a7b_3849_4453_6bdc];

/// The features that are answered; all others are left untouched, which says that they are absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Feature {
    BootloaderInfo,
    FirmwareType,
    StackSize,
    Hhdm,
    PagingMode,
    MemoryMap,
    EntryPoint,
    ExecutableFile,
    ExecutableCommandLine,
    Modules,
    Rsdp,
    Smbios,
    EfiSystemTable,
    EfiMemoryMap,
    BootTime,
    ExecutableAddress,
}

const FEATURES: [(u64, u64, Feature); 16] = [
    (
        0xf550_38d8_e2a1_202f,
        0x2794_26fc_f5f5_9740,
        Feature::BootloaderInfo,
    ),
    (
        0x8c2f_75d9_0bef_28a8,
        0x7045_a468_8eac_00c3,
        Feature::FirmwareType,
    ),
    (
        0x224e_f046_0a8e_8926,
        0xe1cb_0fc2_5f46_ea3d,
        Feature::StackSize,
    ),
    (0x48dc_f1cb_8ad2_b852, 0x6398_4e95_9a98_244b, Feature::Hhdm),
    (
        0x95c1_a0ed_ab09_44cb,
        0xa4e5_cb38_42f7_488a,
        Feature::PagingMode,
    ),
    (
        0x67cf_3d9d_378a_806f,
        0xe304_acdf_c50c_3c62,
        Feature::MemoryMap,
    ),
    (
        0x13d8_6c03_5a1c_d3e1,
        0x2b0c_aa89_d8f3_026a,
        Feature::EntryPoint,
    ),
    (
        0xad97_e90e_83f1_ed67,
        0x31eb_5d1c_5ff2_3b69,
        Feature::ExecutableFile,
    ),
    (
        0x4b16_1536_e598_651e,
        0xb390_ad4a_2f1f_303a,
        Feature::ExecutableCommandLine,
    ),
    (
        0x3e7e_2797_02be_32af,
        0xca1c_4f3b_d128_0cee,
        Feature::Modules,
    ),
    (0xc5e7_7b6b_397e_7b43, 0x2763_7845_accd_cf3c, Feature::Rsdp),
    (
        0x9e90_46f1_1e09_5391,
        0xaa4a_520f_efbd_e5ee,
        Feature::Smbios,
    ),
    (
        0x5ceb_a516_3eaa_f6d6,
        0x0a69_8161_0cf6_5fcc,
        Feature::EfiSystemTable,
    ),
    (
        0x7df6_2a43_1d68_72d5,
        0xa4fc_dfb3_e573_06c8,
        Feature::EfiMemoryMap,
    ),
    (
        0x5027_46e1_84c0_88aa,
        0xfbc5_ec83_e632_7893,
        Feature::BootTime,
    ),
    (
        0x71ba_7686_3cc5_5f63,
        0xb264_4a48_c516_a487,
        Feature::ExecutableAddress,
    ),
];

/// Byte offset in a request of the pointer to its response.
pub(crate) const RESPONSE_OFFSET: u64 = 40;
/// Bytes every request has: identifier, revision, response pointer.
const REQUEST_BYTES: usize = 48;

/// One request as it stands in the image.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request {
    /// What is asked for; nothing for a kind that is not provided.
    pub feature: Option<Feature>,
    /// The identifier's own two words.
    id: [u64; 2],
    /// Virtual address of the request.
    pub at: u64,
    /// The request's revision.
    pub revision: u64,
    /// The first three words after the response pointer; zero where the segment's file bytes end.
    pub extra: [u64; 3],
}

/// What the kernel asks for.
#[derive(Clone, Debug)]
pub(crate) struct Requests {
    /// Virtual address of the base-revision tag.
    pub base_tag: u64,
    /// The base revision it wants; at least [`BASE_REVISION`].
    pub base_revision: u64,
    /// All requests, known or not, each kind once.
    pub list: ArrayVec<Request, MAX_REQUESTS>,
}

impl Requests {
    /// Reads the requests of `image`.
    pub fn find(image: &Image<'_>) -> Result<Self, Error> {
        let area = delimited(image);
        let mut tag = None;
        let mut list = ArrayVec::<Request, MAX_REQUESTS>::new();
        each_word(image, &area, |at, rest| {
            if starts_with(rest, &BASE) && tag.is_none() {
                if rest.len() < 24 {
                    return Err(Error::TruncatedRequest(at));
                }
                tag = Some((at, u64_at(rest, 16)));
            }
            if starts_with(rest, &COMMON) {
                let request = request(at, rest)?;
                if list.iter().any(|other| other.id == request.id) {
                    return Err(Error::DuplicateRequest(request.id[0]));
                }
                list.try_push(request).map_err(|_| Error::TooManyRequests)?;
            }
            Ok(())
        })?;
        match tag {
            // An older revision is one this loader never had, so the protocol has it refuse; with a newer one it is the
            // kernel's decision, which sees that its tag was left alone.
            Some((base_tag, base_revision)) if base_revision >= BASE_REVISION => Ok(Self {
                base_tag,
                base_revision,
                list,
            }),
            Some((_, older)) => Err(Error::BaseRevision(older)),
            None => Err(Error::BaseRevision(0)),
        }
    }

    /// The request for `feature`, if there is one.
    pub fn get(&self, feature: Feature) -> Option<&Request> {
        self.list
            .iter()
            .find(|request| request.feature == Some(feature))
    }
}

fn request(at: u64, rest: &[u8]) -> Result<Request, Error> {
    if rest.len() < REQUEST_BYTES {
        return Err(Error::TruncatedRequest(at));
    }
    let id = [u64_at(rest, 16), u64_at(rest, 24)];
    let feature = FEATURES
        .iter()
        .find(|(third, fourth, _)| [*third, *fourth] == id);
    Ok(Request {
        feature: feature.map(|(_, _, feature)| *feature),
        id,
        at,
        revision: u64_at(rest, 32),
        extra: [u64_at(rest, 48), u64_at(rest, 56), u64_at(rest, 64)],
    })
}

/// The addresses between the last start marker and the first end marker; everything where one is missing.
fn delimited(image: &Image<'_>) -> Range<u64> {
    let mut area = 0..u64::MAX;
    let _: Result<(), Error> = each_word(image, &(0..u64::MAX), |at, rest| {
        if starts_with(rest, &START) {
            area.start = at;
        }
        if area.end == u64::MAX && starts_with(rest, &END) {
            area.end = at;
        }
        Ok(())
    });
    area
}

/// Calls `visit` with every 8-byte boundary of the image's file bytes inside `area` and the bytes from there on.
fn each_word(
    image: &Image<'_>,
    area: &Range<u64>,
    mut visit: impl FnMut(u64, &[u8]) -> Result<(), Error>,
) -> Result<(), Error> {
    for segment in image.segments() {
        let bytes = image.bytes(segment);
        let first = segment.vaddr.next_multiple_of(8).max(area.start);
        let skip = usize::try_from(first - segment.vaddr).unwrap_or(usize::MAX);
        let mut at = first;
        let mut rest = bytes.get(skip..).unwrap_or_default();
        while rest.len() >= 8 && at < area.end {
            visit(at, rest)?;
            at += 8;
            rest = &rest[8..];
        }
    }
    Ok(())
}

fn starts_with<const N: usize>(bytes: &[u8], words: &[u64; N]) -> bool {
    // The first word decides in nearly every case, and this runs over the whole image.
    match bytes.first_chunk() {
        Some(first) if u64::from_le_bytes(*first) == words[0] => {
            bytes.len() >= N * 8
                && words
                    .iter()
                    .enumerate()
                    .all(|(index, word)| u64_at(bytes, index * 8) == *word)
        }
        _ => false,
    }
}
