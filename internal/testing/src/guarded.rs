//! Servers that end with the test.

use std::{
    os::unix::process::CommandExt as _,
    process::{Child, Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process_group};

/// A process with all of its children. They end with this value, and also when this process is killed: the
/// shell around them reads until there is nobody left who could write.
pub(crate) struct Guarded {
    shell: Child,
}

impl Guarded {
    pub(crate) fn spawn(command: &Command) -> Self {
        Self::spawn_to(command, Stdio::null())
    }

    pub(crate) fn spawn_to(command: &Command, output: impl Into<Stdio>) -> Self {
        let mut shell = Command::new("sh");
        shell
            .args(["-c", r#""$@" </dev/null 2>&1 & cat >/dev/null; kill -9 0"#, "guard"])
            .arg(command.get_program())
            .args(command.get_args())
            .envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))))
            .stdin(Stdio::piped())
            .stdout(output)
            .stderr(Stdio::null())
            .process_group(0);
        Self { shell: shell.spawn().expect("a shell") }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        let group = Pid::from_raw(self.shell.id().cast_signed()).expect("a process id");
        let _ = kill_process_group(group, Signal::KILL);
        let _ = self.shell.wait();
    }
}
