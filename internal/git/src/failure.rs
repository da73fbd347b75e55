//! Says what to do about the ways in which git fails to reach a remote.

use crate::process::complaint;

pub(crate) const KEY_REFUSED: &str = "the server does not accept the ssh key; add its public half, as a key that may write, to the account \
     or repository";

/// What git, ssh and the hosting services print, in the C locale, and what to do. The first
/// entry of which all texts are there counts; the line with the first text is shown.
const KNOWN: &[(&[&str], &str)] = &[
    (
        &["has changed and you have requested strict checking"],
        "the server has another ssh host key than the one that is known; if that is right, replace it in the \
         known_hosts file, otherwise somebody is in between",
    ),
    (&["host key is known for"], UNKNOWN_HOST),
    (&["Host key verification failed"], UNKNOWN_HOST),
    (
        &["are too open"],
        "ssh does not use a key that others may read; make it readable for the server's user alone (chmod 600)",
    ),
    (
        &["not accessible: ", "Permission denied ("],
        "the file of the ssh key is not there; check --ssh-private-key",
    ),
    (
        &["\": Permission denied", "Load key"],
        "the server's user cannot read the ssh key; change the owner or mode of its file",
    ),
    (&["Load key"], "the file of the ssh key holds none that ssh understands; give a private key"),
    (&["marked as read only"], MAY_NOT_WRITE),
    (&["denied to deploy key"], MAY_NOT_WRITE),
    (&["Write access to repository not granted"], MAY_NOT_WRITE),
    (&["not allowed to push"], MAY_NOT_WRITE),
    (&["not allowed to upload"], MAY_NOT_WRITE),
    (&["Permission denied ("], KEY_REFUSED),
    (&["Could not resolve host"], "the host name is not known; check --config-repo and the name service"),
    (&["Connection refused"], NOBODY_LISTENS),
    (&["Couldn't connect to server"], NOBODY_LISTENS),
    (&["Failed to connect to"], NOBODY_LISTENS),
    (&["No route to host"], NO_NETWORK),
    (&["Network is unreachable"], NO_NETWORK),
    (&["timed out"], NO_NETWORK),
    (&["could not read Username"], NO_TOKEN),
    (&["could not read Password"], NO_TOKEN),
    (
        &["Authentication failed for"],
        "the server does not accept the token; give one that is valid in GIT_HTTPS_TOKEN",
    ),
    (
        &["returned error: 403"],
        "the token may not do that; give it the right to write this repository's contents",
    ),
    (
        &["no alternative certificate subject name"],
        "the server's certificate is for another host name; check --config-repo",
    ),
    (&["certificate verification failed"], UNTRUSTED),
    (&["certificate problem"], UNTRUSTED),
    (&["Repository not found"], NO_REPOSITORY),
    (&["' not found"], NO_REPOSITORY),
    (&["does not appear to be a git repository"], NO_REPOSITORY),
    (&["' does not exist"], NO_REPOSITORY),
    (&["returned error: 404"], NO_REPOSITORY),
    (&["returned error: 429"], "the server limits requests; see --git-max-pushes-per-minute"),
    (&["returned error: 5"], "the server has a problem of its own; wait, or ask who runs it"),
    (&["Connection closed by"], CUT_OFF),
    (&["Connection reset by"], CUT_OFF),
    (&["not responding"], CUT_OFF),
    (&["Broken pipe"], CUT_OFF),
    (&["hung up unexpectedly"], CUT_OFF),
];

const UNKNOWN_HOST: &str = "the server's ssh host key is not known; add its line to the known_hosts file, or let it be learned \
     with --ssh-accept-new-host-keys";
const MAY_NOT_WRITE: &str = "the key or token may only read; allow it to write";
const NOBODY_LISTENS: &str =
    "nobody listens there; check host and port of --config-repo, or wait until the server is back";
const NO_NETWORK: &str = "the server cannot be reached; check the network and its firewalls";
const NO_TOKEN: &str = "the server asks for a token; give one in GIT_HTTPS_TOKEN";
const UNTRUSTED: &str = "the server's certificate is not trusted; add its authority to the machine's, or name its file in \
     GIT_SSL_CAINFO";
const NO_REPOSITORY: &str =
    "there is no such repository, or the account may not see it; check --config-repo and its rights";
const CUT_OFF: &str = "the connection was cut; if it stays so, look at the server's log";

