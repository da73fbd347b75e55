//! Writes one pack with its index: all objects of a batch in two files.
//!
//! The formats are those of git's `gitformat-pack` manual page, version 2.

use std::{collections::HashMap, fs, io, path::Path};

use flate2::{Compress, Compression, FlushCompress, Status};
use sha1::{Digest, Sha1};

use crate::{ObjectId, object::Kind};

/// In a pack: an object stored as its difference to another, named by distance.
const OFS_DELTA: u8 = 6;
/// How many deltas may have to be applied to read an object. `git` breaks
/// longer chains up when it sends them, which costs more than it saves.
const MAX_DEPTH: u32 = 40;
/// Trees are mostly object ids, which do not compress: speed matters more.
const LEVEL: Compression = Compression::fast();

/// In bytes. Resetting the compressor takes longer than copying so little, and the
/// differences of trees, most of what is so short, are object ids.
const NOT_WORTH_COMPRESSING: usize = 256;

pub(crate) struct Pack {
    body: Vec<u8>,
    /// Its state is large: making one for each object would cost more than compressing.
    compressor: Compress,
    entries: Vec<PackEntry>,
    known: HashMap<ObjectId, usize>,
}

struct PackEntry {
    id: ObjectId,
    offset: usize,
    crc: u32,
    depth: u32,
}

const HEADER_BYTES: usize = 12;

impl Default for Pack {
    fn default() -> Self {
        Self {
            body: Vec::new(),
            compressor: Compress::new(LEVEL, true),
            entries: Vec::new(),
            known: HashMap::new(),
        }
    }
}

impl Pack {
    pub(crate) fn len(&self) -> usize {
        self.body.len()
    }

    pub(crate) fn contains(&self, id: ObjectId) -> bool {
        self.known.contains_key(&id)
    }

    /// Adds an object, once.
    pub(crate) fn add(&mut self, kind: Kind, id: ObjectId, data: &[u8]) {
        if !self.contains(id) {
            self.push_entry(id, kind as u8, 0, &[], data.len(), data);
        }
    }

    /// Adds an object as its difference to one that resembles it, where that one
    /// is in this pack and not itself too long a chain of differences.
    pub(crate) fn add_similar(&mut self, kind: Kind, id: ObjectId, data: &[u8], old: (ObjectId, &[u8])) {
        // Not worth an indirection, and git refuses deltas of fewer than four bytes.
        const TOO_SMALL: usize = 100;
        if data.len() < TOO_SMALL {
            return self.add(kind, id, data);
        }
        if self.contains(id) {
            return;
        }
        let base = self.known.get(&old.0).map(|index| &self.entries[*index]);
        let Some((offset, depth)) =
            base.filter(|base| base.depth < MAX_DEPTH).map(|base| (base.offset, base.depth))
        else {
            return self.add(kind, id, data);
        };
        let delta = delta(old.1, data);
        let distance = encode_distance(HEADER_BYTES + self.body.len() - offset);
        self.push_entry(id, OFS_DELTA, depth + 1, &distance, delta.len(), &delta);
    }

    fn push_entry(&mut self, id: ObjectId, kind: u8, depth: u32, prefix: &[u8], size: usize, data: &[u8]) {
        let start = self.body.len();
        encode_kind_and_size(&mut self.body, kind, size);
        self.body.extend_from_slice(prefix);
        self.compress(data);
        let crc = crc32fast::hash(&self.body[start..]);
        self.known.insert(id, self.entries.len());
        self.entries.push(PackEntry { id, offset: HEADER_BYTES + start, crc, depth });
    }

    fn compress(&mut self, mut data: &[u8]) {
        if data.len() <= NOT_WORTH_COMPRESSING {
            return self.store(data);
        }
        self.compressor.reset();
        loop {
            self.body.reserve(data.len() / 2 + 64);
            let before = self.compressor.total_in();
            let status = self.compressor.compress_vec(data, &mut self.body, FlushCompress::Finish);
            if matches!(status, Ok(Status::StreamEnd)) {
                return;
            }
            let read = self.compressor.total_in() - before;
            data = &data[usize::try_from(read).expect("no more than was given")..];
        }
    }

