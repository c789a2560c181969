//! Everything that lies on one device: its units, their partitions, and the volumes among them.

use fat_core::{Besides, Cache, MountError, Mounted, Names, Place, Refused, Survey, survey};
use sdk::{
    BlockDevice, Cap, Interface as _, Object as _, Refusal,
    alloc::{
        format,
        string::{String, ToString},
        vec::Vec,
    },
};
use volume::Problem;

use crate::disk::BlockDisk;

/// Units that are open at once. Each takes a window and a cache; the one that was used longest ago makes room for another.
const MAX_OPEN_UNITS: usize = 8;

/// One part of the device.
pub struct Part {
    /// `p2`, `n3`, `n3p2`; empty for a device that is one volume.
    pub name: String,
    /// What it is, or why it cannot be read.
    pub what: String,
    /// The name that the partition table gives it.
    pub label: String,
    /// Bytes of it.
    pub bytes: u64,
    /// The volume and the device's unit it lies on, or why there is none.
    pub content: Result<(usize, Mounted), Problem>,
}

/// There is no device.
pub fn no_disk() -> Problem {
    Problem {
        refusal: Refusal::NoDevice,
        text: "no disk".to_string(),
    }
}

fn problem_of(error: &MountError<Refusal>) -> Problem {
    Problem {
        refusal: match error {
            MountError::Device(refusal) => *refusal,
            MountError::Unsupported(_) => Refusal::NotSupported,
            MountError::Corrupt(_) => Refusal::Corrupt,
        },
        text: error.to_string(),
    }
}

/// Which unit of a device it is: the one of this number, or `None` for the one that the export itself is.
type Number = Option<u32>;

/// A unit with a volume on it.
struct Opened {
    number: Number,
    /// `None` while others are open instead.
    cache: Option<Cache<BlockDisk>>,
    used: u64,
}

/// The device's units and parts.
pub struct Shelf {
    device: BlockDevice,
    units: Vec<Opened>,
    /// How often a unit was used.
    uses: u64,
    /// In the order of units and tables.
    pub parts: Vec<Part>,
    /// The names of the part that was searched last; they are many, so only one part has some at a time.
    names: (usize, Names),
    /// The part that stands for the device.
    pub main: Option<usize>,
    /// Why there is none.
    pub problem: Problem,
}

/// A unit as the provider lists it.
struct Unit {
    number: u32,
    bytes: u64,
    problem: String,
    main: bool,
}

fn units(device: &BlockDevice) -> Result<Vec<Unit>, Refusal> {
    let mut units = Vec::new();
    let mut cursor = 0;
    loop {
        let (next, end) = device
            .units(cursor, |results| {
                for unit in results.units()?.iter() {
                    units.push(Unit {
                        number: unit.number(),
                        bytes: unit.blocks().saturating_mul(unit.block_bytes().into()),
                        problem: unit.problem()?.to_string(),
                        main: unit.main(),
                    });
                }
                Ok((results.next(), results.end()))
            })
            .and_then(|r| r)?;
        if end || next <= cursor {
            return Ok(units);
        }
        cursor = next;
    }
}

/// A client of its own for a session; the handle under it stays the program's.
fn borrowed(device: &BlockDevice) -> BlockDevice {
    BlockDevice::from_object(Cap::borrowed(device.object().handle()))
}

/// A session of its own with a unit of the device, behind a cache.
fn open_unit(device: &BlockDevice, number: Number) -> Result<Cache<BlockDisk>, Refusal> {
    let device = match number {
        // The export outlives a restart of its provider in any case.
        None => borrowed(device),
        Some(number) => device.unit(number)?.device,
    };
    BlockDisk::open(device).map(Cache::new)
}

/// Closes the unit that was used longest ago, if no more may be open.
fn make_room(units: &mut [Opened]) {
    let open = units.iter_mut().filter(|unit| unit.cache.is_some());
    let mut open: Vec<&mut Opened> = open.collect();
    if open.len() >= MAX_OPEN_UNITS
        && let Some(oldest) = open.iter_mut().min_by_key(|unit| unit.used)
    {
        oldest.cache = None;
    }
}

