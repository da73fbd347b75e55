//! Pushes a pack that is ready, without `git push`: that would find out again
//! what the remote lacks, and pack it again.
//!
//! Speaks version 0 of the protocol in git's `gitprotocol-pack` manual page with
//! `git receive-pack`, which runs beside the remote repository, here or over ssh.

use std::{
    io::{self, Read, Write},
    path::PathBuf,
    process::ChildStdin,
};

use percent_encoding::percent_decode_str;
use url::Url;

use crate::{
    GitError, ObjectId,
    process::{Git, Running, complaint, quote},
    remote::Pushed,
};

/// Where `git receive-pack` runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Receiver {
    Here { repository: PathBuf },
    Ssh { host: String, port: Option<u16>, repository: String },
}

/// Moves one reference of the remote.
pub(crate) struct Update {
    pub(crate) reference: String,
    /// Where it has to be now; `None` for a new one.
    pub(crate) old: Option<ObjectId>,
    pub(crate) new: ObjectId,
}

/// The longest line of the protocol, in bytes, with its length.
const MAX_LINE: usize = 65_520;
/// The most that the remote may say before or after the pack, in bytes: it lists all its branches and tags.
const MAX_ANSWER: u64 = 256 << 20;
/// The most that is kept of what hooks say, in bytes.
const MAX_SAID: usize = 64 << 10;
const FLUSH: &[u8] = b"0000";

impl Receiver {
    /// `None` for what only the `git` program reaches, such as https.
    pub(crate) fn of(url: &str) -> Option<Self> {
        if url.starts_with('/') {
            return Some(Self::Here { repository: url.into() });
        }
        match Url::parse(url) {
            Ok(url) if url.scheme() == "file" => Some(Self::Here { repository: url.to_file_path().ok()? }),
            Ok(url) if url.scheme() == "ssh" => Self::of_ssh_url(&url),
            _ => Self::of_scp_address(url),
        }
    }

    fn of_ssh_url(url: &Url) -> Option<Self> {
        let path = percent_decode_str(url.path()).decode_utf8().ok()?;
        // `/~ada/config.git` is in Ada's home.
        let repository = if path.starts_with("/~") { path[1..].to_owned() } else { path.into_owned() };
        Self::ssh(url.username(), url.host_str()?, url.port(), repository)
    }

    /// `user@host:path`
    fn of_scp_address(address: &str) -> Option<Self> {
        let (host, repository) = address.split_once(':')?;
        let (user, host) = host.rsplit_once('@').unwrap_or(("", host));
        if host.contains('/') || repository.starts_with("//") {
            return None;
        }
        Self::ssh(user, host, None, repository.to_owned())
    }

    /// `None` for names that ssh would take for something else.
    fn ssh(user: &str, host: &str, port: Option<u16>, repository: String) -> Option<Self> {
        let is_plain = |name: &str| {
            !name.starts_with('-') && name.chars().all(|c| c.is_alphanumeric() || "-._".contains(c))
        };
        if host.is_empty() || repository.is_empty() || !is_plain(host) || !is_plain(user) {
            return None;
        }
        let host = if user.is_empty() { host.to_owned() } else { format!("{user}@{host}") };
        Some(Self::Ssh { host, port, repository })
    }

    /// Moves each reference that is where it has to be, and tells of each; the pack has all
    /// that is in their new commits and not in the old ones. An error means that nothing is known.
    /// What is still running on the remote then, such as hooks that only tell
    /// others of the push, is given back.
    pub(crate) fn push(
        &self,
        git: &Git<'_>,
        updates: &[Update],
        pack: &[u8],
    ) -> Result<(Vec<Pushed>, Running), GitError> {
        let mut running = self.start(git)?;
        match exchange(&mut running, updates, pack) {
            Ok(pushed) => Ok((pushed, running)),
            Err(error) => Err(running.failure(git, &error)),
        }
    }

    fn start(&self, git: &Git<'_>) -> Result<Running, GitError> {
        match self {
            Self::Here { repository } => git.start("git", ["receive-pack".as_ref(), repository.as_os_str()]),
            Self::Ssh { host, port, repository } => {
                let port = port.map_or_else(String::new, |port| format!("-p {port} "));
                // As git does it: the command is a line for the shell, here and there.
                let line = format!("eval \"$GIT_SSH_COMMAND {port}\"'\"$@\"'");
                let remote = format!("git-receive-pack {}", quote(repository));
                git.start("sh", ["-c", &line, "sh", host, &remote].map(AsRef::as_ref))
            }
        }
    }
}

