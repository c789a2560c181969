mod disk;
mod journal;
mod records;