/// What went wrong and what to do, where that is known, with the words of git.
pub(crate) fn explain(stderr: &str) -> String {
    let matches = |texts: &&(&[&str], &str)| texts.0.iter().all(|text| stderr.contains(text));
    let Some((texts, advice)) = KNOWN.iter().find(matches) else { return complaint(stderr) };
    let line = stderr.lines().find(|line| line.contains(texts[0])).unwrap_or_default();
    format!("{advice} ({})", complaint(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_to_fail_has_a_sentence() {
        for (stderr, expected) in [
            (
                "@@@@\n@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\n@@@@\nIT IS POSSIBLE …\nHost key for [127.0.0.1]:2222 has changed and you have requested strict checking.\nHost key verification failed.\nfatal: Could not read from remote repository.\n",
                "the server has another ssh host key",
            ),
            (
                "No ED25519 host key is known for git.example.com and you have requested strict checking.\nHost key verification failed.\n",
                "ssh host key is not known",
            ),
            ("Host key verification failed.\n", "ssh host key is not known"),
            (
                "@  WARNING: UNPROTECTED PRIVATE KEY FILE!  @\nPermissions 0644 for '/key' are too open.\nLoad key \"/key\": bad permissions\ngit@x: Permission denied (publickey).\n",
                "others may read",
            ),
            (
                "Warning: Identity file /key not accessible: No such file or directory.\ngit@x: Permission denied (publickey).\n",
                "is not there",
            ),
            (
                "Load key \"/key\": Permission denied\ngit@x: Permission denied (publickey).\n",
                "cannot read the ssh key",
            ),
            (
                "Load key \"/key\": error in libcrypto\ngit@x: Permission denied (publickey).\n",
                "none that ssh understands",
            ),
            ("git@x: Permission denied (publickey,password).\n", "does not accept the ssh key"),
            ("ERROR: The key you are authenticating with has been marked as read only.\n", "may only read"),
            ("ERROR: Permission to org/config.git denied to deploy key\n", "may only read"),
            ("remote: You are not allowed to push code to this project.\nfatal: …", "may only read"),
            (
                "remote: Write access to repository not granted.\nfatal: unable to access 'https://x/': The requested URL returned error: 403\n",
                "may only read",
            ),
            (
                "ssh: Could not resolve hostname nope.example: Name or service not known\n",
                "host name is not known",
            ),
            (
                "fatal: unable to access 'https://nope.example/': Could not resolve host: nope.example\n",
                "host name is not known",
            ),
            ("ssh: connect to host 127.0.0.1 port 1: Connection refused\n", "nobody listens"),
            (
                "fatal: unable to access 'https://x/': Failed to connect to 127.0.0.1 port 1 after 0 ms: Couldn't connect to server\n",
                "nobody listens",
            ),
            ("ssh: connect to host 192.0.2.1 port 22: Connection timed out\n", "cannot be reached"),
            ("ssh: connect to host 192.0.2.1 port 22: No route to host\n", "cannot be reached"),
            (
                "fatal: could not read Username for 'https://x': terminal prompts disabled\n",
                "asks for a token",
            ),
            (
                "remote: Invalid username or password.\nfatal: Authentication failed for 'https://x/config.git/'\n",
                "does not accept the token",
            ),
            (
                "fatal: unable to access 'https://x/': The requested URL returned error: 403\n",
                "the token may not do that",
            ),
            (
                "fatal: unable to access 'https://x/': server certificate verification failed. CAfile: none CRLfile: none\n",
                "not trusted",
            ),
            (
                "fatal: unable to access 'https://x/': SSL certificate problem: self-signed certificate\n",
                "not trusted",
            ),
            (
                "fatal: unable to access 'https://x/': SSL: no alternative certificate subject name matches target host name 'x'\n",
                "another host name",
            ),
            (
                "ERROR: Repository not found.\nfatal: Could not read from remote repository.\n",
                "no such repository",
            ),
            ("remote: Not Found\nfatal: repository 'https://x/nope.git/' not found\n", "no such repository"),
            ("fatal: '/nope' does not appear to be a git repository\n", "no such repository"),
            (
                "fatal: unable to access 'https://x/': The requested URL returned error: 503\n",
                "a problem of its own",
            ),
            (
                "kex_exchange_identification: Connection closed by remote host\nConnection closed by 127.0.0.1 port 22\n",
                "was cut",
            ),
            ("Timeout, server x not responding.\nfatal: the remote end hung up unexpectedly\n", "was cut"),
        ] {
            let explained = explain(stderr);
            assert!(explained.contains(expected), "{stderr}: {explained}");
            assert!(explained.chars().count() < 700, "{explained}");
        }
    }

    #[test]
    fn the_words_of_git_are_kept() {
        assert!(
            explain("fatal: repository 'https://x/nope.git/' not found\n")
                .ends_with("(repository 'https://x/nope.git/' not found)")
        );
        assert_eq!(explain("fatal: something new\n"), "something new");
    }
}