fn exchange(running: &mut Running, updates: &[Update], pack: &[u8]) -> io::Result<Vec<Pushed>> {
    let (mut input, output) = running.pipes();
    let mut output = output.take(MAX_ANSWER);
    let remote = read_advertisement(&mut output, updates)?;
    let is_in_place = |(update, tip): &(&Update, &Option<ObjectId>)| update.old == **tip;
    let in_place = updates.iter().zip(&remote.tips).filter(is_in_place);
    let in_place: Vec<&Update> = in_place.map(|(update, _)| update).collect();
    let answers = if in_place.is_empty() {
        // Nothing is asked for.
        input.write_all(FLUSH)?;
        Vec::new()
    } else {
        send(&mut input, &in_place, &remote, pack)?;
        drop(input);
        read_answer(output, &in_place, remote.has_side_band)?
    };
    let mut answers = answers.into_iter();
    let elsewhere = || Pushed::Refused("the reference is elsewhere".to_owned());
    let answer = |it| if is_in_place(&it) { answers.next().unwrap_or_else(elsewhere) } else { elsewhere() };
    Ok(updates.iter().zip(&remote.tips).map(answer).collect())
}

/// What the remote says of itself first.
struct Advertised {
    /// Where the references that are to be moved are, in the same order.
    tips: Vec<Option<ObjectId>>,
    has_side_band: bool,
    has_quiet: bool,
}

fn read_advertisement(output: &mut impl Read, updates: &[Update]) -> io::Result<Advertised> {
    let mut remote = Advertised { tips: vec![None; updates.len()], has_side_band: false, has_quiet: false };
    let mut is_first = true;
    while let Some(line) = read_line(output)? {
        let line = String::from_utf8_lossy(&line);
        let (line, capabilities) = line.split_once('\0').unwrap_or((&line, ""));
        if is_first {
            let has = |name| capabilities.split_whitespace().any(|capability| capability == name);
            if !has("report-status") {
                return Err(io::Error::other("the remote does not report what becomes of a push"));
            }
            remote.has_side_band = has("side-band-64k");
            remote.has_quiet = has("quiet");
            is_first = false;
        }
        if let Some((id, name)) = line.trim_end().split_once(' ')
            && let Some(index) = updates.iter().position(|update| update.reference == name)
        {
            remote.tips[index] = id.parse().ok();
        }
    }
    if is_first { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(remote) }
}

fn send(input: &mut ChildStdin, updates: &[&Update], remote: &Advertised, pack: &[u8]) -> io::Result<()> {
    let mut head = Vec::new();
    for (index, Update { reference, old, new }) in updates.iter().enumerate() {
        let old = old.map_or_else(|| "0".repeat(40), |old| old.to_string());
        let mut command = format!("{old} {new} {reference}");
        if index == 0 {
            command.push_str("\0 report-status");
            for (has, name) in [(remote.has_side_band, " side-band-64k"), (remote.has_quiet, " quiet")] {
                command.push_str(if has { name } else { "" });
            }
        }
        head.extend_from_slice(format!("{:04x}{command}", command.len() + 4).as_bytes());
    }
    head.extend_from_slice(FLUSH);
    // The remote may end before it has read everything, and says why.
    match input.write_all(&head).and_then(|()| input.write_all(pack)) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
        _ => Ok(()),
    }
}

fn read_answer(mut output: impl Read, updates: &[&Update], has_side_band: bool) -> io::Result<Vec<Pushed>> {
    if !has_side_band {
        let refusals = read_report(&mut output, updates)?.into_iter();
        return Ok(refusals.map(|refusal| refusal.map_or(Pushed::Accepted, Pushed::Refused)).collect());
    }
    let mut side_band = SideBand { output, report: Vec::new(), said: Vec::new() };
    let refusals = read_report(&mut side_band, updates)?.into_iter();
    let refused = |reason| Pushed::Refused(side_band.with_what_was_said(reason));
    Ok(refusals.map(|refusal| refusal.map_or(Pushed::Accepted, refused)).collect())
}

/// For each reference, `ok <reference>`: `None`. `ng <reference> <reason>` or what else was said: the reason.
fn read_report(report: &mut impl Read, updates: &[&Update]) -> io::Result<Vec<Option<String>>> {
    let mut lines = Vec::new();
    while let Some(line) = read_line(report)? {
        lines.push(String::from_utf8_lossy(&line).trim_end().to_owned());
    }
    let is_other =
        |line: &&String| !line.starts_with("ok ") && !line.starts_with("ng ") && *line != "unpack ok";
    let other = lines.iter().find(is_other);
    let told = |Update { reference, .. }: &&Update| {
        let reason =
            |line: &String| Some(line.strip_prefix("ng ")?.strip_prefix(reference)?.trim_start().to_owned());
        let refusal = lines.iter().find_map(reason).or_else(|| other.cloned());
        let is_accepted = || lines.iter().any(|line| line.strip_prefix("ok ") == Some(reference));
        if refusal.is_none() && !is_accepted() {
            return Err(io::Error::other("the remote does not say what became of the push"));
        }
        Ok(refusal)
    };
    updates.iter().map(told).collect()
}

/// Reads the report out of what the remote's hooks say meanwhile.
struct SideBand<R> {
    output: R,
    report: Vec<u8>,
    said: Vec<u8>,
}

