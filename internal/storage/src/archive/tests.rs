use std::{collections::BTreeMap, fs, io::Cursor, path::Path};

use proptest::prelude::*;
use zip::{ZipWriter, write::SimpleFileOptions};

use super::*;
use crate::pack;

const SPEC: &[u8] = br#"{"id":"master-1-2","service":"svc"}"#;
const LIMITS: Limits = Limits { max_files: 20, max_unpacked_bytes: 1 << 20, max_zip_bytes: 1 << 20 };

/// One entry written byte by byte, because libraries refuse to write most of
/// what a hostile zip contains.
#[derive(Clone)]
struct Raw<'a> {
    name: &'a [u8],
    data: &'a [u8],
    mode: u32,
    flags: u16,
    method: u16,
    crc: u32,
    declared_size: usize,
}

impl<'a> Raw<'a> {
    fn file(name: &'a str, data: &'a [u8]) -> Self {
        let crc = crc32fast::hash(data);
        let declared_size = data.len();
        Self { name: name.as_bytes(), data, mode: 0o100_644, flags: 0, method: 0, crc, declared_size }
    }

    fn directory(name: &'a str) -> Self {
        Self { mode: 0o040_755, ..Self::file(name, b"") }
    }

    fn spec() -> Self {
        Self::file(FILE_NAME, SPEC)
    }

    /// What the local and the central header share, from the flags to the lengths.
    fn common(&self) -> Vec<u8> {
        let sizes = [self.crc, to_u32(self.data.len()), to_u32(self.declared_size)];
        let mut bytes = Vec::new();
        bytes.extend([20, 0]);
        bytes.extend(self.flags.to_le_bytes());
        bytes.extend(self.method.to_le_bytes());
        bytes.extend([0; 4]);
        bytes.extend(sizes.map(u32::to_le_bytes).concat());
        bytes.extend(to_u16(self.name.len()).to_le_bytes());
        bytes.extend([0; 2]);
        bytes
    }
}

fn to_u32(number: usize) -> u32 {
    number.try_into().unwrap()
}

fn to_u16(number: usize) -> u16 {
    number.try_into().unwrap()
}