    /// As zlib stores what it does not compress (RFC 1950 and 1951): one final stored block.
    fn store(&mut self, data: &[u8]) {
        let length = u16::try_from(data.len()).expect("it is short");
        self.body.extend_from_slice(&[0x78, 0x01, 0x01]);
        self.body.extend_from_slice(&length.to_le_bytes());
        self.body.extend_from_slice(&(!length).to_le_bytes());
        self.body.extend_from_slice(data);
        self.body.extend_from_slice(&zlib_rs::adler32::adler32(1, data).to_be_bytes());
    }

    /// The pack as it is sent and stored.
    pub(crate) fn finish(mut self) -> FinishedPack {
        let mut pack = Vec::with_capacity(HEADER_BYTES + self.body.len() + 20);
        pack.extend_from_slice(b"PACK");
        pack.extend_from_slice(&2u32.to_be_bytes());
        let count = u32::try_from(self.entries.len()).expect("a batch has fewer objects than bytes");
        pack.extend_from_slice(&count.to_be_bytes());
        pack.append(&mut self.body);
        let checksum: [u8; 20] = Sha1::digest(&pack).into();
        pack.extend_from_slice(&checksum);
        FinishedPack { pack, checksum, entries: self.entries }
    }
}

pub(crate) struct FinishedPack {
    pack: Vec<u8>,
    checksum: [u8; 20],
    entries: Vec<PackEntry>,
}

impl FinishedPack {
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.pack
    }

    /// Writes pack and index into `directory` (`objects/pack`). A reader sees
    /// both or neither: the index, which makes the pack known, is renamed last.
    ///
    /// Nothing is flushed to the device: the copy is disposable, and a pack that
    /// a power failure tore is noticed when the repository is opened.
    pub(crate) fn write_to(&mut self, directory: &Path) -> io::Result<()> {
        self.entries.sort_unstable_by_key(|entry| entry.id);
        let index = encode_index(&self.entries, self.checksum);
        let name = ObjectId::from_bytes(self.checksum);
        write_then_rename(directory, &format!("pack-{name}.pack"), &self.pack)?;
        write_then_rename(directory, &format!("pack-{name}.idx"), &index)
    }
}

fn write_then_rename(directory: &Path, name: &str, data: &[u8]) -> io::Result<()> {
    let temporary = directory.join(format!("tmp_{name}"));
    fs::write(&temporary, data)?;
    fs::rename(temporary, directory.join(name))
}

/// `entries` sorted by id.
fn encode_index(entries: &[PackEntry], pack_checksum: [u8; 20]) -> Vec<u8> {
    let mut index = b"\xfftOc\x00\x00\x00\x02".to_vec();
    let mut counts = [0u32; 256];
    for entry in entries {
        counts[usize::from(entry.id.as_bytes()[0])] += 1;
    }
    let mut sum = 0;
    for count in counts {
        sum += count;
        index.extend_from_slice(&sum.to_be_bytes());
    }
    for entry in entries {
        index.extend_from_slice(entry.id.as_bytes());
    }
    for entry in entries {
        index.extend_from_slice(&entry.crc.to_be_bytes());
    }
    for entry in entries {
        // Offsets of 2 GiB and more need another table; the writer ends a batch far earlier.
        let offset = i32::try_from(entry.offset).expect("a batch is smaller than 2 GiB");
        index.extend_from_slice(&offset.to_be_bytes());
    }
    index.extend_from_slice(&pack_checksum);
    let checksum: [u8; 20] = Sha1::digest(&index).into();
    index.extend_from_slice(&checksum);
    index
}

/// Three bits of kind and the size, seven bits a byte, lowest first (four in the first byte).
fn encode_kind_and_size(out: &mut Vec<u8>, kind: u8, size: usize) {
    let mut byte = (kind << 4) | low_bits(size, 4);
    let mut rest = size >> 4;
    while rest > 0 {
        out.push(byte | 0x80);
        byte = low_bits(rest, 7);
        rest >>= 7;
    }
    out.push(byte);
}

/// Seven bits a byte, highest first, where each continuation also adds one.
fn encode_distance(distance: usize) -> Vec<u8> {
    let mut bytes = vec![low_bits(distance, 7)];
    let mut rest = distance >> 7;
    while rest > 0 {
        rest -= 1;
        bytes.push(low_bits(rest, 7) | 0x80);
        rest >>= 7;
    }
    bytes.reverse();
    bytes
}