/// The cache of a unit, which is opened anew if it had to make room.
fn opened<'a>(
    device: &BlockDevice,
    units: &'a mut [Opened],
    idx: usize,
    use_number: u64,
) -> Result<&'a mut Cache<BlockDisk>, Refusal> {
    if units.get(idx).is_some_and(|unit| unit.cache.is_none()) {
        make_room(units);
    }
    let unit = units.get_mut(idx).ok_or(Refusal::NoDevice)?;
    unit.used = use_number;
    if unit.cache.is_none() {
        unit.cache = Some(open_unit(device, unit.number)?);
    }
    unit.cache.as_mut().ok_or(Refusal::NoDevice)
}

/// A volume with what belongs to it.
pub struct Live<'a> {
    /// The unit that it lies on.
    pub cache: &'a mut Cache<BlockDisk>,
    /// The volume.
    pub mounted: &'a Mounted,
    /// The names of its directories.
    pub names: &'a mut Names,
}

impl Shelf {
    /// The volume of a part.
    ///
    /// # Errors
    /// Why there is none.
    pub fn live(&mut self, part: usize) -> Result<Live<'_>, Refusal> {
        let content = self.parts.get(part).map(|part| &part.content);
        let (unit, mounted) = match content.ok_or(Refusal::NotFound)? {
            Ok((unit, mounted)) => (*unit, mounted),
            Err(problem) => return Err(problem.refusal),
        };
        if self.names.0 != part {
            self.names = (part, Names::default());
        }
        self.uses += 1;
        Ok(Live {
            cache: opened(&self.device, &mut self.units, unit, self.uses)?,
            mounted,
            names: &mut self.names.1,
        })
    }

    /// Looks at everything on a device.
    ///
    /// # Errors
    /// Where the device has not even units to list.
    pub fn open(device: &BlockDevice) -> Result<Self, Problem> {
        let units = units(device).map_err(|refusal| match refusal {
            Refusal::NoDevice => no_disk(),
            _ => problem_of(&MountError::Device(refusal)),
        })?;
        let mut shelf = Self {
            device: borrowed(device),
            units: Vec::new(),
            uses: 0,
            parts: Vec::new(),
            names: (0, Names::default()),
            main: None,
            problem: no_disk(),
        };
        let several = units.len() > 1;
        for unit in &units {
            let prefix = match several {
                true => format!("n{}", unit.number),
                false => String::new(),
            };
            if let Err(problem) = shelf.take_unit(unit, &prefix) {
                // What is wrong with the unit that stands for the device is what a person asks about first.
                if unit.main || shelf.problem.refusal == Refusal::NoDevice {
                    shelf.problem = problem.clone();
                }
                shelf.parts.push(Part {
                    name: prefix,
                    what: problem.text.clone(),
                    label: String::new(),
                    bytes: unit.bytes,
                    content: Err(problem),
                });
            }
        }
        Ok(shelf)
    }

    fn take_unit(&mut self, unit: &Unit, prefix: &str) -> Result<(), Problem> {
        if !unit.problem.is_empty() {
            return Err(Problem {
                refusal: Refusal::NotSupported,
                text: unit.problem.clone(),
            });
        }
        let number = (!unit.main).then_some(unit.number);
        let cache = open_unit(&self.device, number);
        let mut cache = cache.map_err(|refusal| problem_of(&MountError::Device(refusal)))?;
        let survey = survey(&mut cache).map_err(|error| problem_of(&error))?;
        if survey.places.is_empty() && survey.refused.is_empty() {
            // A table without entries: there is no part that could say so.
            return Err(problem_of(&survey.problem()));
        }
        let first = self.parts.len();
        let unit_idx = self.units.len();
        if survey.places.iter().any(|place| place.content.is_ok()) {
            self.uses += 1;
            make_room(&mut self.units);
            self.units.push(Opened {
                number,
                cache: Some(cache),
                used: self.uses,
            });
        }
        announce(prefix, &survey);
        let problem = survey.main.is_none().then(|| survey.problem());
        for place in survey.places {
            self.parts.push(part(unit_idx, prefix, place));
        }
        let refused = survey.refused.iter();
        self.parts
            .extend(refused.map(|refused| untrue(prefix, refused)));
        if let Some(main) = survey.main {
            if let (Some(Besides::Other(name)), Some(part)) =
                (survey.besides, self.parts.get_mut(first + main))
            {
                part.what = format!("{} (the disk holds {name}, too)", part.what);
            }
            self.main.get_or_insert(first + main);
        }
        if let Some(problem) = problem.filter(|_| unit.main) {
            self.problem = problem_of(&problem);
        }
        Ok(())
    }
}