fn raw_zip(entries: &[Raw<'_>]) -> Vec<u8> {
    let mut zip = Vec::new();
    let mut directory = Vec::new();
    for entry in entries {
        let offset = to_u32(zip.len());
        zip.extend(b"PK\x03\x04");
        zip.extend(entry.common());
        zip.extend(entry.name);
        zip.extend(entry.data);
        // Made by Unix.
        directory.extend(b"PK\x01\x02\x14\x03");
        directory.extend(entry.common());
        directory.extend([0; 6]);
        directory.extend((entry.mode << 16).to_le_bytes());
        directory.extend(offset.to_le_bytes());
        directory.extend(entry.name);
    }
    let start = to_u32(zip.len());
    zip.extend(&directory);
    zip.extend(b"PK\x05\x06\0\0\0\0");
    zip.extend([to_u16(entries.len()).to_le_bytes(); 2].concat());
    zip.extend(to_u32(directory.len()).to_le_bytes());
    zip.extend(start.to_le_bytes());
    zip.extend([0; 2]);
    zip
}

fn deflated(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, data) in entries {
        zip.start_file(*name, SimpleFileOptions::DEFAULT).unwrap();
        zip.write_all(data).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// Everything that happens to an upload.
fn check(zip: &[u8]) -> Result<Summary, ArchiveError> {
    let mut archive = Archive::open(Cursor::new(zip), LIMITS)?;
    let summary = archive.summary()?;
    archive.verify()?;
    Ok(summary)
}

fn refusal(zip: &[u8]) -> String {
    check(zip).expect_err("the zip is hostile").to_string()
}

#[test]
fn an_artifact_is_read() {
    let script = Raw { mode: 0o100_755, ..Raw::file("dev/b/run.sh", b"#!/bin/sh") };
    let entries = [
        Raw::spec(),
        Raw::file("message.json", b"{}"),
        script,
        Raw::directory("dev/"),
        Raw::file("dev/a.yaml", b"a"),
        Raw::file("prod/a.yaml", b"p"),
        Raw::file("dev2/a.yaml", b"2"),
        // Older writers record no mode.
        Raw { mode: 0, ..Raw::file("dev/z", b"") },
    ];
    let zip = raw_zip(&entries);
    let summary = check(&zip).unwrap();
    assert_eq!(summary.spec.id, "master-1-2");
    assert_eq!(summary.environments, ["dev", "dev2", "prod"].map(|name| Name::new(name).unwrap()));

    let mut archive = Archive::open(Cursor::new(zip), LIMITS).unwrap();
    let files = archive.files(&Name::new("dev").unwrap()).unwrap().unwrap();
    let files: Vec<_> =
        files.iter().map(|file| (file.path.as_str(), &file.contents[..], file.executable)).collect();
    let expected: [(&str, &[u8], bool); 4] = [
        ("a.yaml", b"a", false),
        (FILE_NAME, SPEC, false),
        ("b/run.sh", b"#!/bin/sh", true),
        ("z", b"", false),
    ];
    assert_eq!(files, expected);
    assert_eq!(archive.files(&Name::new("de").unwrap()).unwrap(), None);
}

/// The field's `artifact` writes sizes behind the data, not in front of it.
#[test]
fn a_zip_that_was_written_as_a_stream_is_read() {
    let mut zip = ZipWriter::new_stream(Vec::new());
    for (name, data) in [(FILE_NAME, SPEC), ("dev/a.yaml", b"streamed")] {
        zip.start_file(name, SimpleFileOptions::DEFAULT).unwrap();
        zip.write_all(data).unwrap();
    }
    let zip = zip.finish().unwrap().into_inner();
    assert!(check(&zip).is_ok());
    let mut archive = Archive::open(Cursor::new(zip), LIMITS).unwrap();
    let files = archive.files(&Name::new("dev").unwrap()).unwrap().unwrap();
    assert_eq!(files[0].contents, "streamed");
}

#[test]
fn hostile_entries_are_refused_by_name() {
    let link = Raw { mode: 0o120_777, ..Raw::file("dev/link", b"/etc/passwd") };
    let device = Raw { mode: 0o020_644, ..Raw::file("dev/tty", b"") };
    let pipe = Raw { mode: 0o010_644, ..Raw::file("dev/pipe", b"") };
    let fake_directory = Raw { mode: 0o120_777, ..Raw::file("dev/", b"/etc") };
    let encrypted = Raw { flags: 1, ..Raw::file("dev/secret", b"x") };
    let bzip2 = Raw { method: 12, ..Raw::file("dev/bz", b"x") };
    let latin1 = Raw { name: b"dev/\xe6", ..Raw::file("", b"x") };
    let wrong_crc = Raw { crc: 1, ..Raw::file("dev/crc", b"x") };
    let too_short = Raw { declared_size: 1, ..Raw::file("dev/short", b"xxx") };
    let no_deflate = Raw { method: 8, ..Raw::file("dev/deflate", b"\xff\xff\xff") };
    let one = |raw: Raw<'static>| vec![raw];
    let two = |a, b| vec![Raw::file(a, b"x"), Raw::file(b, b"x")];
    let cases = [
        (one(Raw::file("/etc/passwd", b"x")), "its entry '/etc/passwd' has an absolute path"),
        (one(Raw::file("C:/x", b"x")), "its entry 'C:/x' has a path with a drive letter"),
        (
            one(Raw::file("dev/../../x", b"x")),
            "'dev/../../x' has a bad path: a part of it must not be '.' or '..'",
        ),
        (
            one(Raw::file("dev\\x", b"x")),
            "'dev\\\\x' has a bad path: a part of it must not contain '/' or '\\'",
        ),
        (one(Raw::file("dev/.git/hooks", b"x")), "a part of it must not start with '.git'"),
        (one(Raw::file("dev/a\nb", b"x")), "'dev/a\\nb' has a bad path"),
        (one(Raw::file("my env/x", b"x")), "cannot be an environment: the name must not contain white space"),
        (one(Raw::directory("my env/")), "cannot be an environment"),
        (one(Raw::directory("/")), "its entry '/' has a bad path: a part of it must not be empty"),
        (one(Raw::file("dev/artifact.json", b"x")), "'dev/artifact.json' would take the place of"),
        (one(link), "its entry 'dev/link' is a symbolic link or another special file"),
        (one(device), "'dev/tty' is a symbolic link or another special file"),
        (one(pipe), "'dev/pipe' is a symbolic link or another special file"),
        (one(fake_directory), "'dev/' is a symbolic link or another special file"),
        (one(encrypted), "its entry 'dev/secret' is encrypted"),
        (one(bzip2), "its entry 'dev/bz' is compressed by a method other than deflate"),
        (one(latin1), "its entry 'dev/\u{fffd}' has a name that is not UTF-8"),
        (one(wrong_crc), "its entry 'dev/crc' cannot be unpacked"),
        (one(too_short), "its entry 'dev/short' cannot be unpacked"),
        (one(no_deflate), "its entry 'dev/deflate' cannot be unpacked"),
        (two("dev/x", "dev/x"), "its entry 'dev/x' is there twice"),
        (two("dev/x", "dev/x/y"), "its entry 'dev/x' is a file and a directory at once"),
        (two("dev/x/y", "dev"), "its entry 'dev' is a file and a directory at once"),
        (one(Raw::spec()), "its entry 'artifact.json' is there twice"),
        (one(Raw::file("artifact.json/x", b"x")), "'artifact.json' is a file and a directory at once"),
    ];
    for (mut entries, expected) in cases {
        entries.insert(0, Raw::spec());
        let refusal = refusal(&raw_zip(&entries));
        assert!(refusal.contains(expected), "{expected:?} is not in {refusal:?}");
    }
}

#[test]
fn an_archive_without_a_good_spec_is_refused() {
    let long = vec![b' '; 2 << 20];
    let spec = |data| raw_zip(&[Raw::file(FILE_NAME, data)]);
    let cases = [
        (raw_zip(&[]), "it has no artifact.json at its top"),
        (raw_zip(&[Raw::file("dev/x", b"")]), "it has no artifact.json at its top"),
        (raw_zip(&[Raw::directory("artifact.json/")]), "it has no artifact.json at its top"),
        (spec(b"not json"), "its artifact.json cannot be read"),
        (spec(br#"{"colour":"red"}"#), "colour"),
        (spec(&long), "its artifact.json is longer than 1048576 bytes"),
    ];
    for (zip, expected) in cases {
        let refusal = refusal(&zip);
        assert!(refusal.contains(expected), "{expected:?} is not in {refusal:?}");
    }
}

#[test]
fn whatever_is_no_complete_zip_is_refused() {
    let good = raw_zip(&[Raw::spec(), Raw::file("dev/x", b"x")]);
    assert!(check(&good).is_ok());
    for length in 0..good.len() {
        assert!(check(&good[..length]).is_err(), "cut off after {length} bytes");
    }
    let in_front = [b"#!/bin/sh\n", &good[..]].concat();
    for no_zip in [&b"hello"[..], &vec![0; 100_000], &in_front] {
        assert_eq!(refusal(no_zip), "it is no zip archive, or it was cut off");
    }
}

#[test]
fn too_many_entries_are_refused() {
    let names: Vec<_> = (0..20).map(|number| format!("dev/{number}")).collect();
    let mut entries: Vec<_> = names.iter().map(|name| Raw::file(name, b"")).collect();
    entries.push(Raw::spec());
    assert_eq!(refusal(&raw_zip(&entries)), "it has more than 20 files and directories");
    assert!(check(&raw_zip(&entries[1..])).is_ok());
}

#[test]
fn a_bomb_is_refused_while_it_unpacks() {
    let zeros = vec![0; 3 << 20];
    let bomb = deflated(&[(FILE_NAME, SPEC), ("dev/bomb", &zeros)]);
    assert!(bomb.len() < 10_000);
    assert_eq!(refusal(&bomb), "it unpacks to more than 1048576 bytes");

    let many = deflated(&[(FILE_NAME, SPEC), ("dev/1", &zeros[..600_000]), ("dev/2", &zeros[..600_000])]);
    assert_eq!(refusal(&many), "it unpacks to more than 1048576 bytes");
    let mut archive = Archive::open(Cursor::new(many), LIMITS).unwrap();
    assert!(matches!(archive.files(&Name::new("dev").unwrap()), Err(ArchiveError::TooBig(_))));
}

#[test]
fn a_bomb_that_lies_about_its_size_is_refused() {
    let zeros = vec![0; 3 << 20];
    let honest = (3_u32 << 20).to_le_bytes();
    let mut bomb = deflated(&[(FILE_NAME, SPEC), ("dev/bomb", &zeros)]);
    let places: Vec<_> = (0..bomb.len() - 4).filter(|&at| bomb[at..at + 4] == honest).collect();
    assert_eq!(places.len(), 2, "the local and the central header");
    for at in places {
        bomb[at..at + 4].copy_from_slice(&10_u32.to_le_bytes());
    }
    assert!(refusal(&bomb).contains("'dev/bomb' cannot be unpacked"));
}

type Tree = BTreeMap<String, (Vec<u8>, bool)>;

fn write_tree(root: &Path, tree: &Tree) {
    for (path, (contents, executable)) in tree {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, contents).unwrap();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = if *executable { 0o755 } else { 0o600 };
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        }
    }
}

fn unpack_tree(zip: &[u8]) -> Tree {
    let mut archive = Archive::open(Cursor::new(zip), Limits::default()).unwrap();
    let mut tree = Tree::new();
    for environment in archive.environments() {
        for file in archive.files(&environment).unwrap().unwrap() {
            let path = match file.path.as_str() {
                FILE_NAME => file.path,
                path => format!("{environment}/{path}"),
            };
            tree.insert(path, (file.contents.to_vec(), file.executable));
        }
    }
    tree
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn unpacking_gives_back_what_was_packed(
        files in proptest::collection::btree_map(
            // A digit in front of each file and none in front of a directory, so that no path is both.
            "[a-zæ]{1,3}(/[a-z ]{0,5}[a-z]){0,2}/[0-9][a-z .]{0,5}[a-z]",
            (proptest::collection::vec(any::<u8>(), 0..300), any::<bool>()),
            1..12,
        )
    ) {
        let root = tempfile::tempdir().unwrap();
        let mut tree = files;
        tree.insert(FILE_NAME.to_owned(), (SPEC.to_vec(), false));
        write_tree(root.path(), &tree);
        let packed = pack(root.path(), Limits::default()).unwrap();
        prop_assert_eq!(packed.files, tree.len());
        prop_assert_eq!(unpack_tree(&packed.zip), tree);
        prop_assert_eq!(pack(root.path(), Limits::default()).unwrap().md5, packed.md5);
    }

    #[test]
    fn reading_damaged_zips_never_panics(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut zip = deflated(&[(FILE_NAME, SPEC), ("dev/x", b"some contents, some contents")]);
        let at = at.index(zip.len());
        zip[at] = byte;
        if let Ok(mut archive) = Archive::open(Cursor::new(zip), LIMITS) {
            let _ = archive.summary();
            let _ = archive.files(&Name::new("dev").unwrap());
            let _ = archive.verify();
        }
    }
}
