//! The built binary: its commands, and servers that run.

use std::{
    io::{BufRead, BufReader, Read},
    net::TcpListener,
    path::Path,
    process::{Child, ChildStderr, Command, ExitStatus, Output, Stdio},
};

/// A command on a data directory.
pub fn server(data: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hindsight-server"));
    command.arg("--data").arg(data).env_remove("RUST_LOG");
    command
}

pub fn output(data: &Path, arguments: &[&str]) -> Output {
    server(data).args(arguments).output().unwrap()
}

/// What a command that fails says of it.
pub fn refusal(data: &Path, arguments: &[&str]) -> String {
    let output = output(data, arguments);
    assert!(!output.status.success(), "{arguments:?} succeeded");
    String::from_utf8(output.stderr).unwrap()
}

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A server that ends with the test.
pub struct Running {
    pub process: Child,
    log: BufReader<ChildStderr>,
}

impl Running {
    pub fn start(data: &Path, roles: &str, environment: &[(&str, String)]) -> Self {
        let mut command = server(data);
        command.args(["run", "--roles", roles]).stderr(Stdio::piped());
        command.envs(environment.iter().map(|(name, value)| (name, value)));
        let mut process = command.spawn().unwrap();
        let log = BufReader::new(process.stderr.take().unwrap());
        Self { process, log }
    }

    /// Reads the log until a line has `wanted`; that line.
    pub fn wait_for(&mut self, wanted: &str) -> String {
        let mut read = String::new();
        loop {
            let mut line = String::new();
            assert!(self.log.read_line(&mut line).unwrap() > 0, "ended without {wanted:?}: {read}");
            if line.contains(wanted) {
                return line;
            }
            read.push_str(&line);
        }
    }

    /// Ends it as an operator does; the log's rest.
    pub fn terminate(&mut self) -> (ExitStatus, String) {
        let pid = rustix::process::Pid::from_child(&self.process);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        let mut rest = String::new();
        self.log.read_to_string(&mut rest).unwrap();
        (self.process.wait().unwrap(), rest)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