/// A partition that cannot be true.
fn untrue(prefix: &str, refused: &Refused) -> Part {
    Part {
        name: format!("{prefix}p{}", refused.number),
        what: refused.fault.to_string(),
        label: String::new(),
        bytes: 0,
        content: Err(Problem {
            refusal: Refusal::Corrupt,
            text: refused.to_string(),
        }),
    }
}

fn part(unit: usize, prefix: &str, place: Place<Refusal>) -> Part {
    let name = match place.number {
        0 => prefix.to_string(),
        number => format!("{prefix}p{number}"),
    };
    let (what, content) = match place.content {
        Ok(mounted) => (mounted.volume.format().to_string(), Ok((unit, mounted))),
        Err(error) => {
            let problem = problem_of(&error);
            let what = problem.text.trim_start_matches("it is ").to_string();
            (what, Err(problem))
        }
    };
    Part {
        name,
        what,
        label: place.label.as_str().to_string(),
        bytes: place.bytes,
        content,
    }
}

/// The places that can be read.
fn mounted_places(survey: &Survey<Refusal>) -> impl Iterator<Item = (&Place<Refusal>, &Mounted)> {
    let places = survey.places.iter();
    places.filter_map(|place| Some((place, place.content.as_ref().ok()?)))
}

/// What a place is called in the log.
fn place_name(prefix: &str, number: u32) -> String {
    match (prefix, number) {
        ("", 0) => "the disk".to_string(),
        (prefix, 0) => prefix.to_string(),
        (prefix, number) => format!("{prefix}p{number}"),
    }
}

/// Says which volume stands for a unit, and what else was found.
fn announce(prefix: &str, survey: &Survey<Refusal>) {
    let main = survey.main.and_then(|main| survey.places.get(main));
    if let Some((place, Ok(mounted))) = main.map(|place| (place, &place.content)) {
        let mut at = String::new();
        if !prefix.is_empty() {
            at.push_str(&format!(", namespace {}", prefix.trim_start_matches('n')));
        }
        if place.number > 0 {
            at.push_str(&format!(", partition {}", place.number));
        }
        let volume = &mounted.volume;
        sdk::info!(
            "mounted {}, {} bytes{at}",
            volume.format(),
            volume.total_bytes()
        );
        if let Some(missing @ 1..) = volume.total_bytes().checked_sub(mounted.bytes) {
            sdk::warn!("the disk ends {missing} bytes before its volume does");
        }
        let others = survey.places.iter().filter(|p| p.number != place.number);
        if let others @ 1.. = others.filter(|p| p.content.is_ok()).count() {
            sdk::info!("other volumes beside it: {others}; ls / names them");
        }
    }
    for (place, mounted) in mounted_places(survey) {
        if let Some(remark) = mounted.volume.remark() {
            sdk::warn!("{}: {remark}", place_name(prefix, place.number));
        }
    }
    if let Some(besides) = &survey.besides {
        sdk::warn!("the disk holds {besides} besides its partition table; the table is used");
    }
    if let Some(bytes) = survey.table_block_bytes {
        sdk::warn!("the partition table was made for blocks of {bytes} bytes, and is read so");
    }
    if let Some(fault) = survey.gpt_fault {
        sdk::warn!("the first copy of the GPT is damaged ({fault}); its backup is used");
    }
    for refused in &survey.refused {
        sdk::warn!("{refused}");
    }
    if survey.omitted > 0 {
        sdk::warn!("{} more partitions are not looked at", survey.omitted);
    }
}
