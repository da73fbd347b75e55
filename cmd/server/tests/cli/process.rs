//! A server that runs.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::Path,
    process::{Child, ChildStderr, Command, Stdio},
};

use release_testing::origin::Origin;

/// Killed when dropped.
pub(crate) struct Server {
    child: Child,
    stderr: BufReader<ChildStderr>,
    log: String,
    port: u16,
}

impl Server {
    /// Starts with the least that is possible, and waits until connections are accepted.
    pub(crate) fn start(origin: &Origin, home: &Path) -> Self {
        let mut child = Command::new(assert_cmd::cargo::cargo_bin!("server"))
            .args(["start", "--http-port=0", "--config-repo", &origin.url()])
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("HOME", home)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let mut server = Self { child, stderr, log: String::new(), port: 0 };
        let listening = server.wait_for("\"Listening\"");
        let (_, port) = listening.trim().trim_end_matches('}').rsplit_once(':').unwrap();
        server.port = port.parse().unwrap();
        server
    }

    /// The next line of the log with this text.
    pub(crate) fn wait_for(&mut self, text: &str) -> String {
        loop {
            let mut line = String::new();
            let read = self.stderr.read_line(&mut line).unwrap();
            assert!(read > 0, "the server ended before {text}:\n{}", self.log);
            self.log += &line;
            if line.contains(text) {
                return line;
            }
        }
    }

    pub(crate) fn connect(&self) -> TcpStream {
        TcpStream::connect(("localhost", self.port)).unwrap()
    }

    /// The whole answer.
    pub(crate) fn get(&self, path: &str, token: &str) -> String {
        let mut connection = self.connect();
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
        );
        connection.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).unwrap();
        answer
    }

    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for the end of the process; its exit status.
    pub(crate) fn wait(&mut self) -> Option<i32> {
        self.stderr.read_to_string(&mut self.log).unwrap();
        self.child.wait().unwrap().code()
    }

    /// What was read of it so far.
    pub(crate) fn log(&self) -> &str {
        &self.log
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