impl<R> SideBand<R> {
    fn with_what_was_said(&self, reason: String) -> String {
        if self.said.is_empty() {
            return reason;
        }
        format!("{reason}: {}", complaint(&String::from_utf8_lossy(&self.said)))
    }
}

impl<R: Read> Read for SideBand<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.report.is_empty() {
            let Some(line) = read_line(&mut self.output)? else { return Ok(0) };
            match line.split_first() {
                Some((1, part)) => self.report.extend_from_slice(part),
                Some((_, part)) if self.said.len() < MAX_SAID => self.said.extend_from_slice(part),
                _ => {}
            }
        }
        let count = self.report.as_slice().read(buffer)?;
        self.report.drain(..count);
        Ok(count)
    }
}

/// One line of the protocol: four hexadecimal digits of its length with them; `None` for a flush.
fn read_line(output: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 4];
    output.read_exact(&mut length)?;
    let length = str::from_utf8(&length).ok().and_then(|digits| usize::from_str_radix(digits, 16).ok());
    match length {
        Some(0) => Ok(None),
        Some(length @ 4..=MAX_LINE) => {
            let mut line = vec![0; length - 4];
            output.read_exact(&mut line)?;
            Ok(Some(line))
        }
        _ => Err(io::Error::other("the remote's answer is not that of git")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_understood_as_git_does() {
        let here = |path: &str| Some(Receiver::Here { repository: path.into() });
        let ssh = |host: &str, port, repository: &str| {
            Some(Receiver::Ssh { host: host.into(), port, repository: repository.into() })
        };
        let cases = [
            ("/srv/config.git", here("/srv/config.git")),
            ("file:///srv/my%20config.git", here("/srv/my config.git")),
            ("ssh://git@example.com/config.git", ssh("git@example.com", None, "/config.git")),
            ("ssh://example.com:2222/a%20b/c.git", ssh("example.com", Some(2222), "/a b/c.git")),
            ("ssh://git@example.com/~ada/c.git", ssh("git@example.com", None, "~ada/c.git")),
            ("git@example.com:org/config.git", ssh("git@example.com", None, "org/config.git")),
            ("example.com:config.git", ssh("example.com", None, "config.git")),
            // Left to git.
            ("https://example.com/config.git", None),
            ("git://example.com/config.git", None),
            ("ssh://-oProxyCommand=x/config.git", None),
            ("-oProxyCommand=x:config.git", None),
            ("ssh://[::1]/config.git", None),
            ("./here:there", None),
            ("config.git", None),
            ("", None),
        ];
        for (url, expected) in cases {
            assert_eq!(Receiver::of(url), expected, "{url}");
        }
    }

    #[test]
    fn a_report_says_which_references_moved() {
        let lines = |lines: &[&str]| {
            let lines = lines.iter().map(|line| format!("{:04x}{line}\n", line.len() + 5));
            (lines.collect::<Vec<_>>().concat() + "0000").into_bytes()
        };
        let [main, notes] = ["refs/heads/main", "refs/notes/x"].map(|reference| Update {
            reference: reference.to_owned(),
            old: None,
            new: ObjectId::from_bytes([1; 20]),
        });
        let read = |report: &[&str], updates: &[&Update]| {
            read_report(&mut lines(report).as_slice(), updates).map_err(|error| error.kind())
        };
        let read_one = |report: &[&str]| read(report, &[&main]);
        assert_eq!(read_one(&["unpack ok", "ok refs/heads/main"]), Ok(vec![None]));
        let refused = |reason: &str| Ok(vec![Some(reason.to_owned())]);
        assert_eq!(read_one(&["unpack ok", "ng refs/heads/main hook declined"]), refused("hook declined"));
        assert_eq!(
            read_one(&["unpack index-pack failed", "ng refs/heads/main unpacker error"]),
            refused("unpacker error")
        );
        assert_eq!(read_one(&["unpack index-pack failed"]), refused("unpack index-pack failed"));
        assert_eq!(read_one(&["unpack ok"]), Err(io::ErrorKind::Other));
        assert_eq!(read_one(&["unpack ok", "ok refs/heads/mainly"]), Err(io::ErrorKind::Other));
        assert_eq!(read_one(&[]), Err(io::ErrorKind::Other));
        let report = ["unpack ok", "ok refs/heads/main", "ng refs/notes/x hook declined"];
        let declined = Some("hook declined".to_owned());
        assert_eq!(read(&report, &[&main, &notes]), Ok(vec![None, declined.clone()]));
        assert_eq!(read(&report, &[&notes, &main]), Ok(vec![declined, None]));
    }

    #[test]
    fn lines_that_are_not_of_the_protocol_are_errors() {
        for broken in ["", "00", "0003", "ffff", "zzzz", "0009abc", "-001"] {
            assert!(read_line(&mut broken.as_bytes()).is_err(), "{broken}");
        }
        assert_eq!(read_line(&mut b"0006ab".as_slice()).unwrap().as_deref(), Some(&b"ab"[..]));
        assert_eq!(read_line(&mut b"0000".as_slice()).unwrap(), None);
    }
}