fn low_bits(number: usize, bits: u32) -> u8 {
    u8::try_from(number & ((1 << bits) - 1)).expect("at most seven bits")
}

/// The instructions that make `new` of `old`: what both begin and end with is
/// copied, what is in between inserted. That is all that a spliced tree needs.
fn delta(old: &[u8], new: &[u8]) -> Vec<u8> {
    let prefix = old.iter().zip(new).take_while(|(a, b)| a == b).count();
    let longest_suffix = old.len().min(new.len()) - prefix;
    let suffix =
        old.iter().rev().zip(new.iter().rev()).take(longest_suffix).take_while(|(a, b)| a == b).count();

    let mut out = Vec::new();
    encode_size(&mut out, old.len());
    encode_size(&mut out, new.len());
    encode_copy(&mut out, 0, prefix);
    for chunk in new[prefix..new.len() - suffix].chunks(127) {
        out.push(low_bits(chunk.len(), 7));
        out.extend_from_slice(chunk);
    }
    encode_copy(&mut out, old.len() - suffix, suffix);
    out
}

fn encode_size(out: &mut Vec<u8>, mut size: usize) {
    while size >= 0x80 {
        out.push(low_bits(size, 7) | 0x80);
        size >>= 7;
    }
    out.push(low_bits(size, 7));
}

/// Copies `length` bytes from `offset`. An instruction has a bit for each byte
/// of offset (four) and length (two of three are used) that is not zero.
fn encode_copy(out: &mut Vec<u8>, mut offset: usize, mut length: usize) {
    while length > 0 {
        let part = length.min(0xffff);
        let instruction = out.len();
        out.push(0x80);
        let offset_bytes = u32::try_from(offset).expect("a tree is smaller than 4 GiB").to_le_bytes();
        let length_bytes = part.to_le_bytes();
        for (bit, byte) in offset_bytes.iter().chain(&length_bytes[..2]).enumerate() {
            if *byte != 0 {
                out[instruction] |= 1 << bit;
                out.push(*byte);
            }
        }
        offset += part;
        length -= part;
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;

    /// Writes a pack of versions of one object, each a small change of the last,
    /// and lets `git` verify and libgit2 read it.
    fn check_chain(versions: &[Vec<u8>]) {
        let directory = tempfile::tempdir().unwrap();
        let repository = git2::Repository::init_bare(directory.path()).unwrap();
        let mut pack = Pack::default();
        let mut last: Option<(ObjectId, &[u8])> = None;
        for version in versions {
            let id = ObjectId::of(Kind::Blob, version);
            match last {
                None => pack.add(Kind::Blob, id, version),
                Some(last) => pack.add_similar(Kind::Blob, id, version, last),
            }
            last = Some((id, version));
        }
        let packs = directory.path().join("objects/pack");
        pack.finish().write_to(&packs).unwrap();

        let odb = repository.odb().unwrap();
        for version in versions {
            let id = ObjectId::of(Kind::Blob, version);
            assert_eq!(odb.read(id.into()).unwrap().data(), version.as_slice());
        }
        let fsck =
            Command::new("git").args(["fsck", "--strict", "--full"]).current_dir(directory.path()).output();
        let fsck = fsck.unwrap();
        assert!(fsck.status.success(), "{}", String::from_utf8_lossy(&fsck.stderr));
    }

    #[test]
    fn long_chains_of_changes_to_a_large_object_are_readable() {
        let mut version: Vec<u8> =
            (0..200_000u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()).collect();
        let mut versions = vec![version.clone()];
        for step in 0..100 {
            let at = step * 7_919 % version.len();
            version.splice(at..at + 3, format!("change {step}").into_bytes());
            versions.push(version.clone());
        }
        check_chain(&versions);
    }

    #[test]
    fn an_object_is_written_once() {
        let mut pack = Pack::default();
        let id = ObjectId::of(Kind::Blob, b"x");
        pack.add(Kind::Blob, id, b"x");
        pack.add(Kind::Blob, id, b"x");
        pack.add_similar(Kind::Blob, id, b"x", (id, b"x"));
        assert_eq!(pack.entries.len(), 1);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]
        #[test]
        fn what_is_written_can_be_read(versions in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 1..8)) {
            check_chain(&versions);
        }
    }
}
