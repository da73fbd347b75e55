//! A real git server over https: nginx with TLS and tokens, in front of `git http-backend`.

use std::{
    fs,
    net::TcpStream,
    os::unix::{net::UnixStream, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::{origin::Origin, port};

/// Listens on the loopback only. Dropping it ends it.
pub struct Https {
    directory: TempDir,
    repositories: PathBuf,
    port: u16,
    backend: Child,
    nginx: Option<Child>,
}

impl Https {
    /// May read and write.
    pub const TOKEN: &'static str = "writers-token";
    pub const READ_ONLY_TOKEN: &'static str = "readers-token";

    pub fn start(origin: &Origin) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        make_certificate(directory.path());
        let backend = start_backend(&directory.path().join("backend"));
        let repositories = origin.path().parent().expect("the origin is in a directory").to_owned();
        let mut https = Self { directory, repositories, port: port::free(), backend, nginx: None };
        fs::write(https.path("nginx.conf"), https.config()).expect("the configuration is written");
        https.restart();
        https
    }

    /// The URL of the origin.
    pub fn url(&self) -> String {
        self.url_of("config.git")
    }

    pub fn url_of(&self, repository: &str) -> String {
        format!("https://localhost:{}/{repository}", self.port)
    }

    /// For `GIT_SSL_CAINFO`: nobody else trusts the certificate.
    pub fn certificate(&self) -> PathBuf {
        self.path("cert.pem")
    }

    /// Starts it again. Accepts connections when this returns.
    pub fn restart(&mut self) {
        let log = fs::File::options().create(true).append(true).open(self.path("log")).expect("the log");
        let mut command = Command::new("/usr/sbin/nginx");
        command.arg("-p").arg(self.directory.path()).args(["-e", "stderr", "-c", "nginx.conf"]);
        let nginx = command.process_group(0).stdin(Stdio::null()).stderr(log).spawn();
        self.nginx = Some(nginx.expect("nginx is installed"));
        wait_for("nginx", || TcpStream::connect(("127.0.0.1", self.port)).is_ok());
    }

    pub fn stop(&mut self) {
        if let Some(mut nginx) = self.nginx.take() {
            end(&mut nginx);
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn config(&self) -> String {
        let git = Command::new("git").arg("--exec-path").output().expect("git is installed");
        CONFIG
            .replace("@PORT@", &self.port.to_string())
            .replace("@DIRECTORY@", &self.directory.path().display().to_string())
            .replace("@REPOSITORIES@", &self.repositories.display().to_string())
            .replace("@GIT@", String::from_utf8_lossy(&git.stdout).trim())
    }
}

impl Drop for Https {
    fn drop(&mut self) {
        self.stop();
        end(&mut self.backend);
    }
}

/// The user name is what the server under test sends with every token; the values are base64.
const CONFIG: &str = r#"
user root;
daemon off;
pid @DIRECTORY@/nginx.pid;
events { }
http {
    access_log off;
    client_body_temp_path @DIRECTORY@/body;
    fastcgi_temp_path @DIRECTORY@/fastcgi;
    proxy_temp_path @DIRECTORY@/proxy;
    uwsgi_temp_path @DIRECTORY@/uwsgi;
    scgi_temp_path @DIRECTORY@/scgi;
    map $http_authorization $role {
        default none;
        "Basic eC1hY2Nlc3MtdG9rZW46d3JpdGVycy10b2tlbg==" writer;
        "Basic eC1hY2Nlc3MtdG9rZW46cmVhZGVycy10b2tlbg==" reader;
    }
    map $request_uri $service { default fetch; ~git-receive-pack push; }
    map $role:$service $refused { default 0; ~^none: 401; "reader:push" 403; }
    server {
        listen 127.0.0.1:@PORT@ ssl;
        ssl_certificate @DIRECTORY@/cert.pem;
        ssl_certificate_key @DIRECTORY@/key.pem;
        client_max_body_size 0;
        location / {
            if ($refused = 401) {
                add_header WWW-Authenticate 'Basic realm="git"' always;
                return 401;
            }
            if ($refused = 403) { return 403; }
            fastcgi_pass unix:@DIRECTORY@/backend;
            fastcgi_param SCRIPT_FILENAME @GIT@/git-http-backend;
            fastcgi_param GIT_PROJECT_ROOT @REPOSITORIES@;
            fastcgi_param GIT_HTTP_EXPORT_ALL 1;
            fastcgi_param PATH_INFO $uri;
            fastcgi_param QUERY_STRING $query_string;
            fastcgi_param REQUEST_METHOD $request_method;
            fastcgi_param CONTENT_TYPE $content_type;
            fastcgi_param CONTENT_LENGTH $content_length;
            fastcgi_param HTTP_CONTENT_ENCODING $http_content_encoding;
            fastcgi_param GIT_PROTOCOL $http_git_protocol;
            fastcgi_param REMOTE_USER $role;
            fastcgi_param HOME @DIRECTORY@;
        }
    }
}
"#;

fn make_certificate(directory: &Path) {
    let mut command = Command::new("openssl");
    command
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"])
        .args(["-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"])
        .args(["-keyout", "key.pem", "-out", "cert.pem"])
        .current_dir(directory);
    let output = command.output().expect("openssl is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn start_backend(socket: &Path) -> Child {
    let mut command = Command::new("/usr/sbin/fcgiwrap");
    command.args(["-c", "4", "-s", &format!("unix:{}", socket.display())]).process_group(0);
    let child = command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().expect("fcgiwrap is installed");
    wait_for("fcgiwrap", || UnixStream::connect(socket).is_ok());
    child
}

fn wait_for(what: &str, is_there: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_mins(1);
    while !is_there() {
        assert!(Instant::now() < deadline, "{what} does not start");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// With its children.
fn end(child: &mut Child) {
    let _ = Command::new("kill").args(["-KILL", "--", &format!("-{}", child.id())]).status();
    let _ = child.wait();
}
